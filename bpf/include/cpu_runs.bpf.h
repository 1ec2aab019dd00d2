/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Who ran last on each CPU, and for a time span that has just ended on this one: who had the CPU how
 * long. Time goes to pairs of who asks and who ran, in two generations.
 *
 *      runs      | A      | idle | B    | A        | C: asks about [start, now)
 *                     ^start                       ^now
 *      newest first: A, B, then nobody, then A since start
 *
 * Limits: the last RUNS runs of a CPU; pairs as in hist.bpf.h. What is not told is counted.
 */
#ifndef FK_CPU_RUNS_BPF_H
#define FK_CPU_RUNS_BPF_H

#include "hist.bpf.h"

/* A power of two. */
#define RUNS 128

WIRE_BEGIN

struct process_key {
	struct fk_incarnation incarnation;
	__u64 cgroup;
};

/* The waiting one, and one that ran on its CPU meanwhile. */
struct culprit_key {
	struct process_key waiter;
	struct process_key holder;
};

WIRE_END

struct run {
	__u64 since_ns;
	struct process_key process;	/* zeros: idle */
};

/* How a span was shared out. */
struct run_shares {
	__u64 held_ns;		/* by others */
	__u64 idle_ns;		/* nobody ran, or one that is not known */
	__u64 forgotten_ns;	/* more runs ago than are kept */
	__u64 lost_ns;		/* of held_ns: no room for the pair */
};

struct cpu_runs {
	__u32 count;
	struct run runs[RUNS];
	/* Of step_back(). */
	__u32 back;
	__u32 generation;
	__u64 start_ns;
	__u64 end_ns;
	struct process_key waiter;
	struct run_shares shares;
};

/* Written by sched_switch alone, which does not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_runs);
} cpu_runs SEC(".maps");

TWO_GENERATIONS(culprits, struct culprit_key, __u64, 4096);

static __always_inline struct cpu_runs *this_cpu_runs(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cpu_runs, &zero);
}

/* Begins now on this CPU; NULL: the idle task, or one that is not known. */
static __always_inline void add_run(struct cpu_runs *cpu, struct process_key *process, __u64 now)
{
	struct run *run = &cpu->runs[cpu->count++ % RUNS];

	run->since_ns = now;
	if (process)
		run->process = *process;
	else
		__builtin_memset(&run->process, 0, sizeof(run->process));
}

/* One step back: the run before those looked at gets its time of the span, which ends at end_ns by
 * now. Returns 1 where nothing is left. Global and without arguments, so that it is verified once. */
__noinline int step_back(void)
{
	struct cpu_runs *cpu = this_cpu_runs();
	struct culprit_key key = {};
	__u64 since, held;
	struct run *run;

	if (!cpu)
		return 1;
	run = &cpu->runs[--cpu->back % RUNS];
	if (run->since_ns == 0 || cpu->end_ns <= cpu->start_ns)
		return 1;
	since = run->since_ns > cpu->start_ns ? run->since_ns : cpu->start_ns;
	held = cpu->end_ns - since;
	cpu->end_ns = since;
	if (run->process.incarnation.tgid == 0) {
		cpu->shares.idle_ns += held;
		return 0;
	}
	key.waiter = cpu->waiter;
	key.holder = run->process;
	cpu->shares.held_ns += held;
	if (add_time(&culprits, cpu->generation, &key, held))
		cpu->shares.lost_ns += held;
	return 0;
}

/* Shares out the time from `start` to the beginning of the newest run, whose process asks. */
static __always_inline struct run_shares *share_time(struct cpu_runs *cpu, __u32 generation,
						     __u64 start)
{
	cpu->back = cpu->count - 1;
	cpu->waiter = cpu->runs[cpu->back % RUNS].process;
	cpu->generation = generation;
	cpu->start_ns = start;
	cpu->end_ns = cpu->runs[cpu->back % RUNS].since_ns;
	__builtin_memset(&cpu->shares, 0, sizeof(cpu->shares));
	for (int i = 0; i < RUNS - 1; i++) {
		if (step_back())
			break;
	}
	cpu->shares.forgotten_ns += cpu->end_ns - start;
	return &cpu->shares;
}

#endif
