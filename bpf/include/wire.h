/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Every struct and constant that kernel and TypeScript share, declared once. The
 * decoders in bpf/generated are written from the BTF of the compiled objects; nothing is
 * declared a second time by hand.
 *
 * Only __u8..__u64, __s8..__s64, char[N], fixed arrays and nested wire structs; explicit pad;
 * no implicit padding between WIRE_BEGIN and WIRE_END. Times are ns: ktime is
 * CLOCK_MONOTONIC, boot is CLOCK_BOOTTIME.
 */
#ifndef FK_WIRE_H
#define FK_WIRE_H

#define WIRE_BEGIN _Pragma("clang diagnostic push") _Pragma("clang diagnostic error \"-Wpadded\"")
#define WIRE_END _Pragma("clang diagnostic pop")

/* Lengths of the arrays below; bytes where the name does not say words or types. */
enum fk_limit {
	FK_STACK_WORDS = 127,
	FK_SAMPLE_TYPES = 8,
	FK_CGROUP_PATH = 256,
	FK_ARGS = 512,
};

/* Why a stack ends where it does. Stored with every stack. */
enum fk_stack_end {
	FK_END_COMPLETE = 0,	/* the outermost frame was reached */
	FK_END_FP_IMPLAUSIBLE,	/* unaligned, not rising, or a return address out of range */
	FK_END_READ_FAULT,	/* the frame pointer's memory is not readable now */
	FK_END_DEPTH,		/* FK_STACK_WORDS reached */
	FK_END_32BIT,		/* a 32-bit process: not unwound */
	FK_END_NO_REGISTERS,	/* the task's user registers were not at hand */
	FK_END_STACK_MAP_FULL,	/* the stack was walked, but there was no room to keep it */
	FK_END_MAX,
};

/* Why a sample that fired was not kept. */
enum fk_lost {
	FK_LOST_COUNT_MAP_FULL = 0,
	FK_LOST_NO_TASK,	/* the task's identity could not be read */
	FK_LOST_MAX,
};

/* Stack hashes below FK_STACK_FIRST are no hashes. */
enum fk_stack_id {
	FK_STACK_NONE = 0,	/* no such stack: a kernel thread has no user stack */
	FK_STACK_FIRST = 256,	/* below it: 1 + enum fk_stack_end of a stack without frames */
};

/* Top byte of a frame's first word. Canonical addresses carry theirs already. */
enum fk_frame_kind {
	FK_FRAME_USER = 0x00,
	FK_FRAME_KERNEL = 0xff,
};

enum fk_record_tag {
	FK_RECORD_EXEC = 1,
	FK_RECORD_EXEC_ARGS,
	FK_RECORD_EXIT,
	FK_RECORD_CGROUP,
};

WIRE_BEGIN

/* One program image of a process; exec starts a new one. */
struct fk_incarnation {
	__u64 start_boot_ns;	/* of the thread group's leader */
	__u32 tgid;
	__u32 exec_id;		/* low half of task->self_exec_id: forked as it is, +1 an exec */
};

/* counts: key -> __u64 weight. */
struct fk_sample_key {
	struct fk_incarnation incarnation;
	__u64 cgroup;		/* hierarchy's rank in the top byte, kernfs id below it */
	__u64 kernel_stack;	/* content hash, or below FK_STACK_FIRST */
	__u64 user_stack;
	__u32 tid;
	__u32 uid;
	__u32 sample_type;	/* index given by user space, 0 = the clock */
	__u32 pad;
};

/* stacks: content hash -> frames, leaf first. Hash covers words and end. What lies
 * past n_words means nothing. */
struct fk_stack {
	__u16 n_words;
	__u8 end;		/* enum fk_stack_end */
	__u8 pad[5];
	__u64 words[FK_STACK_WORDS];
};

/* stats: per CPU, entry = generation * FK_SAMPLE_TYPES + sample type. seen =
 * captured + idle + sum(lost). */
struct fk_sample_stats {
	__u64 seen;
	__u64 captured;
	__u64 captured_weight;	/* sum of the weights of what was captured */
	__u64 idle;
	__s64 not_fired;	/* clock only: periods without a tick; a late tick takes its back */
	__u64 lost[FK_LOST_MAX];
};

/* clocks: one entry a CPU, written by that CPU alone but for anchor, which user space writes before
 * the event is enabled. Period k of a CPU is due at anchor_ktime_ns + k * period. */
struct fk_clock {
	__u64 anchor_ktime_ns;
	__u64 due;		/* periods due up to the last tick, rounded to the nearest */
	__u64 due_before_flip;	/* the same at the last tick before this generation began */
	__u32 generation;	/* of the last tick: fk_generation, which counts the flips */
	__u32 generation_before_flip;	/* of the tick that due_before_flip tells of */
};

/* Head of every ring record. */
struct fk_record {
	__u32 tag;		/* enum fk_record_tag */
	__u32 size;		/* of the whole record */
	__u64 ktime_ns;
};

struct fk_exec {
	struct fk_record record;
	struct fk_incarnation incarnation;
	__u64 cgroup;
	__u32 parent_tgid;
	__u32 uid;
	char comm[16];
};

struct fk_exec_args {
	struct fk_exec exec;
	__u32 n_bytes;		/* of args; longer command lines are cut */
	__u32 pad;
	char args[FK_ARGS];	/* NUL between arguments */
};

struct fk_exit {
	struct fk_record record;
	struct fk_incarnation incarnation;
	__u64 cgroup;
	__u64 duration_ns;	/* since the leader's start */
	__u32 parent_tgid;
	__u32 uid;
	__u32 exit_code;	/* as wait(2) gives it: status << 8 | signal */
	__u32 pad;
	char comm[16];
};

/* A cgroup was made or renamed. */
struct fk_cgroup {
	struct fk_record record;
	__u64 id;		/* as in fk_sample_key.cgroup */
	char path[FK_CGROUP_PATH];
};

WIRE_END

#endif
