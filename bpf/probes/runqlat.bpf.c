/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How long tasks that could run waited for a CPU, by the process and cgroup of the one who waited;
 * and of long waits, who had the CPU meanwhile.
 *
 *      sleeps     |   waits     | runs  |     waits       | runs
 *      -----------^wakeup-------^switch-^switch-----------^switch----
 *                                in      out, preempted    in
 *
 * A wait begins at a wake-up of a task that is neither running nor waiting already, or where a task
 * is switched out that still wants to run. It ends where the task is switched in. The idle task never
 * waits. Two ways to remember a task: task storage, made where tasks are made so that nothing is
 * allocated in the scheduler, or on kernels before 5.12 a hash by tid.
 */
#include "bpf_common.h"
#include "kernel_compat.bpf.h"
#include "incarnation.bpf.h"
#include "cgroup.bpf.h"
#include "cpu_runs.bpf.h"

/* Not 0: threads are kept apart. */
const volatile __u32 fk_threads;
/* Of waits this long and longer it is asked who ran meanwhile. 0: of none. */
const volatile __u32 fk_culprit_us = 1000;

enum runq_cause {
	RUNQ_QUEUED,	/* others ran */
	RUNQ_THROTTLED,	/* its cgroup had used up its CPU quota, for a part of the wait at least */
};

WIRE_BEGIN

struct runq_key {
	struct process_key process;
	__u32 uid;
	__u32 tid;		/* 0 unless threads are kept apart */
	__u32 cause;		/* enum runq_cause */
	__u32 octave;
};

struct runq_stats {
	__u64 captured;		/* waits */
	__u64 switches;		/* all, those to and from the idle task too */
	__u64 throttled;	/* of the waits */
	__u64 long_waits;	/* of which it is asked who ran meanwhile */
	__u64 moved_ns;		/* in those that began on another CPU: it is not told */
	__u64 held_ns;		/* in the others: struct run_shares, summed */
	__u64 idle_ns;
	__u64 forgotten_ns;
	__u64 untold_ns;
	__u64 lost_unknown_start;	/* switched in, the wait's start was missed */
	__u64 lost_no_record;	/* no room to remember the task */
	__u64 lost_negative;	/* the clock went back */
	__u64 lost_map_full;
};

WIRE_END

/* A task: since when it waits, and its key as long as cgroups, credentials and image stay the same.
 * The addresses are compared only: the task holds what they point to. */
struct runq_task {
	__u64 task;
	__u64 waits_since_ns;	/* 0: it does not */
	__u64 switches;		/* switch_count() then */
	__u64 throttled_ns;	/* task_throttled_ns() then */
	__u64 cpu;		/* whose queue it is in */
	__u64 cgroups;
	__u64 cred;
	struct runq_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct runq_task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct runq_task);
} tasks_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__type(value, struct runq_stats);
} stats SEC(".maps");

TWO_GENERATIONS(waits, struct runq_key, struct fk_octave, 8192);

static __always_inline struct runq_stats *stats_of(__u32 generation)
{
	return bpf_map_lookup_elem(&stats, &generation);
}

/* A tid may be another task's by now. */
static __always_inline struct runq_task *find_in_hash(struct task_struct *task)
{
	struct runq_task fresh = {}, *record;
	__u32 tid = task->pid;

	record = bpf_map_lookup_elem(&tasks_hash, &tid);
	if (record && record->task == (__u64)task)
		return record;
	fresh.task = (__u64)task;
	bpf_map_update_elem(&tasks_hash, &tid, &fresh, 0);
	return bpf_map_lookup_elem(&tasks_hash, &tid);
}

static __always_inline struct runq_task *find_task(struct task_struct *task, bool in_hash)
{
	return in_hash ? find_in_hash(task) : bpf_task_storage_get(&tasks, task, NULL, 0);
}

/* Times that the task was switched out. A wait during which it grew is none: the task has run, and
 * that was missed. */
static __always_inline __u64 switch_count(struct task_struct *task)
{
	return task->nvcsw + task->nivcsw;
}

static __always_inline void begin_wait(struct runq_task *record, struct task_struct *task,
				       __u64 now)
{
	record->waits_since_ns = now;
	record->switches = switch_count(task);
	record->cpu = task->wake_cpu;
	record->throttled_ns = task_throttled_ns(task);
	record->key.cause = task_is_throttled(task) ? RUNQ_THROTTLED : RUNQ_QUEUED;
}

/* Reads who the task is, unless that is what it was. */
static __always_inline void refresh_key(struct runq_task *record, struct task_struct *task)
{
	__u64 cgroups = (__u64)task->cgroups, cred = (__u64)task->cred;
	struct process_key *process = &record->key.process;

	if (record->cgroups == cgroups && record->cred == cred &&
	    process->incarnation.exec_id == (__u32)task->self_exec_id)
		return;
	read_incarnation(&process->incarnation, task);
	process->cgroup = task_cgroup_id(task);
	record->key.uid = BPF_CORE_READ(task, cred, uid.val);
	record->key.tid = fk_threads ? task->pid : 0;
	record->cgroups = cgroups;
	record->cred = cred;
}

