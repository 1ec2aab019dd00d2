/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What every program includes first: kernel types, helpers, the architecture,
 * the wire structs, the gate. */
#ifndef FK_BPF_COMMON_H
#define FK_BPF_COMMON_H

#include <stdbool.h>
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#if defined(__TARGET_ARCH_x86)
#include "arch/x86_64.bpf.h"
#else
#error "no header in arch/ for this architecture"
#endif

#include "wire.h"

/* Programs do nothing until user space opens the gate, which it does when
 * the last of them is attached. */
volatile __u32 fk_enabled;

#endif
