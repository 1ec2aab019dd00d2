/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the unwinder knows while it walks one stack, in one per-CPU record: registers, the mappings
 * met, the frames put down. The steps of architecture and runtimes read and write the same state.
 */
#ifndef FK_UNWIND_STATE_BPF_H
#define FK_UNWIND_STATE_BPF_H

/* pc is where the task was interrupted, and `registers` are those of that place; later pcs are
 * return addresses, and of the registers only sp and fp are known. */
#define UNWIND_LEAF 1
/* fp is not the caller's: it was not saved. */
#define UNWIND_FP_LOST 2

/* Mappings kept for one stack; the oldest is replaced. */
#define UNWIND_MAPPINGS 4
#define UNWIND_USER_WORDS 17
/* How often a caller's frame may lie below: on another stack, as Go's own and a goroutine's do. */
#define UNWIND_SWITCHES 3

enum unwind_mapping_kind {
	MAPPING_NO_CODE = 0,
	MAPPING_TABLE,		/* of a file that has a table */
	MAPPING_UNKNOWN,	/* of a file that has none; `end` says why */
	MAPPING_JIT,		/* code made at run time */
	MAPPING_RUNTIME,	/* the same, and a runtime's step knows it */
};

struct unwind_mapping {
	__u64 start;
	__u64 size;
	__u64 bias;	/* address - a table's pc; of a runtime: its cookie */
	__u32 kind;
	__u32 end;	/* enum fk_stack_end */
	__u32 table;	/* of a runtime: enum fk_runtime */
	__u32 levels;
};

struct unwind_state {
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u32 flags;
	__u32 doubt;	/* the first reason not to trust the frames; FK_END_COMPLETE for none */
	__u32 switches;
	__u32 n_mappings;	/* met so far: the next one's place */
	__u32 current;		/* the one that was asked for last */
	__u64 now_ns;
	struct mm_struct *mm;
	struct fk_incarnation incarnation;
	struct pt_regs registers;
	struct unwind_mapping mappings[UNWIND_MAPPINGS];
	__u64 user_words[UNWIND_USER_WORDS];
	__u8 kernel_object[256];
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

/* A step returns 0, or this. */
static __always_inline int end_stack(struct unwind_state *state, enum fk_stack_end end)
{
	state->stack.end = state->doubt ? state->doubt : end;
	return 1;
}

/* Returns 0, or -1 when there is no room: the stack is to end with FK_END_DEPTH. */
static __always_inline int push_frame(struct unwind_state *state, __u64 word)
{
	__u32 n = state->stack.n_words;

	if (n >= FK_STACK_WORDS)
		return -1;
	state->stack.words[n] = word;
	state->stack.n_words = n + 1;
	return 0;
}

/* The end of a step: the state is now the caller's. */
static __always_inline int go_to_caller(struct unwind_state *state, __u64 pc, __u64 sp, __u64 fp)
{
	if (pc == 0)
		return end_stack(state, FK_END_COMPLETE);
	if (sp <= state->sp && ++state->switches > UNWIND_SWITCHES)
		return end_stack(state, FK_END_BAD_RULE);
	state->pc = pc;
	state->sp = sp;
	state->fp = fp;
	state->flags &= ~UNWIND_LEAF;
	return 0;
}

/* The address that says in which code the state is: a return address may be the first
 * byte after the code that called. */
static __always_inline __u64 code_address(struct unwind_state *state)
{
	return state->flags & UNWIND_LEAF ? state->pc : state->pc - 1;
}

#endif