/* A long wait: who ran meanwhile? */
static __always_inline void tell_culprits(struct cpu_runs *cpu, struct runq_stats *counters,
					  struct runq_task *record, __u32 generation, __u64 start)
{
	struct run_shares *shares;

	counters->long_waits++;
	if (record->cpu != bpf_get_smp_processor_id()) {
		counters->moved_ns += cpu->runs[(cpu->count - 1) % RUNS].since_ns - start;
		return;
	}
	shares = share_time(cpu, generation, start);
	counters->held_ns += shares->held_ns;
	counters->idle_ns += shares->idle_ns;
	counters->forgotten_ns += shares->forgotten_ns;
	counters->untold_ns += shares->lost_ns;
}

static __always_inline void end_wait(struct cpu_runs *cpu, struct runq_stats *counters,
				     struct runq_task *record, struct task_struct *task,
				     __u32 generation, __u64 now)
{
	__u64 start = record->waits_since_ns;
	struct runq_key *key = &record->key;

	record->waits_since_ns = 0;
	if (start == 0 || record->switches != switch_count(task)) {
		counters->lost_unknown_start++;
		return;
	}
	if (start > now) {
		counters->lost_negative++;
		return;
	}
	if (task_throttled_ns(task) != record->throttled_ns)
		key->cause = RUNQ_THROTTLED;
	if (key->cause == RUNQ_THROTTLED)
		counters->throttled++;
	if (add_delay(&waits, generation, key, &key->octave, now - start))
		counters->lost_map_full++;
	else
		counters->captured++;
	if (fk_culprit_us && now - start >= fk_culprit_us * 1000ULL)
		tell_culprits(cpu, counters, record, generation, start);
}

static __always_inline int on_wakeup(struct task_struct *task, bool in_hash)
{
	struct runq_task *record;
	__u64 now;

	/* A running task may be woken too: it has its CPU. */
	if (!fk_enabled || task->on_cpu)
		return 0;
	now = bpf_ktime_get_ns();
	record = find_task(task, in_hash);
	if (!record)
		return 0;
	if (record->waits_since_ns == 0 || record->switches != switch_count(task))
		begin_wait(record, task, now);
	return 0;
}

/* A task that still wants to run waits from here on; one that is dead will not come back. What its
 * state says is no older than the switch: a wake-up that would change it waits until the switch is
 * over. */
static __always_inline void switch_out(struct task_struct *task, bool preempt, __u64 now,
				       bool in_hash)
{
	__u32 state = task_state(task), tid = task->pid;
	struct runq_task *record;

	if (preempt || state == TASK_RUNNING) {
		record = find_task(task, in_hash);
		if (record)
			begin_wait(record, task, now);
	} else if (in_hash && state & TASK_DEAD) {
		record = bpf_map_lookup_elem(&tasks_hash, &tid);
		if (record && record->task == (__u64)task)
			bpf_map_delete_elem(&tasks_hash, &tid);
	}
}

static __always_inline int on_switch(bool preempt, struct task_struct *prev,
				     struct task_struct *next, bool in_hash)
{
	__u32 generation = fk_generation % GENERATIONS;
	struct runq_stats *counters;
	struct runq_task *record;
	struct cpu_runs *cpu;
	__u64 now;

	if (!fk_enabled)
		return 0;
	now = bpf_ktime_get_ns();
	counters = stats_of(generation);
	cpu = this_cpu_runs();
	if (!counters || !cpu)
		return 0;
	counters->switches++;
	if (prev->pid)
		switch_out(prev, preempt, now, in_hash);
	if (next->pid == 0) {
		add_run(cpu, NULL, now);
		return 0;
	}
	record = find_task(next, in_hash);
	if (!record) {
		counters->lost_no_record++;
		add_run(cpu, NULL, now);
		return 0;
	}
	refresh_key(record, next);
	add_run(cpu, &record->key.process, now);
	end_wait(cpu, counters, record, next, generation, now);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup, struct task_struct *task)
{
	return on_wakeup(task, false);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new, struct task_struct *task)
{
	return on_wakeup(task, false);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_task, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return on_switch(preempt, prev, next, false);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup_hash, struct task_struct *task)
{
	return on_wakeup(task, true);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new_hash, struct task_struct *task)
{
	return on_wakeup(task, true);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_hash, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return on_switch(preempt, prev, next, true);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(new_task, struct task_struct *task)
{
	bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

/* Read once, before the gate opens: the tasks that are there. */
SEC("iter/task")
int old_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
