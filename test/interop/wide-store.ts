// A store that holds the whole range of what can be counted.

import type { Store } from '../../storage/store.js';
import { faults, load, runq, writeFlush } from '../storage/support.js';
import { bucketNs } from '../support/push.js';

/** From no delay to 1,000 s, all scales alike; the same each time. */
function delays(seed: number, count: number): number[] {
  let state = seed * 2_654_435_761 + 1;
  return Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return i === 0 ? 0 : Math.floor(10 ** ((state / 2 ** 32) * 12));
  });
}

/** Buckets with many keys, all slots of histograms, large counters, and gauges below 0. */
export function fillWidely(store: Store, buckets: number, startUnixNs: bigint): void {
  for (let bucket = 0; bucket < buckets; bucket++) {
    const keys = Array.from({ length: 40 }, (_, i) => i).filter((i) => (i + bucket) % 3 > 0);
    writeFlush(store, {
      startUnixNs: startUnixNs + BigInt(bucket) * bucketNs,
      metrics: [
        {
          stream: runq,
          rows: keys.map((i) => ({ key: [i, `program ${i} "ü"`, '/a/b'], values: delays(i + 40 * bucket, 50) })),
        },
        { stream: faults, rows: keys.map((i) => ({ key: [i, 'sda'], values: [2 ** i] })) },
        { stream: load, rows: keys.map((i) => ({ key: [`d${i}`], values: [i / 4 - bucket] })) },
      ],
    });
  }
}
