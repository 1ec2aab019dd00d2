/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The step by frame pointer, for code without a table:
 *
 *      sp            fp
 *      | locals ...  | saved fp | return address | caller's ...
 *
 * It is believed when fp lies above sp, not far, and the return address in code.
 */
#ifndef FK_FRAME_POINTER_BPF_H
#define FK_FRAME_POINTER_BPF_H

#include "mappings.bpf.h"

#define FRAME_BYTES_MAX (1 << 20)

/* `end` is why the stack ends when the frame pointer is none. Only code that is known to keep
 * one (has_fp) may have been called on another stack. */
static __always_inline int step_by_frame_pointer(struct unwind_state *state, enum fk_stack_end end,
						 bool has_fp)
{
	__u64 fp = state->fp, *caller = state->user_words;
	bool is_near = fp >= state->sp && fp - state->sp < FRAME_BYTES_MAX;

	/* The outermost frame's is 0. In a leaf, code without frame pointers may use the register
	 * for something else. */
	if (fp == 0 && !(state->flags & (UNWIND_LEAF | UNWIND_FP_LOST)))
		return end_stack(state, FK_END_COMPLETE);
	if (state->flags & UNWIND_FP_LOST || fp % sizeof(fp) || !arch_is_user_address(fp))
		return end_stack(state, end);
	if (!is_near && (!has_fp || ++state->switches > UNWIND_SWITCHES))
		return end_stack(state, end);
	if (bpf_probe_read_user(caller, 2 * sizeof(*caller), (void *)fp))
		return end_stack(state, has_fp ? FK_END_READ_FAULT : end);
	if (caller[1] && mapping_of(state, caller[1] - 1)->kind == MAPPING_NO_CODE)
		return end_stack(state, end);
	return go_to_caller(state, caller[1], fp + 2 * sizeof(*caller), caller[0]);
}

#endif
