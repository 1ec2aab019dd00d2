/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Histograms of delays and sums of time by key, in two generations (generation.bpf.h). A histogram
 * is sparse: an entry holds one octave of one key, eight slots and the sum of their delays, so its
 * key ends with the octave.
 *
 * Limits: the maps hold what user space sets as max_entries; all are allocated as they are made,
 * nothing is inside the scheduler. What finds no room is the caller's to count.
 */
#ifndef FK_HIST_BPF_H
#define FK_HIST_BPF_H

#include "generation.bpf.h"
#include "slots.h"

/* Puts the enum into the object's BTF, where the decoders come from. */
union hist_wire {
	enum fk_slot slot;
} *fk_hist_wire;

/* Verified once, as it is global; in line its 512 ways would multiply those of the program. */
__noinline __u32 find_slot_place(__u64 delay_ns)
{
	return slot_place(delay_ns);
}

/* Two maps of one shape, NAME_0 and NAME_1, and the array NAME of both. */
#define TWO_GENERATIONS(NAME, KEY, VALUE, ENTRIES)                                         \
	struct NAME##_map {                                                                \
		__uint(type, BPF_MAP_TYPE_HASH);                                           \
		__uint(max_entries, ENTRIES);                                              \
		__type(key, KEY);                                                          \
		__type(value, VALUE);                                                      \
	} NAME##_0 SEC(".maps"), NAME##_1 SEC(".maps");                                    \
	struct {                                                                           \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                  \
		__uint(max_entries, GENERATIONS);                                          \
		__type(key, __u32);                                                        \
		__array(values, struct NAME##_map);                                        \
	} NAME SEC(".maps") = { .values = { &NAME##_0, &NAME##_1 } }

/* The value of the key, made of zeros when there was none; NULL when there is no room. */
static __always_inline void *find_or_add(void *outer, __u32 generation, const void *key,
					 const void *zeros)
{
	void *map = bpf_map_lookup_elem(outer, &generation), *value;

	if (!map)
		return NULL;
	value = bpf_map_lookup_elem(map, key);
	if (value)
		return value;
	/* -EEXIST: another CPU was quicker. */
	bpf_map_update_elem(map, key, zeros, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* `octave` lies in `key`. Returns 0, or -1 when there was no room. */
static __always_inline int add_delay(void *outer, __u32 generation, const void *key,
				     __u32 *octave, __u64 delay_ns)
{
	__u32 place = find_slot_place(delay_ns) + FK_FIRST_SLOT + FK_SLOT_BIAS;
	struct fk_octave zeros = {}, *entry;

	*octave = place / FK_OCTAVE_SLOTS;
	entry = find_or_add(outer, generation, key, &zeros);
	if (!entry)
		return -1;
	__sync_fetch_and_add(&entry->counts[place % FK_OCTAVE_SLOTS], 1);
	__sync_fetch_and_add(&entry->sum_ns, delay_ns);
	return 0;
}

static __always_inline int add_time(void *outer, __u32 generation, const void *key, __u64 time_ns)
{
	__u64 zero = 0, *sum = find_or_add(outer, generation, key, &zero);

	if (!sum)
		return -1;
	__sync_fetch_and_add(sum, time_ns);
	return 0;
}

#endif
