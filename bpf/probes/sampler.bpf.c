/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* One program for every perf event: takes both stacks, weighs and counts them in the
 * kernel. Idle ticks of the clock are counted and left; periods that passed without a
 * tick are counted by the next one.
 */
#include "bpf_common.h"
#include "kernel_compat.bpf.h"
#include "incarnation.bpf.h"
#include "cgroup.bpf.h"
#include "stack_counts.bpf.h"

#define TYPE_CLOCK 0

const volatile __u64 fk_period_ns = 1000000000 / 47;

/* Written by the CPU it belongs to, never by two programs at once. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GENERATIONS * FK_SAMPLE_TYPES);
	__type(key, __u32);
	__type(value, struct fk_sample_stats);
} stats SEC(".maps");

/* User space sets max_entries to the number of possible CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fk_clock);
} clocks SEC(".maps");

/* Puts the enums into the object's BTF, where the decoders come from. */
union sampler_wire {
	enum fk_limit limit;
	enum fk_stack_end stack_end;
	enum fk_lost lost;
	enum fk_stack_id stack_id;
	enum fk_frame_kind frame_kind;
	enum fk_file_state file_state;
	enum fk_fileless fileless;
	enum fk_runtime runtime;
	struct fk_file_request request;
	struct fk_code_heaps code_heaps;
} *fk_sampler_wire;

/* Returns how many periods fell due since the last tick on this CPU, but
 * for the one this tick stands for:
 *
 *      anchor     1         2         3         4         5     due, in periods
 *        |--------|---------|---------|---------|---------|
 *                 ^tick     '         '   ^flip '         ^tick
 *                                         base = 3        due = 5: 1 not fired in
 *                                                         the new generation (4)
 *
 * What fell due between the last tick and the flip (2, 3) user space adds to
 * the generation that it retires.
 */
static __always_inline __s64 count_not_fired(__u32 flips)
{
	__u64 now = bpf_ktime_get_ns(), flip = fk_flip_ktime_ns, anchor, due, before;
	__u32 cpu = bpf_get_smp_processor_id();
	struct fk_clock *clock = bpf_map_lookup_elem(&clocks, &cpu);

	if (!clock)
		return 0;
	anchor = clock->anchor_ktime_ns;
	due = (now - anchor + fk_period_ns / 2) / fk_period_ns;
	before = clock->due;
	if (clock->generation != flips) {
		clock->due_before_flip = clock->due;
		clock->generation_before_flip = clock->generation;
		clock->generation = flips;
		before = flip > anchor ? (flip - anchor) / fk_period_ns : 0;
	}
	clock->due = due;
	return due - before - 1;
}

static __always_inline __u64 take_kernel_stack(struct bpf_perf_event_data *ctx, __u32 generation)
{
	struct unwind_state *state = unwind_state();
	long size;

	if (!state)
		return FK_STACK_NONE;
	size = bpf_get_stack(ctx, state->stack.words, sizeof(state->stack.words), 0);
	state->stack.n_words = size > 0 ? size / sizeof(__u64) : 0;
	state->stack.end = FK_END_COMPLETE;
	if (size <= 0)
		state->stack.end = FK_END_READ_FAULT;
	else if (size == sizeof(state->stack.words))
		state->stack.end = FK_END_DEPTH;
	return keep_stack(generation);
}

static __always_inline __u64 take_user_stack(struct bpf_perf_event_data *ctx,
					     struct task_struct *task,
					     const struct fk_incarnation *incarnation,
					     __u32 generation)
{
	struct unwind_state *state = unwind_state();
	struct pt_regs *registers;

	if (!state)
		return FK_STACK_NONE;
	registers = &state->registers;
	if (arch_is_user_mode(ctx->regs.cs))
		arch_copy_registers(registers, &ctx->regs);
	else if (task_is_in_exec(task) || current_user_regs(registers) ||
		 !arch_is_user_mode(registers->cs))
		return 1 + FK_END_NO_REGISTERS;
	if (arch_is_32bit(registers->cs))
		return 1 + FK_END_32BIT;
	unwind_user(state, task, incarnation);
	return keep_stack(generation);
}

/* Returns why the sample was lost, FK_LOST_MAX when it was not. */
static __always_inline int take_sample(struct bpf_perf_event_data *ctx, __u32 type,
				       __u32 generation, __u64 weight)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fk_sample_key key = {};

	if (read_incarnation(&key.incarnation, task))
		return FK_LOST_NO_TASK;
	key.cgroup = task_cgroup_id(task);
	key.tid = bpf_get_current_pid_tgid();
	key.uid = bpf_get_current_uid_gid();
	key.sample_type = type;
	if (!arch_is_user_mode(ctx->regs.cs))
		key.kernel_stack = take_kernel_stack(ctx, generation);
	if (!(BPF_CORE_READ(task, flags) & PF_KTHREAD) && BPF_CORE_READ(task, mm))
		key.user_stack = take_user_stack(ctx, task, &key.incarnation, generation);
	return add_count(generation, &key, weight) ? FK_LOST_COUNT_MAP_FULL : FK_LOST_MAX;
}

/* Index of the sample type, which user space puts where a ring's wake-up would be
 * set: these events have no ring. */
static __always_inline __u32 sample_type(struct bpf_perf_event_data *ctx)
{
	return BPF_CORE_READ((struct bpf_perf_event_data_kern *)ctx, event, attr.wakeup_events);
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	__u32 flips = fk_generation, generation = flips % GENERATIONS, type, index, lost;
	struct fk_sample_stats *counters;
	__u64 weight = 1;

	if (!fk_enabled)
		return 0;
	type = sample_type(ctx);
	index = generation * FK_SAMPLE_TYPES + type;
	if (type >= FK_SAMPLE_TYPES)
		return 0;
	counters = bpf_map_lookup_elem(&stats, &index);
	if (!counters)
		return 0;
	counters->seen++;
	if (type == TYPE_CLOCK) {
		counters->not_fired += count_not_fired(flips);
		if (bpf_get_current_pid_tgid() == 0) {
			counters->idle++;
			return 0;
		}
	} else {
		weight = ctx->sample_period;
	}
	lost = take_sample(ctx, type, generation, weight);
	if (lost < FK_LOST_MAX) {
		counters->lost[lost]++;
		return 0;
	}
	counters->captured++;
	counters->captured_weight += weight;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
