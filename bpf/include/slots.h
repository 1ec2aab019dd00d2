/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Slots of delays, as in storage/model/histogram.ts: OpenTelemetry's exponential buckets of scale
 * 3, in seconds, upper bound inclusive. A delay is a whole number of ns, so its slot is the first
 * whose limit, the bound cut to whole ns, it does not exceed: exact for every u64. Plain C, so that
 * a test compiles it for the host.
 */
#ifndef FK_SLOTS_H
#define FK_SLOTS_H

#include "../generated/slot_limits.h"

/* Half of the limits but the last: what a search for one of 512 begins with. */
#define SLOT_SEARCH_FIRST 256

/* Returns the slot's place, the number of limits below the delay. Ten compares. */
static inline __attribute__((always_inline)) __u32 slot_place(__u64 delay_ns)
{
	__u32 place = 0;

	if (delay_ns > fk_slot_limits[2 * SLOT_SEARCH_FIRST - 1])
		return 2 * SLOT_SEARCH_FIRST + (delay_ns > fk_slot_limits[2 * SLOT_SEARCH_FIRST]);
	for (__u32 step = SLOT_SEARCH_FIRST; step; step >>= 1) {
		if (delay_ns > fk_slot_limits[place + step - 1])
			place += step;
	}
	return place;
}

#endif
