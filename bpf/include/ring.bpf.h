/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Records for user space. It reads the ring at every flush and is only woken early
 * when a quarter is full, since a wake costs more than a record. A record that finds
 * no room is counted in `drops`.
 */
#ifndef FK_RING_BPF_H
#define FK_RING_BPF_H

#include "record.bpf.h"

/* User space sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

static __always_inline void count_drop(void)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&drops, &zero);

	if (count)
		(*count)++;
}

/* Room for one TYPE, its head filled; or NULL, counted. Every other
 * field is the caller's to assign. */
#define reserve_record(TYPE, TAG)                                                          \
	({                                                                                 \
		TYPE *reserved = bpf_ringbuf_reserve(&events, sizeof(TYPE), 0);            \
		if (reserved)                                                              \
			fill_record((struct fk_record *)reserved, TAG, sizeof(TYPE));      \
		else                                                                       \
			count_drop();                                                      \
		reserved;                                                                  \
	})

static __always_inline void submit_record(void *record)
{
	__u64 used = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	__u64 size = bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);

	bpf_ringbuf_submit(record, used > size / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

#endif
