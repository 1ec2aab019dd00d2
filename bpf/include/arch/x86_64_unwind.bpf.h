/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The step by a table's rule on x86-64: x86_64_rule.h says what the bits mean. */
#ifndef FK_ARCH_X86_64_UNWIND_BPF_H
#define FK_ARCH_X86_64_UNWIND_BPF_H

#include "x86_64_rule.h"

#define FIELD(word, shift, bits) ((word) >> (shift) & ((1U << (bits)) - 1))
#define SIGNED_FIELD(word, shift, bits) ((__s64)((__u64)(word) << (64 - (shift) - (bits))) >> (64 - (bits)))
/* A saved rbp up to so many words below the CFA is read together with the return address. */
#define SAVED_WORDS_MAX 16

/* By DWARF number, those that a function need not keep for its caller. A caller that names its own frame
 * by one of them knows what it calls: assembly, which leaves it alone. */
#define SCRATCH_REGISTERS 0xf37

/* Where gregs lies in ucontext_t: r8 .. r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
#define UCONTEXT_GREGS 40

static __always_inline void arch_begin(struct unwind_state *state)
{
	state->pc = state->registers.ip;
	state->sp = state->registers.sp;
	state->fp = state->registers.bp;
	state->flags = UNWIND_LEAF;
}

/* Where in a function with a frame pointer the leaf is interrupted. */
enum arch_edge {
	ARCH_INSIDE = 0,
	ARCH_BEFORE_PUSH,	/* the return address is at sp; so it is at a ret */
	ARCH_AFTER_PUSH,	/* the caller's fp is at sp, the return address above */
};

#define CODE_RET 0xc3
#define CODE_PUSH_MOVE 0xe5894855	/* push rbp; mov rbp, rsp */

/* By the bytes at pc and the one before. */
static __always_inline enum arch_edge arch_edge(struct unwind_state *state)
{
	__u64 *code = state->user_words;

	if (bpf_probe_read_user(code, sizeof(*code), (void *)(state->pc - 1)))
		return ARCH_INSIDE;
	if ((*code >> 8 & 0xff) == CODE_RET || (__u32)(*code >> 8) == CODE_PUSH_MOVE)
		return ARCH_BEFORE_PUSH;
	return (__u32)*code == CODE_PUSH_MOVE ? ARCH_AFTER_PUSH : ARCH_INSIDE;
}

static __always_inline bool arch_is_gap(__u32 rule)
{
	return FIELD(rule, 0, FK_RULE_KIND_BITS) == FK_RULE_NONE;
}

static __always_inline bool arch_has_frame_pointer(__u32 rule)
{
	return FIELD(rule, 0, FK_RULE_KIND_BITS) == FK_RULE_FP;
}

static __always_inline int read_user_word(struct unwind_state *state, __u64 *word, __u64 address)
{
	if (bpf_probe_read_user(state->user_words, sizeof(*word), (void *)address))
		return -1;
	*word = state->user_words[0];
	return 0;
}

/* By DWARF number. */
static __always_inline __u64 leaf_register(const struct pt_regs *registers, __u32 number)
{
	switch (number) {
	case 0:
		return registers->ax;
	case 1:
		return registers->dx;
	case 2:
		return registers->cx;
	case 3:
		return registers->bx;
	case 4:
		return registers->si;
	case 5:
		return registers->di;
	case 6:
		return registers->bp;
	case 7:
		return registers->sp;
	case 8:
		return registers->r8;
	case 9:
		return registers->r9;
	case 10:
		return registers->r10;
	case 11:
		return registers->r11;
	case 12:
		return registers->r12;
	case 13:
		return registers->r13;
	case 14:
		return registers->r14;
	default:
		return registers->r15;
	}
}

/* The caller of a signal handler is what the signal interrupted, anywhere: a leaf again. */
static __always_inline int step_over_signal(struct unwind_state *state)
{
	struct pt_regs *to = &state->registers;
	__u64 *gregs = state->user_words;

	if (bpf_probe_read_user(gregs, UNWIND_USER_WORDS * sizeof(*gregs),
				(void *)(state->sp + UCONTEXT_GREGS)))
		return end_stack(state, FK_END_READ_FAULT);
	to->r8 = gregs[0];
	to->r9 = gregs[1];
	to->r10 = gregs[2];
	to->r11 = gregs[3];
	to->r12 = gregs[4];
	to->r13 = gregs[5];
	to->r14 = gregs[6];
	to->r15 = gregs[7];
	to->di = gregs[8];
	to->si = gregs[9];
	to->bp = gregs[10];
	to->bx = gregs[11];
	to->dx = gregs[12];
	to->ax = gregs[13];
	to->cx = gregs[14];
	to->sp = gregs[15];
	to->ip = gregs[16];
	arch_begin(state);
	return 0;
}

