// How data enters the store: one FlushWriter a flush, committed in one transaction,
// acknowledged by commit() returning.

import type { Counters } from './completeness.js';
import type { FunctionInfo } from './frame.js';
import type { Histogram } from './histogram.js';
import type { SeriesInfo } from './series.js';
import type { MetricKey, StreamInfo } from './stream.js';

/** Time covered by one flush, unix ns. It lies inside one bucket of 10 s, or begins in it. */
export interface FlushSpan {
  readonly startUnixNs: bigint;
  readonly endUnixNs: bigint;
}

/** Events of one stream in columns. **Shape**: timesNs and each column have one entry an event;
 *  columns in the order of the stream's fields. **Units**: timesNs relative to the flush's
 *  startUnixNs (may be negative), exact integers. */
export interface EventColumns {
  readonly timesNs: Float64Array;
  readonly columns: readonly (Float64Array | readonly string[])[];
}

/** Ids are valid within one flush only. Interning is idempotent. Nothing here is async. */
export interface FlushWriter {
  streamId(info: StreamInfo): number;
  seriesId(info: SeriesInfo): number;
  /** Cheap for the same object given again: the symbolizer caches its FunctionInfo objects. */
  functionId(fn: FunctionInfo): number;
  /** Child of `parent` (0 = root) with that function; root-first, as the trie grows. */
  node(parent: number, functionId: number): number;
  /** Adds `count` (integer, 1 <= count < 2^53) to (stream, series, node). */
  sample(stream: number, series: number, node: number, count: number): void;
  /** Appends events. */
  events(stream: number, events: EventColumns): void;
  /** Id of a key of a histogram, counter or gauge. **Limits**: a bucket holds 4096 keys of a stream;
   *  what comes with more is summed in the key `(other)`, and the stream's header counts it as
   *  `folded`. Of gauges, which have no sum, the rest is `lost.over_limit`. */
  keyId(stream: number, key: MetricKey): number;
  /** Adds to the histogram of this key. A value that is no whole number below 2^53 is not stored,
   *  here and below; the header counts it as `lost.bad_value`. */
  histogram(stream: number, key: number, histogram: Histogram): void;
  /** Adds what a counter grew by, 0 included. */
  counter(stream: number, key: number, delta: number): void;
  /** The last value of a bucket stays, to 15 significant digits, rounded to `decimals` if given. */
  gauge(stream: number, key: number, value: number, decimals?: number): void;
  /** Adds to the stream's header of this bucket. A stream with a header
   *  and no rows is still written. */
  header(stream: number, counters: Counters): void;
  /** Writes everything in one transaction, durable when it returns. On a full disk it frees the
   *  oldest segments, else keeps the flush merged in memory (bounded) for the next commit and says
   *  so. **Errors**: `store-failed`. */
  commit(): CommitResult;
}

export interface CommitResult {
  readonly isDurable: boolean;
  /** Segment file written to, and the bucket's start, for those who log acknowledged flushes. */
  readonly segment: string;
  readonly bucketStartUnixNs: bigint;
  /** What had to be given up (flushes dropped from memory), counted since the store was opened. */
  readonly droppedFlushes: number;
}
