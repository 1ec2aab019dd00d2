/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Which program image a task runs. All threads of a group agree: exec gives the thread that
 * survives the leader's start time, and a new thread takes over the exec id. */
#ifndef FK_INCARNATION_BPF_H
#define FK_INCARNATION_BPF_H

/* Assigns every field. Returns 0, or -1 when the task could not be read. */
static __always_inline int read_incarnation(struct fk_incarnation *incarnation,
					    struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	incarnation->start_boot_ns = BPF_CORE_READ(leader, start_boottime);
	incarnation->tgid = BPF_CORE_READ(task, tgid);
	incarnation->exec_id = task_exec_id(task);
	return leader ? 0 : -1;
}

#endif
