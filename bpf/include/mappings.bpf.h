/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Which kind of code an address lies in, which decides the step. The answer holds for a whole range and
 * is kept as long as the stack is walked: most frames lie where one before them lay.
 */
#ifndef FK_MAPPINGS_BPF_H
#define FK_MAPPINGS_BPF_H

#include "files.bpf.h"
#include "code_heaps.bpf.h"

/* Finds state->current. Global, so that it is verified once. */
__noinline int resolve_mapping(__u64 address)
{
	struct unwind_state *state = unwind_state();
	struct unwind_mapping *mapping;
	struct mm_struct *mm;
	struct vma vma;
	__u32 index;

	if (!state)
		return 0;
	index = state->n_mappings++ % UNWIND_MAPPINGS;
	state->current = index;
	mapping = &state->mappings[index];
	mapping->start = address;
	mapping->size = 1;
	mapping->kind = MAPPING_NO_CODE;
	mm = state->mm;
	if (find_vma(&vma, mm, address, state->kernel_object) || !(vma.flags & VM_EXEC))
		return 0;
	if (use_code_heap(state, mapping, address))
		return 0;
	if (vma.file || vma.start == (__u64)BPF_CORE_READ(mm, context.vdso)) {
		use_file(state, mapping, &vma, address);
	} else {
		mapping->kind = MAPPING_JIT;
		mapping->start = vma.start;
		mapping->size = vma.limit - vma.start;
	}
	leave_out_code_heaps(state, mapping, address);
	return 0;
}

/* Through memory, so that to the verifier all ways that lead to a mapping are one. */
static __always_inline struct unwind_mapping *mapping_of(struct unwind_state *state, __u64 address)
{
	struct unwind_mapping *mapping;
	bool is_known = false;

	for (__u32 i = 0; i < UNWIND_MAPPINGS; i++) {
		mapping = &state->mappings[i];
		if (address - mapping->start < mapping->size) {
			state->current = i;
			is_known = true;
			break;
		}
	}
	if (!is_known)
		resolve_mapping(address);
	return &state->mappings[state->current % UNWIND_MAPPINGS];
}

#endif
