// Limits of the slots of delays -> a C header for the BPF programs, from the same exact arithmetic
// that reads the counts.

import { firstSlot, lastSlot, slotLimitsNs } from '../../storage/model/histogram.js';

const perLine = 4;

/** The whole of bpf/generated/slot_limits.h. */
export function emitSlotLimits(): string {
  // Nothing exceeds the last slot's.
  const limits = Array.from(slotLimitsNs.slice(0, lastSlot - firstSlot), (limit) => `${limit}ULL`);
  const lines = limits.flatMap((_, i) =>
    i % perLine === 0 ? [`\t${limits.slice(i, i + perLine).join(', ')},`] : [],
  );
  return `${[
    '/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */',
    '/* Written by `npm run gen` from storage/model/histogram.ts, not to be edited: a test writes it',
    ' * again and compares. The longest delay of each slot in ns, from the first slot on; what is',
    ' * longer than all of them is in the last. */',
    `#define FK_FIRST_SLOT (${firstSlot})`,
    '',
    `static const __u64 fk_slot_limits[${limits.length}] = {`,
    ...lines,
    '};',
  ].join('\n')}\n`;
}
