/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The user stack unwinder. All state, the index of the next frame included, lies in one per-CPU
 * record; step() puts one frame down and moves the state to its caller. As step() is global and
 * takes no arguments it is verified once, and a language runtime's own step can take the state over
 * and hand it back. The one rule here is the frame pointer:
 *
 *      sp            fp
 *      | locals ...  | saved fp | return address | caller's ...
 *
 * It must not lie below sp, and the caller's sp is fp + 16: so frame pointers always rise.
 */
#ifndef FK_UNWIND_BPF_H
#define FK_UNWIND_BPF_H

/* pc is where the task was interrupted; later ones are return addresses. */
#define UNWIND_LEAF 1

struct unwind_state {
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u32 flags;
	struct fk_stack stack;
};

/* One a CPU: perf_event programs do not nest (bpf_prog_active). Other program types
 * need a record of their own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_state);
} unwind SEC(".maps");

static __always_inline struct unwind_state *unwind_state(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&unwind, &zero);
}

static __always_inline int end_stack(struct unwind_state *state, enum fk_stack_end end)
{
	state->stack.end = end;
	return 1;
}

static __always_inline int step_by_frame_pointer(struct unwind_state *state)
{
	struct {
		__u64 fp;
		__u64 pc;
	} caller;
	__u64 fp = state->fp;

	/* The outermost frame's is 0. In a leaf, code without frame pointers may use the register
	 * for something else. */
	if (fp == 0 && !(state->flags & UNWIND_LEAF))
		return end_stack(state, FK_END_COMPLETE);
	if (fp % sizeof(fp) || fp < state->sp || !arch_is_user_address(fp))
		return end_stack(state, FK_END_FP_IMPLAUSIBLE);
	if (bpf_probe_read_user(&caller, sizeof(caller), (void *)fp))
		return end_stack(state, FK_END_READ_FAULT);
	if (caller.pc == 0)
		return end_stack(state, FK_END_COMPLETE);
	if (!arch_is_user_address(caller.pc))
		return end_stack(state, FK_END_FP_IMPLAUSIBLE);
	state->pc = caller.pc;
	state->sp = fp + sizeof(caller);
	state->fp = caller.fp;
	state->flags &= ~UNWIND_LEAF;
	return 0;
}

/* Returns 0, or 1 when the stack has ended and stack.end says why. */
__noinline int step(void)
{
	struct unwind_state *state = unwind_state();
	__u32 n;

	if (!state)
		return 1;
	n = state->stack.n_words;
	if (n >= FK_STACK_WORDS)
		return end_stack(state, FK_END_DEPTH);
	state->stack.words[n] = state->pc;
	state->stack.n_words = n + 1;
	return step_by_frame_pointer(state);
}

/* Walks from these registers; the frames are in state->stack afterwards. */
static __always_inline void unwind_user(struct unwind_state *state, __u64 pc, __u64 sp, __u64 fp)
{
	state->pc = pc;
	state->sp = sp;
	state->fp = fp;
	state->flags = UNWIND_LEAF;
	state->stack.n_words = 0;
	state->stack.end = FK_END_DEPTH;
	if (!arch_is_user_address(pc)) {
		state->stack.end = FK_END_FP_IMPLAUSIBLE;
		return;
	}
	for (int i = 0; i < FK_STACK_WORDS; i++) {
		if (step())
			break;
	}
}

#endif
