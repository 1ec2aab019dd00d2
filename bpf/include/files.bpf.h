/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Mapped files and their unwind tables. A file that a stack meets for the first time is entered and
 * announced, once; user space answers with a table, or that there is none.
 *
 * Limits: `files` and `tables` hold what user space sets as max_entries. A file without room is
 * counted as files_full, a request without room as request_drops; both are met again.
 */
#ifndef FK_FILES_BPF_H
#define FK_FILES_BPF_H

#include "hash.bpf.h"
#include "kernel_compat.bpf.h"
#include "record.bpf.h"
#include "unwind_state.bpf.h"
#include "unwind_table.h"
#include "vma.bpf.h"

/* A wake costs more than a sample. */
#define REQUEST_WAKE_NS (50 * 1000 * 1000ULL)
#define LAST_USE_NS (1000 * 1000 * 1000ULL)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fk_file);
	__type(value, struct fk_unwind_file);
} files SEC(".maps");

/* As large as the table: user space makes each. */
struct unwind_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct fk_unwind_block));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__array(values, struct unwind_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fk_unwind_stats);
} unwind_stats SEC(".maps");

volatile __u64 fk_request_wake_ns;

/* As stat(2) tells them, so that user space knows the same content when it opens the file. */
static __always_inline void tell_content(struct fk_file_request *request, struct file *mapped)
{
	struct inode *inode;

	request->mtime_ns = 0;
	request->size_bytes = 0;
	if (!mapped)
		return;
	inode = BPF_CORE_READ(mapped, f_inode);
	request->mtime_ns = inode_mtime_ns(inode);
	request->size_bytes = BPF_CORE_READ(inode, i_size);
}

static __always_inline int announce_file(struct unwind_state *state, struct fk_file *file,
					 struct vma *vma, __u64 address)
{
	struct fk_file_request *request = bpf_ringbuf_reserve(&requests, sizeof(*request), 0);
	bool is_due = state->now_ns - fk_request_wake_ns >= REQUEST_WAKE_NS;

	if (!request)
		return -1;
	fill_record(&request->record, FK_RECORD_FILE, sizeof(*request));
	request->incarnation = state->incarnation;
	request->file = *file;
	request->address = address;
	request->vm_start = vma->start;
	request->vm_limit = vma->limit;
	request->file_offset = vma->file_offset;
	tell_content(request, vma->file);
	if (is_due)
		fk_request_wake_ns = state->now_ns;
	bpf_ringbuf_submit(request, is_due ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void request_file(struct unwind_state *state, struct fk_file *file,
					 struct vma *vma, __u64 address)
{
	struct fk_unwind_file entry = { .state = FK_FILE_REQUESTED, .last_use_ns = state->now_ns };
	long err = bpf_map_update_elem(&files, file, &entry, BPF_NOEXIST);
	struct fk_unwind_stats *stats;
	__u32 zero = 0;

	/* Another CPU was quicker, or has the bucket. */
	if (err == -EEXIST || err == -EBUSY)
		return;
	stats = bpf_map_lookup_elem(&unwind_stats, &zero);
	if (!stats)
		return;
	if (err) {
		stats->files_full++;
	} else if (announce_file(state, file, vma, address)) {
		stats->request_drops++;
		bpf_map_delete_elem(&files, file);
	}
}

/* The part of the mapping that one segment of the file makes up, in terms of its table. */
static __always_inline int use_segment(struct unwind_mapping *mapping, struct vma *vma,
				       struct fk_unwind_file *file, __u64 address)
{
	__u64 shift = vma->start - vma->file_offset, place = address - shift, start, limit;
	struct fk_code_segment *segment;

	for (int i = 0; i < FK_CODE_SEGMENTS; i++) {
		segment = &file->segments[i];
		start = segment->offset;
		limit = segment->limit;
		if (place < start || place >= limit)
			continue;
		mapping->bias = shift - segment->pc_minus_offset;
		if (start < vma->file_offset)
			start = vma->file_offset;
		if (limit > vma->limit - shift)
			limit = vma->limit - shift;
		mapping->start = start + shift;
		mapping->size = limit - start;
		return 0;
	}
	return -1;
}

/* Another number when the inode is used for another file, or the file is written over. */
static __always_inline __u32 content_generation(struct inode *inode)
{
	__u64 hash = hash_word(BPF_CORE_READ(inode, i_generation), BPF_CORE_READ(inode, i_size));

	return hash_finish(hash_word(hash, inode_mtime_ns(inode)));
}

static __always_inline void use_file(struct unwind_state *state, struct unwind_mapping *mapping,
				     struct vma *vma, __u64 address)
{
	struct fk_file key = {};
	struct file *mapped = vma->file;
	struct fk_unwind_file *file;
	struct inode *inode;

	if (mapped) {
		inode = BPF_CORE_READ(mapped, f_inode);
		key.inode = BPF_CORE_READ(inode, i_ino);
		key.device = BPF_CORE_READ(inode, i_sb, s_dev);
		key.generation = content_generation(inode);
	} else {
		key.inode = FK_INODE_VDSO;
		vma->file_offset = 0;
	}
	mapping->start = vma->start;
	mapping->size = vma->limit - vma->start;
	mapping->kind = MAPPING_UNKNOWN;
	mapping->end = FK_END_NO_TABLE;
	file = bpf_map_lookup_elem(&files, &key);
	if (!file)
		return request_file(state, &key, vma, address);
	if (file->state == FK_FILE_NO_TABLE) {
		mapping->end = FK_END_NO_UNWIND_INFO;
	} else if (file->state == FK_FILE_JIT) {
		mapping->kind = MAPPING_JIT;
	} else if (file->state == FK_FILE_READY) {
		mapping->kind = MAPPING_TABLE;
		mapping->table = file->table;
		mapping->levels = file->levels;
		if (use_segment(mapping, vma, file, address)) {
			mapping->kind = MAPPING_UNKNOWN;
			mapping->end = FK_END_GAP;
			mapping->start = address;
			mapping->size = 1;
		}
	}
	/* An entry that is removed is used again at once for another file. */
	if (bpf_map_lookup_elem(&files, &key) != file) {
		mapping->kind = MAPPING_UNKNOWN;
		mapping->end = FK_END_NO_TABLE;
	} else if (state->now_ns - file->last_use_ns > LAST_USE_NS) {
		file->last_use_ns = state->now_ns;
	}
}

#endif
