/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Two generations of every map that is drained: user space flips, waits until no program can still
 * write to the old one, and drains it. */
#ifndef FK_GENERATION_BPF_H
#define FK_GENERATION_BPF_H

#define GENERATIONS 2

/* Counts the flips; its lowest bit is the generation that is written to. User
 * space writes the time first. */
volatile __u32 fk_generation;
volatile __u64 fk_flip_ktime_ns;

#endif