/* The CFA of the rules that have one. Returns 0, or how the stack ends. */
static __always_inline int find_cfa(struct unwind_state *state, __u32 rule, __u64 address,
				    __u64 *cfa)
{
	__u64 wide = (__u64)(rule >> FK_RULE_WIDE_SHIFT) * sizeof(__u64);
	__s64 offset = SIGNED_FIELD(rule, FK_RULE_OFFSET_SHIFT, 12) * (__s64)sizeof(__u64);
	__u32 small = FIELD(rule, FK_RULE_SMALL_SHIFT, FK_RULE_SMALL_BITS);
	__u32 kind = FIELD(rule, 0, FK_RULE_KIND_BITS);

	if ((kind == FK_RULE_RBP || kind == FK_RULE_RBP_DEREF) && state->flags & UNWIND_FP_LOST)
		return FK_END_BAD_RULE;
	if (kind == FK_RULE_RA_REGISTER && !(state->flags & UNWIND_LEAF))
		return FK_END_BAD_RULE;
	if ((kind == FK_RULE_REGISTER || kind == FK_RULE_RSP_INDEX) &&
	    !(state->flags & UNWIND_LEAF) && !(SCRATCH_REGISTERS >> small & 1))
		return FK_END_BAD_RULE;
	switch (kind) {
	case FK_RULE_RSP:
		*cfa = state->sp + wide;
		return 0;
	case FK_RULE_RBP:
		*cfa = state->fp + wide;
		return 0;
	case FK_RULE_RSP_DEREF:
	case FK_RULE_RBP_DEREF:
		*cfa = kind == FK_RULE_RSP_DEREF ? state->sp : state->fp;
		if (read_user_word(state, cfa, *cfa + offset))
			return FK_END_READ_FAULT;
		*cfa += small * sizeof(__u64);
		return 0;
	case FK_RULE_REGISTER:
	case FK_RULE_RSP_INDEX:
		*cfa = leaf_register(&state->registers, small);
		if (kind == FK_RULE_REGISTER) {
			*cfa += offset;
			return 0;
		}
		if (read_user_word(state, cfa, state->sp + offset + *cfa * sizeof(__u64)))
			return FK_END_READ_FAULT;
		*cfa += sizeof(__u64);
		return 0;
	case FK_RULE_RA_REGISTER:
		*cfa = state->sp + offset;
		return 0;
	case FK_RULE_PLT:
		*cfa = state->sp + ((address & 15) >= small ? 16 : 8);
		return 0;
	default:
		return FK_END_BAD_RULE;
	}
}

/* The caller's rbp and return address. Returns 0, or -1 when they cannot be read. */
static __always_inline int read_saved(struct unwind_state *state, __u32 rule, __u64 cfa, __u64 *fp,
				      __u64 *pc)
{
	__u32 where = FIELD(rule, FK_RULE_RBP_SHIFT, FK_RULE_RBP_BITS);
	__s64 offset = SIGNED_FIELD(rule, FK_RULE_RBP_OFFSET_SHIFT, FK_RULE_RBP_OFFSET_BITS);
	__u32 below = -offset & 0xff;

	/* What was lost further in is found again where it had been saved. */
	if (where == FK_RBP_CFA)
		state->flags &= ~UNWIND_FP_LOST;
	else if (where == FK_RBP_LOST)
		state->flags |= UNWIND_FP_LOST;
	if (where == FK_RBP_CFA && below >= 2 && below <= SAVED_WORDS_MAX) {
		if (bpf_probe_read_user(state->user_words, below * sizeof(__u64),
					(void *)(cfa - below * sizeof(__u64))))
			return -1;
		*fp = state->user_words[0];
		*pc = state->user_words[below - 1];
		return 0;
	}
	*fp = state->fp;
	if (where == FK_RBP_CFA || (where == FK_RBP_RBP && !(state->flags & UNWIND_FP_LOST))) {
		__u64 base = where == FK_RBP_CFA ? cfa : state->fp;

		if (read_user_word(state, fp, base + offset * (__s64)sizeof(__u64)))
			return -1;
	}
	return read_user_word(state, pc, cfa - sizeof(__u64));
}

static __always_inline int arch_follow_rule(struct unwind_state *state, __u32 rule, __u64 address)
{
	__u32 kind = FIELD(rule, 0, FK_RULE_KIND_BITS), small;
	__u64 cfa, fp, pc;
	int end;

	if (kind == FK_RULE_STOP)
		return end_stack(state, FK_END_COMPLETE);
	if (kind == FK_RULE_SIGNAL)
		return step_over_signal(state);
	end = find_cfa(state, rule, address, &cfa);
	if (end)
		return end_stack(state, end);
	if (kind == FK_RULE_RA_REGISTER) {
		small = FIELD(rule, FK_RULE_SMALL_SHIFT, FK_RULE_SMALL_BITS);
		pc = leaf_register(&state->registers, small);
		return go_to_caller(state, pc, cfa, state->fp);
	}
	if (read_saved(state, rule, cfa, &fp, &pc))
		return end_stack(state, FK_END_READ_FAULT);
	return go_to_caller(state, pc, cfa, fp);
}

#endif
