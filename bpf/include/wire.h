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
	FK_CODE_SEGMENTS = 4,
	FK_CODE_RANGES = 8,
};

/* Why a stack ends where it does, or where it first was not certain. Stored with every stack. */
enum fk_stack_end {
	FK_END_COMPLETE = 0,	/* the outermost frame was reached */
	FK_END_FP_IMPLAUSIBLE,	/* unaligned, not rising, or a return address out of range */
	FK_END_READ_FAULT,	/* the frame pointer's memory is not readable now */
	FK_END_DEPTH,		/* FK_STACK_WORDS reached */
	FK_END_32BIT,		/* a 32-bit process: not unwound */
	FK_END_NO_REGISTERS,	/* the task's user registers were not at hand */
	FK_END_STACK_MAP_FULL,	/* the stack was walked, but there was no room to keep it */
	FK_END_NO_TABLE,	/* the file's table is not there yet */
	FK_END_NO_UNWIND_INFO,	/* there will be none: the file says nothing of its frames */
	FK_END_GAP,		/* the file's table does not know this place */
	FK_END_BAD_RULE,	/* the table's rule is one that cannot be followed */
	FK_END_NO_MAPPING,	/* a return address outside executable memory */
	FK_END_JIT_NO_FP,	/* code made at run time that keeps no frame pointer */
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

/* Delays are counted by slots (slots.h), kept by the octave. Slot i is in octave (i + bias) / 8. */
enum fk_slot {
	FK_OCTAVE_SLOTS = 8,
	FK_SLOT_BIAS = 248,	/* -248 is the first slot of octave 0 */
};

enum fk_record_tag {
	FK_RECORD_EXEC = 1,
	FK_RECORD_EXEC_ARGS,
	FK_RECORD_EXIT,
	FK_RECORD_CGROUP,
	FK_RECORD_FILE,
};

/* What is known of a mapped file's unwind table. */
enum fk_file_state {
	FK_FILE_REQUESTED = 0,	/* met by a stack, and announced in `requests` */
	FK_FILE_READY,
	FK_FILE_NO_TABLE,	/* there can be none: no ELF file, or nothing said of its frames */
	FK_FILE_JIT,		/* no file but memory that code is made in: memfd, /dev/zero */
	FK_FILE_MAX,
};

/* Inode numbers of device 0, which no file has. */
enum fk_fileless {
	FK_INODE_VDSO = 1,
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

/* Value of a histogram's map: one octave of one key. */
struct fk_octave {
	__u64 counts[FK_OCTAVE_SLOTS];
	__u64 sum_ns;
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

/* A mapped file as the kernel knows it. */
struct fk_file {
	__u64 inode;
	__u32 device;		/* of its superblock: major << 20 | minor */
	__u32 generation;	/* tells contents apart that had one inode number after the other */
};

/* An executable PT_LOAD. */
struct fk_code_segment {
	__u64 offset;		/* in the file, bytes; up to limit */
	__u64 limit;
	__s64 pc_minus_offset;	/* a table's pc = file offset + this */
};

/* files: fk_file -> what unwinding needs of it. User space replaces the whole; BPF writes
 * last_use_ns alone. A slot of `tables` is not used for another table until 10 ms after the
 * last entry that named it is gone. */
struct fk_unwind_file {
	__u32 state;		/* enum fk_file_state */
	__u32 table;		/* index in `tables` */
	__u32 levels;		/* of the table, 1 to 3 */
	__u32 n_segments;
	struct fk_code_segment segments[FK_CODE_SEGMENTS];
	__u64 last_use_ns;	/* ktime, to a second */
};

/* A file was met for the first time: user space is to put its table into `tables` and then its
 * state into `files`. */
struct fk_file_request {
	struct fk_record record;
	struct fk_incarnation incarnation;	/* one that maps it */
	struct fk_file file;
	__u64 address;		/* in the mapping */
	__u64 vm_start;
	__u64 vm_limit;
	__u64 file_offset;	/* of vm_start; 0 of the vDSO */
	__u64 mtime_ns;		/* unix time; with the size it tells what the file held; 0 of the vDSO */
	__u64 size_bytes;
};

/* unwind_stats: per CPU. */
struct fk_unwind_stats {
	__u64 files_full;	/* a file found no room in `files` */
	__u64 request_drops;	/* a request found no room in `requests`: the file is asked for again */
};

/* Code that a runtime's own step walks: [start, limit). */
struct fk_code_range {
	__u64 start;
	__u64 limit;
	__u64 cookie;		/* the runtime's: where it finds what it needs to know */
	__u32 runtime;		/* enum fk_runtime */
	__u32 pad;
};

/* code_heaps: incarnation -> its ranges. */
struct fk_code_heaps {
	__u32 n_ranges;
	__u32 pad;
	struct fk_code_range ranges[FK_CODE_RANGES];
};

WIRE_END

#endif
