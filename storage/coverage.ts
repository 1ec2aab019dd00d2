// Windows of time as buckets, and what an answer covers of them.

import type { Counters } from './model/completeness.js';
import { addCounters, completenessOf } from './model/completeness.js';
import { OperatingError } from './model/errors.js';
import type { Coverage, Window } from './model/query.js';
import type { BucketHeader } from './segment/bucket.js';
import { bucketOf, bucketStartUnixNs, headerSpan } from './segment/bucket.js';
import type { Dictionary } from './segment/dictionary.js';

/** Buckets first..last, both included. */
export interface BucketRange {
  readonly first: number;
  readonly last: number;
}

/** The buckets that the windows touch: disjoint, ascending. **Errors**: `usage`. */
export function bucketRanges(windows: readonly Window[]): BucketRange[] {
  if (windows.length === 0) throw new OperatingError('usage', 'an answer needs a window');
  const ranges = windows.map(({ fromUnixNs, toUnixNs }) => {
    if (toUnixNs <= fromUnixNs) {
      throw new OperatingError('usage', 'the window ends before it begins');
    }
    return { first: bucketOf(fromUnixNs), last: bucketOf(toUnixNs - 1n) };
  });
  const disjoint: BucketRange[] = [];
  for (const range of ranges.sort((a, b) => a.first - b.first)) {
    const before = disjoint.at(-1);
    if (before === undefined || range.first > before.last + 1) disjoint.push(range);
    else
      disjoint[disjoint.length - 1] = {
        first: before.first,
        last: Math.max(before.last, range.last),
      };
  }
  return disjoint;
}

export class CoverageTally {
  readonly #buckets = new Set<number>();
  readonly #counters: Record<string, number> = {};
  #fromUnixNs: bigint | undefined;
  #toUnixNs = 0n;
  brokenBlobs = 0;

  get buckets(): number {
    return this.#buckets.size;
  }

  /** Sums of all headers' counters so far. */
  get counters(): Counters {
    return this.#counters;
  }

  add(bucket: number, header: BucketHeader, names: Dictionary): void {
    const { fromUnixNs, toUnixNs } = headerSpan(bucket, header);
    this.#buckets.add(bucket);
    if (this.#fromUnixNs === undefined || fromUnixNs < this.#fromUnixNs) {
      this.#fromUnixNs = fromUnixNs;
    }
    if (toUnixNs > this.#toUnixNs) this.#toUnixNs = toUnixNs;
    for (const [id, value] of header.counters) {
      addCounters(this.#counters, { [names.counterNameAt(id)]: value });
    }
  }

  /** `store` is all the store holds: what lies outside is not missing. */
  finish(asked: readonly BucketRange[], store: BucketRange): Coverage {
    let wanted = 0;
    for (const { first, last } of asked) {
      wanted += Math.max(0, Math.min(last, store.last) - Math.max(first, store.first) + 1);
    }
    const start = asked[0] === undefined ? 0n : bucketStartUnixNs(asked[0].first);
    const gaps = {
      missingBuckets: Math.max(0, wanted - this.#buckets.size),
      brokenBlobs: this.brokenBlobs,
    };
    return {
      fromUnixNs: this.#fromUnixNs ?? start,
      toUnixNs: this.#fromUnixNs === undefined ? start : this.#toUnixNs,
      buckets: this.#buckets.size,
      completeness: completenessOf(this.#counters, gaps),
    };
  }
}
