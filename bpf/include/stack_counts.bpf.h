/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Weighted stacks, counted here in two generations: user space flips, waits until no program
 * can still write to the old one, and drains it. Stacks are kept once under a hash of their
 * content, and counts by that hash.
 *
 * Limits: counts and stacks hold what user space sets as max_entries. A full `stacks` leaves
 * FK_END_STACK_MAP_FULL in place of the stack; a full `counts` loses the sample, counted as
 * FK_LOST_COUNT_MAP_FULL.
 */
#ifndef FK_STACK_COUNTS_BPF_H
#define FK_STACK_COUNTS_BPF_H

#include "generation.bpf.h"
#include "hash.bpf.h"
#include "unwind.bpf.h"

struct counts_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fk_sample_key);
	__type(value, __u64);
} counts_0 SEC(".maps"), counts_1 SEC(".maps");

struct stacks_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct fk_stack);
} stacks_0 SEC(".maps"), stacks_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct counts_map);
} counts SEC(".maps") = { .values = { &counts_0, &counts_1 } };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct stacks_map);
} stacks SEC(".maps") = { .values = { &stacks_0, &stacks_1 } };

/* Keeps unwind_state()->stack in this generation. Returns its hash, or an id below
 * FK_STACK_FIRST for a stack without frames or without room. Words past n_words are left over
 * from other stacks and mean nothing. */
__noinline __u64 keep_stack(__u32 generation)
{
	struct unwind_state *state = unwind_state();
	struct fk_stack *stack, *kept;
	__u64 hash;
	void *map;
	__u32 n;
	long err;

	if (!state)
		return FK_STACK_NONE;
	stack = &state->stack;
	n = stack->n_words;
	if (n == 0 || n > FK_STACK_WORDS)
		return 1 + stack->end;
	hash = n << 8 | stack->end;
	for (__u32 i = 0; i < FK_STACK_WORDS && i < n; i++)
		hash = hash_word(hash, stack->words[i]);
	hash = hash_finish(hash);
	if (hash < FK_STACK_FIRST)
		hash += FK_STACK_FIRST;

	map = bpf_map_lookup_elem(&stacks, &generation);
	if (!map)
		return 1 + FK_END_STACK_MAP_FULL;
	kept = bpf_map_lookup_elem(map, &hash);
	if (kept) {
		bool is_same = kept->n_words == n && kept->words[0] == stack->words[0];

		return is_same ? hash : 1 + FK_END_STACK_MAP_FULL;
	}
	err = bpf_map_update_elem(map, &hash, stack, BPF_NOEXIST);
	return err && err != -EEXIST ? 1 + FK_END_STACK_MAP_FULL : hash;
}

/* Returns 0, or -1 when there was no room for a new key. */
static __always_inline int add_count(__u32 generation, struct fk_sample_key *key, __u64 weight)
{
	void *map = bpf_map_lookup_elem(&counts, &generation);
	__u64 *count;
	long err;

	if (!map)
		return -1;
	count = bpf_map_lookup_elem(map, key);
	if (!count) {
		err = bpf_map_update_elem(map, key, &weight, BPF_NOEXIST);
		if (err != -EEXIST)
			return err ? -1 : 0;
		/* Another CPU was quicker. */
		count = bpf_map_lookup_elem(map, key);
		if (!count)
			return -1;
	}
	__sync_fetch_and_add(count, weight);
	return 0;
}

#endif
