/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The head of a ring's record. */
#ifndef FK_RECORD_BPF_H
#define FK_RECORD_BPF_H

static __always_inline void fill_record(struct fk_record *record, enum fk_record_tag tag,
					__u32 size)
{
	record->tag = tag;
	record->size = size;
	record->ktime_ns = bpf_ktime_get_ns();
}

#endif
