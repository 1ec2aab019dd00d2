/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What differs by CPU architecture: registers, user addresses, where a task's user
 * registers lie. Here: x86-64. */
#ifndef FK_ARCH_X86_64_BPF_H
#define FK_ARCH_X86_64_BPF_H

/* uapi layout, not relocated: the context of a perf_event program may only be read in whole words,
 * and newer kernels declare cs as 16 bits. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};

/* 48-bit virtual addresses, the lower half is the user's; nothing is mapped in its first page. With
 * 57 bits the kernel still maps nothing above unless it is asked to. */
#define ARCH_USER_FIRST 0x1000ULL
#define ARCH_USER_LIMIT (1ULL << 47)

#define ARCH_PAGE_SHIFT 12

/* THREAD_SIZE, without KASAN. */
#define ARCH_THREAD_SIZE 16384

static __always_inline bool arch_is_user_address(__u64 address)
{
	return address >= ARCH_USER_FIRST && address < ARCH_USER_LIMIT;
}

static __always_inline bool arch_is_user_mode(__u64 cs)
{
	return cs & 3;
}

/* Code segment 0x23, or 0xe023 under Xen PV. Above 16 bits FRED keeps other things. */
static __always_inline bool arch_is_32bit(__u64 cs)
{
	return (cs & 0xff) == 0x23;
}

/* Field by field, as a program's context is read in whole words; orig_ax and ss, which nobody asks
 * for, are left out. */
static __always_inline void arch_copy_registers(struct pt_regs *to, const struct pt_regs *from)
{
	to->r15 = from->r15;
	to->r14 = from->r14;
	to->r13 = from->r13;
	to->r12 = from->r12;
	to->bp = from->bp;
	to->bx = from->bx;
	to->r11 = from->r11;
	to->r10 = from->r10;
	to->r9 = from->r9;
	to->r8 = from->r8;
	to->ax = from->ax;
	to->cx = from->cx;
	to->dx = from->dx;
	to->si = from->si;
	to->di = from->di;
	to->ip = from->ip;
	to->cs = from->cs;
	to->flags = from->flags;
	to->sp = from->sp;
}

/* For kernels without bpf_task_pt_regs: 5.15 has it, and the padding of
 * FRED kernels (6.9) came later. */
static __always_inline void *arch_user_regs_address(void *kernel_stack)
{
	return kernel_stack + ARCH_THREAD_SIZE - sizeof(struct pt_regs);
}

#endif
