/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How a caller's registers are found on x86-64, in 32 bits. CFA is rsp before the call was made; where
 * nothing else is said the return address lies at CFA - 8, and the caller's rsp is the CFA.
 *
 *   31                  20 19         16 15              8 7   6 5    4 3     0
 *  |  offset: s12, in 8 B | small: u4   | rbp offset: s8  |  0  | rbp  | kind  |
 *  |          wide offset: u16, in 8 B  |         in 8 B  |
 * The wide offset is never negative: the caller's stack lies above.
 * Registers are numbered as in DWARF: rax rdx rcx rbx rsi rdi rbp rsp r8 .. r15.
 */
#ifndef FK_ARCH_X86_64_RULE_H
#define FK_ARCH_X86_64_RULE_H

enum fk_rule_kind {
	FK_RULE_NONE = 0,	/* no information: a gap between functions */
	FK_RULE_RSP,		/* CFA = rsp + wide offset */
	FK_RULE_RBP,		/* CFA = rbp + wide offset */
	FK_RULE_RSP_DEREF,	/* CFA = *(rsp + offset) + small * 8 */
	FK_RULE_RBP_DEREF,	/* CFA = *(rbp + offset) + small * 8 */
	FK_RULE_REGISTER,	/* CFA = register small + offset; behind the leaf only scratch registers are known */
	FK_RULE_RA_REGISTER,	/* CFA = rsp + offset, the return address is in register small; leaf only */
	FK_RULE_PLT,		/* CFA = rsp + 8, and 8 more when (pc & 15) >= small: an entry pushes its number there */
	FK_RULE_SIGNAL,		/* rsp points at the ucontext that holds all registers */
	FK_RULE_STOP,		/* the outermost frame */
	FK_RULE_FP,		/* CFA = rbp + 16, the caller's rbp at rbp: code that writes rsp freely but keeps rbp */
	FK_RULE_RSP_INDEX,	/* CFA = *(rsp + offset + register small * 8) + 8; registers as above */
	FK_RULE_BAD,		/* there is information that does not fit here or is broken */
	FK_RULE_MAX,
};

/* Where the caller's rbp is. */
enum fk_rule_rbp {
	FK_RBP_SAME = 0,	/* still in rbp */
	FK_RBP_CFA,		/* at CFA + rbp offset */
	FK_RBP_RBP,		/* at rbp + rbp offset */
	FK_RBP_LOST,		/* nowhere */
};

enum fk_rule_layout {
	FK_RULE_KIND_BITS = 4,
	FK_RULE_RBP_SHIFT = 4,
	FK_RULE_RBP_BITS = 2,
	FK_RULE_RBP_OFFSET_SHIFT = 8,
	FK_RULE_RBP_OFFSET_BITS = 8,
	FK_RULE_WIDE_SHIFT = 16,
	FK_RULE_SMALL_SHIFT = 16,
	FK_RULE_SMALL_BITS = 4,
	FK_RULE_OFFSET_SHIFT = 20,
};

#endif
