/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A request of block I/O as the kernel's tracepoints hand it over: what it asks for, of which device,
 * how much, and for whom. What is behind a null pointer reads as 0.
 */
#ifndef FK_BLOCK_REQUEST_BPF_H
#define FK_BLOCK_REQUEST_BPF_H

#include "cgroup.bpf.h"

#define REQ_OP_MASK 0xff
#define REQ_OP_FLUSH 2
#define REQ_OP_DISCARD 3
/* What drivers and user space send past the file systems; not in diskstats. */
#define REQ_OP_FIRST_PRIVATE 32

#define MINOR_BITS 20
#define SIZE_CLASS_KB_4 4096

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int rq_flags;
	unsigned int __data_len;
	struct bio *bio;
};

/* Before 5.17 a request said itself which disk. */
struct request___with_disk {
	struct gendisk *rq_disk;
};

/* Since 6.10; before, bit 4 was RQF_FLUSH_SEQ. */
enum rqf_flags {
	__RQF_FLUSH_SEQ = 1,
};

#pragma clang attribute pop

/* Since 5.11 (a54895fa057c) these tracepoints give the request alone, before the queue came first.
 * Whether the kernel's have the same number of arguments is what its existence means. */
typedef void (*btf_trace_block_rq_issue___request)(void *, struct request *);

enum block_operation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_DISCARD,
	BLOCK_FLUSH,
	BLOCK_OTHER,
};

static __always_inline struct request *request_of(__u64 *ctx)
{
	if (bpf_core_type_exists(btf_trace_block_rq_issue___request))
		return (struct request *)ctx[0];
	return (struct request *)ctx[1];
}

static __always_inline __u32 operation_of(struct request *rq)
{
	__u32 op = rq->cmd_flags & REQ_OP_MASK;

	if (op >= REQ_OP_FIRST_PRIVATE)
		return BLOCK_OTHER;
	if (op == REQ_OP_FLUSH)
		return BLOCK_FLUSH;
	if (op == REQ_OP_DISCARD)
		return BLOCK_DISCARD;
	return op & 1 ? BLOCK_WRITE : BLOCK_READ;
}

/* Part of a flush and not its end: the request is going to be completed once more. */
static __always_inline bool is_in_flush(struct request *rq)
{
	__u32 bit = 4;

	if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_FLUSH_SEQ))
		bit = bpf_core_enum_value(enum rqf_flags, __RQF_FLUSH_SEQ);
	return rq->rq_flags >> bit & 1;
}

static __always_inline __u32 size_class(__u32 bytes)
{
	__u32 class = 0;

	if (bytes == 0)
		return 0;
	for (bytes = (bytes - 1) / SIZE_CLASS_KB_4; bytes && class < 5; bytes /= 4)
		class++;
	return class + 1;
}

/* major << 20 | minor */
static __always_inline __u32 device_of(struct request *rq)
{
	struct gendisk *disk;

	if (bpf_core_field_exists(((struct request___with_disk *)rq)->rq_disk))
		disk = ((struct request___with_disk *)rq)->rq_disk;
	else
		disk = rq->q->disk;
	return disk->major << MINOR_BITS | disk->first_minor;
}

/* The cgroup that the kernel accounts the request to: of version 2 where its io controller is on, of
 * version 1 in the blkio hierarchy. 0: the root, or not known. */
static __always_inline __u64 issuer_of(struct request *rq)
{
	struct cgroup *cgroup;
	__u32 rank;

	if (!bpf_core_field_exists(rq->bio->bi_blkg))
		return 0;
	cgroup = rq->bio->bi_blkg->blkcg->css.cgroup;
	if (cgroup->level == 0)
		return 0;
	rank = cgroup_rank(cgroup);
	return rank == CGROUP_RANK_NONE ? 0 : cgroup_ranked_id(cgroup, rank);
}

#endif
