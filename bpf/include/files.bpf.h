/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Mapped files and their unwind tables. A file that a stack meets for the first time is entered and
 * announced, once; user space answers with a table, or that there is none.
 *
 * Limits: `files` and `tables` hold what user space sets as max_entries. A file without room is
 * counted as files_full, a request without room as request_drops; both are met again.
 */
#ifndef FK_FILES_BPF_H
#define FK_FILES_BPF_H

#include "unwind_table.h"

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

#endif
