/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The mapping that an address of the current task lies in, from the kernel's own tree of them, read
 * without its lock. So nothing has to be kept in step with fork, exec, mmap and munmap. What was
 * changed under us is found out in the end: the mapping has to be of this mm and hold the address.
 *
 *   maple tree (6.1)   entry = node | type << 3 | 4, the root's | 2 too; pivot[i] is the last address
 *                      of slot[i]; a leaf's slot is a mapping, or NULL for none
 *   red-black tree     by start, as mappings do not overlap
 *
 * Source: lib/maple_tree.c; mm/mmap.c of 6.0.
 */
#ifndef FK_VMA_BPF_H
#define FK_VMA_BPF_H

/* Of a maple node; and more than a vm_area_struct. */
#define VMA_SCRATCH_BYTES 256
/* What a max_map_count of 262144 takes where all nodes are half empty, and 2 * log2 of it. */
#define MAPLE_LEVELS 8
#define RB_LEVELS 40

#define MAPLE_NODE_MASK 255UL
#define MAPLE_TYPE(entry) ((entry) >> 3 & 15)
#define MAPLE_LEAF_64 1
#define MAPLE_RANGE_64 2
#define MAPLE_ARANGE_64 3

struct vma {
	__u64 start;
	__u64 limit;
	__u64 file_offset;
	__u64 flags;
	struct file *file;
};

/* A field of the object that was read into scratch memory. */
#define SCRATCH_FIELD(scratch, type, field) \
	(*(__u64 *)((void *)(scratch) + bpf_core_field_offset(type, field)))

/* The slot of an address in a node: the first whose pivot is not below it; 0 marks the end. */
#define MAPLE_SLOT(scratch, type, address)                                                   \
	({                                                                                   \
		const __u32 first = bpf_core_field_offset(type, pivot);                      \
		const __u32 slots = bpf_core_field_offset(type, slot);                       \
		void *node = scratch;                                                        \
		__u32 at = first;                                                            \
		for (; at < slots; at += sizeof(__u64)) {                                    \
			__u64 pivot = *(__u64 *)(node + at);                                 \
			if (pivot >= address || (pivot == 0 && at > first))                  \
				break;                                                       \
		}                                                                            \
		*(__u64 *)(node + at + slots - first);                                       \
	})

static __always_inline struct vm_area_struct *vma_in_maple_tree(struct mm_struct *mm,
								__u64 address, void *scratch)
{
	__u64 entry = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root), type;

	if ((entry & 3) != 2)
		return NULL;
	for (int level = 0; level < MAPLE_LEVELS; level++) {
		type = MAPLE_TYPE(entry);
		if (bpf_probe_read_kernel(scratch, VMA_SCRATCH_BYTES,
					  (void *)(entry & ~MAPLE_NODE_MASK)))
			break;
		if (type == MAPLE_ARANGE_64)
			entry = MAPLE_SLOT(scratch, struct maple_arange_64, address);
		else if (type == MAPLE_RANGE_64 || type == MAPLE_LEAF_64)
			entry = MAPLE_SLOT(scratch, struct maple_range_64, address);
		else
			break;
		if (type == MAPLE_LEAF_64)
			return (struct vm_area_struct *)entry;
	}
	return NULL;
}

static __always_inline struct vm_area_struct *vma_in_rb_tree(struct mm_struct *mm, __u64 address,
							     void *scratch)
{
	const __u32 node_offset = bpf_core_field_offset(struct vm_area_struct, vm_rb);
	__u64 node = (__u64)BPF_CORE_READ(mm, mm_rb.rb_node);

	for (int level = 0; level < RB_LEVELS && node; level++) {
		node -= node_offset;
		if (bpf_probe_read_kernel(scratch, bpf_core_type_size(struct vm_area_struct),
					  (void *)node))
			break;
		if (address >= SCRATCH_FIELD(scratch, struct vm_area_struct, vm_end))
			node = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_rb.rb_right);
		else if (address >= SCRATCH_FIELD(scratch, struct vm_area_struct, vm_start))
			return (struct vm_area_struct *)node;
		else
			node = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_rb.rb_left);
	}
	return NULL;
}

/* Returns 0, or -1 for no mapping. */
static __always_inline int find_vma(struct vma *vma, struct mm_struct *mm, __u64 address,
				    void *scratch)
{
	struct vm_area_struct *found;

	if (bpf_core_field_exists(mm->mm_mt))
		found = vma_in_maple_tree(mm, address, scratch);
	else
		found = vma_in_rb_tree(mm, address, scratch);
	if (!found || bpf_probe_read_kernel(scratch, bpf_core_type_size(struct vm_area_struct), found))
		return -1;
	vma->start = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_start);
	vma->limit = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_end);
	vma->flags = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_flags);
	vma->file_offset = SCRATCH_FIELD(scratch, struct vm_area_struct, vm_pgoff) << ARCH_PAGE_SHIFT;
	vma->file = (struct file *)SCRATCH_FIELD(scratch, struct vm_area_struct, vm_file);
	if (address < vma->start || address >= vma->limit)
		return -1;
	return SCRATCH_FIELD(scratch, struct vm_area_struct, vm_mm) == (__u64)mm ? 0 : -1;
}

#endif
