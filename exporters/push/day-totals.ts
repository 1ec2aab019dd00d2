// Cumulative values: all that a UTC day brought up to a bucket. They follow from the store alone, so
// that after a restart the same bucket has the same values and the same start.
//
//   day      |00:00                        next        bucket
//   added    |==============================>- - - - - -|      in pieces, with pauses
//   gauges                                               ^ only this one

import type { SeriesAnswer, Window } from '../../storage/model/query.js';
import type { PointTableOptions } from './point-table.js';
import { PointTable } from './point-table.js';

export const bucketNs = 10_000_000_000n;
const dayBuckets = 8640;
/** What is in memory at a time: its blobs, and an answer. */
const pieceBuckets = 20;

/** All metrics of a window, step by step. */
export type ReadMetrics = (window: Window, stepNs: bigint) => Promise<readonly SeriesAnswer[]>;

/** Work comes in pieces, between which what is due goes first. */
export type GiveWay = () => Promise<void>;

export class DayTotals {
  readonly #read: ReadMetrics;
  readonly #options: PointTableOptions;
  readonly #giveWay: GiveWay;
  #table: PointTable;
  #day = -1;
  /** Not added yet. */
  #next = 0;

  constructor(read: ReadMetrics, options: PointTableOptions, giveWay: GiveWay) {
    this.#read = read;
    this.#giveWay = giveWay;
    this.#options = options;
    this.#table = new PointTable(options);
  }

  /** The table up to this bucket, it included; valid until the next call, which must not come before
   *  this one resolved. A bucket before the last one begins its day anew. `answers`: the bucket's own,
   *  where they have been read. */
  async upTo(bucket: number, answers?: readonly SeriesAnswer[]): Promise<PointTable> {
    const day = Math.floor(bucket / dayBuckets);
    if (day !== this.#day || bucket < this.#next - 1) {
      this.#day = day;
      this.#next = day * dayBuckets;
      this.#table = new PointTable(this.#options);
    }
    while (this.#next < bucket) {
      const pieceEnd = Math.floor(this.#next / pieceBuckets + 1) * pieceBuckets;
      const end = Math.min(pieceEnd, bucket);
      const pieceNs = BigInt(pieceBuckets) * bucketNs;
      for (const answer of await this.#read(windowOf(this.#next, end - this.#next), pieceNs)) {
        if (answer.kind !== 'gauge') this.#table.add(answer, 0);
        await this.#giveWay();
      }
      this.#next = end;
    }
    if (this.#next === bucket) {
      const own = answers ?? (await this.#read(windowOf(bucket, 1), bucketNs));
      this.#table.clearGauges();
      for (const answer of own) {
        this.#table.add(answer, 0);
        await this.#giveWay();
      }
      this.#next = bucket + 1;
    }
    return this.#table;
  }
}

export function windowOf(bucket: number, buckets: number): Window {
  const fromUnixNs = BigInt(bucket) * bucketNs;
  return { fromUnixNs, toUnixNs: fromUnixNs + BigInt(buckets) * bucketNs };
}
