/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Hand-over to language runtimes. A runtime is one file, bpf/runtimes/NAME.bpf.h, with
 *
 *      __noinline int step_NAME(void)
 *
 * which is called in place of step() while the state's code address lies in one of the ranges that user
 * space has entered in `code_heaps` as FK_RUNTIME_NAME. It puts down the frames of that place, moves
 * the state to the caller and returns go_to_caller(), or end_stack(). The next step is chosen by
 * where the caller lies, so native code and several runtimes may take turns in one stack.
 *
 * The build lists the folder and writes runtimes.h.
 */
#ifndef FK_CODE_HEAPS_BPF_H
#define FK_CODE_HEAPS_BPF_H

#include "unwind_state.bpf.h"
#include "runtimes.h"

#define RUNTIME_ENTRY(name) FK_RUNTIME_##name,
#define RUNTIME_STEP(name)           \
	case FK_RUNTIME_##name:      \
		return step_##name();

enum fk_runtime {
	FK_RUNTIME_NONE = 0,
	FK_RUNTIMES(RUNTIME_ENTRY)
	FK_RUNTIME_MAX,
};

/* The mapping of a place that a runtime's step was called for. */
static __always_inline int step_by_runtime(struct unwind_state *state, __u32 runtime)
{
	switch (runtime) {
		FK_RUNTIMES(RUNTIME_STEP)
	}
	return end_stack(state, FK_END_NO_MAPPING);
}

#if FK_RUNTIME_COUNT > 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fk_incarnation);
	__type(value, struct fk_code_heaps);
} code_heaps SEC(".maps");

/* True when a runtime's step walks the code at this address. */
static __always_inline bool use_code_heap(struct unwind_state *state,
					  struct unwind_mapping *mapping, __u64 address)
{
	struct fk_code_heaps *heaps = bpf_map_lookup_elem(&code_heaps, &state->incarnation);
	struct fk_code_range *range;

	for (__u32 i = 0; heaps && i < FK_CODE_RANGES && i < heaps->n_ranges; i++) {
		range = &heaps->ranges[i];
		if (address < range->start || address >= range->limit)
			continue;
		mapping->start = range->start;
		mapping->size = range->limit - range->start;
		mapping->bias = range->cookie;
		mapping->kind = MAPPING_RUNTIME;
		mapping->table = range->runtime;
		return true;
	}
	return false;
}

/* Cuts the range of an answer so that it does not reach into a code heap. */
static __always_inline void leave_out_code_heaps(struct unwind_state *state,
						 struct unwind_mapping *mapping, __u64 address)
{
	struct fk_code_heaps *heaps = bpf_map_lookup_elem(&code_heaps, &state->incarnation);
	struct fk_code_range *range;
	__u64 limit;

	for (__u32 i = 0; heaps && i < FK_CODE_RANGES && i < heaps->n_ranges; i++) {
		range = &heaps->ranges[i];
		limit = mapping->start + mapping->size;
		if (range->start > address && range->start < limit)
			limit = range->start;
		if (range->limit <= address && range->limit > mapping->start)
			mapping->start = range->limit;
		mapping->size = limit - mapping->start;
	}
}

#else

static __always_inline bool use_code_heap(struct unwind_state *state,
					  struct unwind_mapping *mapping, __u64 address)
{
	return false;
}

static __always_inline void leave_out_code_heaps(struct unwind_state *state,
						 struct unwind_mapping *mapping, __u64 address)
{
}

#endif

#endif
