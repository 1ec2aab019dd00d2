/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A cgroup as one number: its hierarchy's rank in the top byte, its kernfs id (the inode number of
 * its directory) below. Rank 0 is cgroup v2; 1 to 4 are the v1 hierarchies systemd, memory, cpu,
 * blkio. A task is in one cgroup of each mounted hierarchy; the first by rank in which it is not in
 * the root is the one it is known by. 0 = root everywhere.
 */
#ifndef FK_CGROUP_BPF_H
#define FK_CGROUP_BPF_H

#define CGROUP_V1_RANKS 4
#define CGROUP_RANK_SHIFT 56
#define CGROUP_RANK_NONE (CGROUP_V1_RANKS + 1)
#define CGROUP_LINKS_MAX 16
/* Of struct cgrp_cset_link: two pointers, two list_heads. */
#define CGROUP_LINK_WORDS 6

/* Hierarchy ids of systemd, memory, cpu and blkio, as in /proc/self/cgroup; 0 = not mounted. */
const volatile __u32 fk_cgroup_hierarchies[CGROUP_V1_RANKS];

static __always_inline __u32 cgroup_rank(struct cgroup *cgroup)
{
	__u32 hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);

	if (hierarchy == 0)
		return 0;
	for (int i = 0; i < CGROUP_V1_RANKS; i++) {
		if (hierarchy == fk_cgroup_hierarchies[i])
			return 1 + i;
	}
	return CGROUP_RANK_NONE;
}

static __always_inline __u64 cgroup_ranked_id(struct cgroup *cgroup, __u32 rank)
{
	return BPF_CORE_READ(cgroup, kn, id) | (__u64)rank << CGROUP_RANK_SHIFT;
}

/* One step of the walk: the cgroup of the link that holds `node`, and the next node. One read for
 * both, as reads are what the walk costs. */
static __always_inline struct cgroup *follow_link(struct list_head **node)
{
	const __u32 next_offset = bpf_core_field_offset(struct cgrp_cset_link, cgrp_link.next);
	__u64 link[CGROUP_LINK_WORDS] = {};
	void *bytes = link;

	bpf_probe_read_kernel(link, sizeof(link), (void *)*node - next_offset);
	*node = *(struct list_head **)(bytes + next_offset);
	return *(struct cgroup **)(bytes + bpf_core_field_offset(struct cgrp_cset_link, cgrp));
}

/* The walk over the task's cgroups, one link per mounted hierarchy. Bounded: what lies beyond
 * CGROUP_LINKS_MAX hierarchies is not looked at. */
static __always_inline __u64 cgroup_v1_id(struct css_set *set)
{
	struct list_head *head = &set->cgrp_links, *node = BPF_CORE_READ(set, cgrp_links.next);
	__u32 best_rank = CGROUP_RANK_NONE, rank;
	struct cgroup *cgroup, *best = NULL;

	for (int i = 0; i < CGROUP_LINKS_MAX && best_rank > 1; i++) {
		if (!node || node == head)
			break;
		cgroup = follow_link(&node);
		if (BPF_CORE_READ(cgroup, level) == 0)
			continue;
		rank = cgroup_rank(cgroup);
		if (rank && rank < best_rank) {
			best_rank = rank;
			best = cgroup;
		}
	}
	return best ? cgroup_ranked_id(best, best_rank) : 0;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);

	if (BPF_CORE_READ(cgroup, level) > 0)
		return cgroup_ranked_id(cgroup, 0);
	if (!fk_cgroup_hierarchies[0] && !fk_cgroup_hierarchies[1] && !fk_cgroup_hierarchies[2] &&
	    !fk_cgroup_hierarchies[3])
		return 0;
	return cgroup_v1_id(set);
}

#endif
