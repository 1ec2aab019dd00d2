/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Every exec and every process that ends, as events; and the names of new cgroups, so that samples
 * of a cgroup that is gone at the flush still have its path. BTF tracepoints: their arguments are
 * read by type, nothing else is disturbed.
 */
#include "bpf_common.h"
#include "kernel_compat.bpf.h"
#include "incarnation.bpf.h"
#include "cgroup.bpf.h"
#include "ring.bpf.h"

/* Not 0: exec records carry the command line. */
const volatile __u32 fk_arguments;

/* Processes told to have ended. Threads that end at once all see no thread alive, and kernels
 * before 6.16 do not say which is the last; so the first to come here speaks. What the LRU
 * forgets is thousands of exits old. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fk_incarnation);
	__type(value, __u8);
} exited SEC(".maps");

/* Puts the records into the object's BTF, where the decoders come from. */
union process_wire {
	enum fk_record_tag tag;
	struct fk_exec exec;
	struct fk_exec_args exec_args;
	struct fk_exit exit;
	struct fk_cgroup cgroup;
} *fk_process_wire;

static __always_inline void fill_exec(struct fk_exec *exec, struct task_struct *task)
{
	read_incarnation(&exec->incarnation, task);
	exec->cgroup = task_cgroup_id(task);
	exec->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	exec->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(exec->comm, sizeof(exec->comm));
}

static __always_inline void fill_arguments(struct fk_exec_args *record, struct task_struct *task)
{
	__u64 start = BPF_CORE_READ(task, mm, arg_start), end = BPF_CORE_READ(task, mm, arg_end);
	__u64 size = end - start;

	record->pad = 0;
	__builtin_memset(record->args, 0, sizeof(record->args));
	if (size > sizeof(record->args))
		size = sizeof(record->args);
	if (bpf_probe_read_user(record->args, size, (void *)start))
		size = 0;
	record->n_bytes = size;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	struct fk_exec_args *with_args;
	struct fk_exec *exec;

	if (!fk_enabled)
		return 0;
	if (fk_arguments) {
		with_args = reserve_record(struct fk_exec_args, FK_RECORD_EXEC_ARGS);
		if (!with_args)
			return 0;
		fill_exec(&with_args->exec, task);
		fill_arguments(with_args, task);
		submit_record(with_args);
	} else {
		exec = reserve_record(struct fk_exec, FK_RECORD_EXEC);
		if (!exec)
			return 0;
		fill_exec(exec, task);
		submit_record(exec);
	}
	return 0;
}

/* As wait(2) will tell the parent. */
static __always_inline __u32 exit_code_of(struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(signal, group_exit_code);
	return BPF_CORE_READ(task, group_leader, exit_code);
}

/* Whether this thread is the one to tell that its process ends. */
static __always_inline bool is_last_thread(struct task_struct *task,
					   struct fk_incarnation *incarnation)
{
	__u8 yes = 1;

	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return false;
	return bpf_map_update_elem(&exited, incarnation, &yes, BPF_NOEXIST) != -EEXIST;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	struct fk_incarnation incarnation = {};
	struct task_struct *leader;
	struct fk_exit *exit;

	/* Kernel threads have no image of their own to tell of. */
	if (!fk_enabled || BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return 0;
	read_incarnation(&incarnation, task);
	if (!is_last_thread(task, &incarnation))
		return 0;
	exit = reserve_record(struct fk_exit, FK_RECORD_EXIT);
	if (!exit)
		return 0;
	leader = BPF_CORE_READ(task, group_leader);
	exit->incarnation = incarnation;
	exit->cgroup = task_cgroup_id(task);
	exit->duration_ns = bpf_ktime_get_boot_ns() - incarnation.start_boot_ns;
	exit->parent_tgid = BPF_CORE_READ(leader, real_parent, tgid);
	exit->uid = bpf_get_current_uid_gid();
	exit->exit_code = exit_code_of(task);
	exit->pad = 0;
	BPF_CORE_READ_STR_INTO(&exit->comm, leader, comm);
	submit_record(exit);
	return 0;
}

static __always_inline int tell_cgroup(struct cgroup *cgroup, const char *path)
{
	__u32 rank = cgroup_rank(cgroup);
	struct fk_cgroup *record;

	if (!fk_enabled || rank == CGROUP_RANK_NONE)
		return 0;
	record = reserve_record(struct fk_cgroup, FK_RECORD_CGROUP);
	if (!record)
		return 0;
	record->id = cgroup_ranked_id(cgroup, rank);
	__builtin_memset(record->path, 0, sizeof(record->path));
	bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	submit_record(record);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	return tell_cgroup(cgroup, path);
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(cgroup_rename, struct cgroup *cgroup, const char *path)
{
	return tell_cgroup(cgroup, path);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
