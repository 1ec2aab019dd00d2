/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Differences between kernels, by feature; never by version number. */
#ifndef FK_KERNEL_COMPAT_BPF_H
#define FK_KERNEL_COMPAT_BPF_H

/* Low half of task->self_exec_id. A u32 until 5.6, a u64 since (d1e7fd6462ca): little-endian, so it
 * starts alike. */
static __always_inline __u32 task_exec_id(struct task_struct *task)
{
	__u32 id = 0;

	bpf_core_read(&id, sizeof(id), &task->self_exec_id);
	return id;
}

/* Inside execve: the address space may be the new image's already while the user
 * registers are still the old one's. */
static __always_inline bool task_is_in_exec(struct task_struct *task)
{
	return bpf_core_field_exists(task->in_execve) &&
	       BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* 0 while the task wants to run. Until 5.14 a long named `state` (2f064a59a11f). */
static __always_inline __u32 task_state(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return ((struct task_struct___long_state *)task)->state;
}

/* Whether the task is off its queue because of a quota. Since 6.18 a task says so itself; before,
 * the whole queue is taken off. */
static __always_inline bool task_is_throttled(struct task_struct *task)
{
	if (bpf_core_field_exists(task->throttled))
		return task->throttled;
	if (bpf_core_field_exists(task->se.cfs_rq->throttle_count))
		return task->se.cfs_rq->throttle_count > 0;
	return false;
}

/* How long the task's queue has been throttled so far, by a clock of its own: only whether it went
 * on is of interest. 5.19 has renamed it. */
static __always_inline __u64 task_throttled_ns(struct task_struct *task)
{
	if (bpf_core_field_exists(task->throttled))
		return 0;
	if (bpf_core_field_exists(task->se.cfs_rq->throttled_clock_pelt_time))
		return task->se.cfs_rq->throttled_clock_pelt_time;
	if (bpf_core_field_exists(task->se.cfs_rq->throttled_clock_task_time))
		return task->se.cfs_rq->throttled_clock_task_time;
	return 0;
}

/* User registers of the current task, as saved when it entered the kernel. Returns 0 or a negative
 * errno. bpf_task_pt_regs came with 5.15 (dd6e10fbd9fb). */
static __always_inline int current_user_regs(struct pt_regs *regs)
{
	struct task_struct *task;
	void *address;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		address = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	} else {
		task = (struct task_struct *)bpf_get_current_task();
		address = arch_user_regs_address(BPF_CORE_READ(task, stack));
	}
	return bpf_probe_read_kernel(regs, sizeof(*regs), address);
}

/* When the file's content was last changed. */
static __always_inline __u64 inode_mtime_ns(struct inode *inode)
{
	struct inode___6_6 *newer = (void *)inode;
	struct inode___5_10 *older = (void *)inode;
	struct timespec64 time = {};

	if (bpf_core_field_exists(inode->i_mtime_sec)) {
		time.tv_sec = BPF_CORE_READ(inode, i_mtime_sec);
		time.tv_nsec = BPF_CORE_READ(inode, i_mtime_nsec);
	} else if (bpf_core_field_exists(newer->__i_mtime)) {
		bpf_core_read(&time, sizeof(time), &newer->__i_mtime);
	} else if (bpf_core_field_exists(older->i_mtime)) {
		bpf_core_read(&time, sizeof(time), &older->i_mtime);
	}
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

#endif
