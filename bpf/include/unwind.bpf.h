/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The user stack unwinder. step() puts one frame down and moves the state to its caller; how, the
 * code that the frame lies in decides:
 *
 *      a file with a table             its rule for the place: arch/
 *      a file without; a gap in it     the frame pointer, and the stack is never called complete:
 *                                      assembly that leaves it alone has the one of a later caller
 *      code made at run time           the frame pointer, or its runtime's own step
 *
 * All state, the index of the next frame included, lies in one per-CPU record; as step() is global
 * and takes no arguments it is verified once.
 */
#ifndef FK_UNWIND_BPF_H
#define FK_UNWIND_BPF_H

#include "mappings.bpf.h"
#if defined(__TARGET_ARCH_x86)
#include "arch/x86_64_unwind.bpf.h"
#endif
#include "frame_pointer.bpf.h"

/* The last row of the block whose pc is not above the wanted one. Without branches, so that the
 * verifier sees one path: the sign of a difference is the bit to add. */
#define SEARCH_HALF(block, row, wanted, bit)                                                 \
	do {                                                                                 \
		__u64 is_below = (__s64)(block)->pc[(row) + (1 << (bit))] - (wanted) - 1;    \
		is_below >>= 63;                                                             \
		asm volatile("" : "+r"(is_below));                                           \
		(row) += is_below << (bit);                                                  \
	} while (0)

static __always_inline __u32 find_in_block(struct fk_unwind_block *block, __s64 pc)
{
	__u64 row = 0;

	SEARCH_HALF(block, row, pc, 8);
	SEARCH_HALF(block, row, pc, 7);
	SEARCH_HALF(block, row, pc, 6);
	SEARCH_HALF(block, row, pc, 5);
	SEARCH_HALF(block, row, pc, 4);
	SEARCH_HALF(block, row, pc, 3);
	SEARCH_HALF(block, row, pc, 2);
	SEARCH_HALF(block, row, pc, 1);
	SEARCH_HALF(block, row, pc, 0);
	return block->rule[row];
}

/* Returns 0, or -1 when the table is not there. */
static __always_inline int find_rule(__u32 *rule, struct unwind_mapping *mapping, __u64 address)
{
	void *table = bpf_map_lookup_elem(&tables, &mapping->table);
	__s64 pc = address - mapping->bias;
	struct fk_unwind_block *block;

	*rule = 0;
	if (!table)
		return -1;
	for (__u32 level = 0; level < FK_TABLE_LEVELS && level < mapping->levels; level++) {
		block = bpf_map_lookup_elem(table, rule);
		if (!block)
			return -1;
		*rule = find_in_block(block, pc);
	}
	return 0;
}

/* Returns 0, or 1 when the stack has ended and stack.end says why. */
__noinline int step(void)
{
	struct unwind_state *state = unwind_state();
	enum fk_stack_end doubt = FK_END_COMPLETE, end = FK_END_FP_IMPLAUSIBLE;
	struct unwind_mapping *mapping;
	bool has_fp = false;
	__u64 address;
	__u32 rule;

	if (!state)
		return 1;
	address = code_address(state);
	mapping = mapping_of(state, address);
	if (mapping->kind == MAPPING_RUNTIME)
		return step_by_runtime(state, mapping->table);
	if (mapping->kind == MAPPING_NO_CODE && !(state->flags & UNWIND_LEAF))
		return end_stack(state, FK_END_NO_MAPPING);
	if (push_frame(state, state->pc))
		return end_stack(state, FK_END_DEPTH);
	if (mapping->kind == MAPPING_TABLE) {
		if (find_rule(&rule, mapping, address))
			doubt = FK_END_NO_TABLE;
		else if (arch_is_gap(rule))
			doubt = FK_END_GAP;
		else if (arch_has_frame_pointer(rule))
			has_fp = true;
		else
			return arch_follow_rule(state, rule, address);
	} else if (mapping->kind == MAPPING_UNKNOWN) {
		doubt = mapping->end;
	} else if (mapping->kind == MAPPING_JIT) {
		end = FK_END_JIT_NO_FP;
	} else {
		return end_stack(state, FK_END_NO_MAPPING);
	}
	if (doubt && !state->doubt)
		state->doubt = doubt;
	return step_by_frame_pointer(state, end, has_fp);
}

/* Walks from state->registers; the frames are in state->stack afterwards. */
static __always_inline void unwind_user(struct unwind_state *state, struct task_struct *task,
					const struct fk_incarnation *incarnation)
{
	state->incarnation = *incarnation;
	state->mm = BPF_CORE_READ(task, mm);
	state->now_ns = bpf_ktime_get_ns();
	state->doubt = FK_END_COMPLETE;
	state->switches = 0;
	state->n_mappings = 0;
	for (int i = 0; i < UNWIND_MAPPINGS; i++)
		state->mappings[i].size = 0;
	state->stack.n_words = 0;
	state->stack.end = FK_END_DEPTH;
	arch_begin(state);
	for (int i = 0; i <= FK_STACK_WORDS; i++) {
		if (step())
			break;
	}
}

#endif
