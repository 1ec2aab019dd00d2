/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What our programs read of the kernel, and no more: uapi constants as they are, structs with the
 * fields we use. Their offsets are relocated to the running kernel when the object is loaded
 * (CO-RE), so order and gaps mean nothing.
 */
#ifndef FK_KERNEL_TYPES_H
#define FK_KERNEL_TYPES_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* uapi/linux/bpf.h */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_MAP_TYPE_TASK_STORAGE 29
#define BPF_F_NO_PREALLOC (1U << 0)
#define BPF_LOCAL_STORAGE_GET_F_CREATE (1U << 0)
#define BPF_NOEXIST 1
#define BPF_F_MMAPABLE (1U << 10)
#define BPF_F_INNER_MAP (1U << 12)
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0
#define BPF_RB_RING_SIZE 1

/* linux/sched.h, linux/sched/signal.h; uapi/asm-generic/errno-base.h */
#define PF_KTHREAD 0x00200000
#define TASK_RUNNING 0
#define TASK_DEAD 0x0080
#define SIGNAL_GROUP_EXIT 0x00000004
#define EBUSY 16
#define EEXIST 17

/* linux/mm.h */
#define VM_EXEC 0x00000004

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Only asked whether they exist. */
enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
	BPF_FUNC_task_pt_regs = 175,
};

typedef struct {
	int counter;
} atomic_t;

struct list_head {
	struct list_head *next;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct list_head cgrp_links;
};

struct super_block {
	unsigned int s_dev;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	unsigned int i_generation;
	long long i_size;
	long long i_mtime_sec;
	__u32 i_mtime_nsec;
};

/* Its time of change was a struct until 6.11 (3aa63a569c64), by another name until 6.6
 * (12cd44023651). */
struct inode___6_6 {
	struct timespec64 __i_mtime;
};

struct inode___5_10 {
	struct timespec64 i_mtime;
};

struct file {
	struct inode *f_inode;
};

/* Mappings are kept in a maple tree since 6.1 (524e00b36e8c), in a red-black tree before. */
struct maple_tree {
	void *ma_root;
};

struct maple_range_64 {
	unsigned long pivot[15];
	void *slot[16];
};

struct maple_arange_64 {
	unsigned long pivot[9];
	void *slot[10];
};

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
	struct rb_node vm_rb;
};

typedef struct {
	void *vdso;
} mm_context_t;

struct mm_struct {
	struct maple_tree mm_mt;
	struct rb_root mm_rb;
	mm_context_t context;
	unsigned long arg_start;
	unsigned long arg_end;
};

struct signal_struct {
	atomic_t live;
	unsigned int flags;
	int group_exit_code;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct cfs_rq {
	int throttle_count;
	__u64 throttled_clock_task_time;
	__u64 throttled_clock_pelt_time;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct task_struct {
	unsigned int __state;
	void *stack;
	unsigned int flags;
	int on_cpu;
	int wake_cpu;
	struct sched_entity se;
	_Bool throttled;
	struct mm_struct *mm;
	int exit_code;
	unsigned int in_execve : 1;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	unsigned long nvcsw;
	unsigned long nivcsw;
	__u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct signal_struct *signal;
	__u64 self_exec_id;
	struct css_set *cgroups;
};

/* Before 5.14. */
struct task_struct___long_state {
	long state;
};

/* Context of an iter/task program. */
struct bpf_iter__task {
	struct task_struct *task;
};

struct perf_event_attr {
	__u32 wakeup_events;
};

struct perf_event {
	struct perf_event_attr attr;
};

/* What a perf_event program's context is behind the verifier's view of it. */
struct bpf_perf_event_data_kern {
	struct perf_event *event;
};

struct linux_binprm;

#pragma clang attribute pop

#endif
