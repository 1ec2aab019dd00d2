/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The step by frame pointer, for code without a table:
 *
 *      sp            fp
 *      | locals ...  | saved fp | return address | caller's ...
 *
 * It is believed when fp lies above sp, not far, and the return address in code. A leaf that has not
 * set its frame up yet, or has given it back, is known by its code: arch_edge().
 */
#ifndef FK_FRAME_POINTER_BPF_H
#define FK_FRAME_POINTER_BPF_H

#include "mappings.bpf.h"

#define FRAME_BYTES_MAX (1 << 20)

static __always_inline bool is_code(struct unwind_state *state, __u64 return_address)
{
	return mapping_of(state, return_address - 1)->kind != MAPPING_NO_CODE;
}

/* `end` is why the stack ends when the frame pointer is none. Only code that is known to keep
 * one (has_fp) may have been called on another stack. */
static __always_inline int step_by_frame_pointer(struct unwind_state *state, enum fk_stack_end end,
						 bool has_fp)
{
	__u64 at = state->fp, *saved = state->user_words, pc, fp;
	enum arch_edge edge = ARCH_INSIDE;

	if (state->flags & UNWIND_LEAF)
		edge = arch_edge(state);
	if (edge != ARCH_INSIDE) {
		at = state->sp;
	} else {
		bool is_near = at >= state->sp && at - state->sp < FRAME_BYTES_MAX;

		/* The outermost frame's is 0. In a leaf, code without frame pointers may use the
		 * register for something else. */
		if (at == 0 && !(state->flags & (UNWIND_LEAF | UNWIND_FP_LOST)))
			return end_stack(state, FK_END_COMPLETE);
		if (state->flags & UNWIND_FP_LOST || at % sizeof(at) || !arch_is_user_address(at))
			return end_stack(state, end);
		if (!is_near && !has_fp)
			return end_stack(state, end);
	}
	if (bpf_probe_read_user(saved, 2 * sizeof(*saved), (void *)at))
		return end_stack(state, has_fp ? FK_END_READ_FAULT : end);
	pc = edge == ARCH_BEFORE_PUSH ? saved[0] : saved[1];
	fp = edge == ARCH_BEFORE_PUSH ? state->fp : saved[0];
	if (pc == 0)
		return end_stack(state, FK_END_COMPLETE);
	if (!is_code(state, pc))
		return end_stack(state, end);
	return go_to_caller(state, pc, at + (edge == ARCH_BEFORE_PUSH ? 1 : 2) * sizeof(*saved), fp);
}

#endif
