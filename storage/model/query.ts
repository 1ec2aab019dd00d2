// The one query interface. Files, the daemon's memory behind its socket, and later remote stores
// implement it: same answer, whoever gives it.

import type { Completeness, Counters } from './completeness.js';
import type { Histogram } from './histogram.js';
import type { Profile } from './profile.js';
import type { FieldInfo, MetricKey, StreamInfo } from './stream.js';

/** [from, to), unix ns. */
export interface Window {
  readonly fromUnixNs: bigint;
  readonly toUnixNs: bigint;
}

/** A sample's series, an event or a metric's key must match every part that is given, by any of its
 *  values. Matching is exact, except: `cgroup` also matches what is below it. A part that a stream
 *  does not know is refused (`usage`). */
export interface Filter {
  readonly comm?: readonly string[];
  readonly pid?: readonly number[];
  /** Name or uid. */
  readonly user?: readonly string[];
  readonly cgroup?: readonly string[];
  readonly thread?: readonly string[];
  /** Block device or network interface. */
  readonly device?: readonly string[];
}

export interface AggregateRequest {
  readonly windows: readonly Window[];
  readonly filter: Filter;
  /** Name of a samples stream: cpu. */
  readonly stream: string;
}

export interface EventsRequest {
  readonly window: Window;
  readonly filter: Filter;
  /** Name of an event stream: exec. */
  readonly stream: string;
  /** Where the page before ended; absent for the first. */
  readonly cursor?: string;
  /** At most this many events in the answer (1..100,000). */
  readonly limit: number;
  /** Number columns that must be at least this: { duration: 1e7 }. */
  readonly atLeast?: Readonly<Record<string, number>>;
}

export interface SeriesRequest {
  readonly window: Window;
  /** Length of a step: a multiple of 10 s. Steps begin at multiples of it since 1970. */
  readonly stepNs: bigint;
  readonly filter: Filter;
  /** Name of a stream of histograms, counters or gauges: runq. */
  readonly stream: string;
  /** Fields that keys are kept apart by, the rest is summed; [] makes one key. Absent: all fields. */
  readonly by?: readonly string[];
}

export interface EventRecord {
  readonly unixNs: bigint;
  readonly values: Readonly<Record<string, string | number>>;
}

/** What an answer covers: the whole buckets that the window touches. */
export interface Coverage {
  /** True start of the first bucket read and true end of the last; when none was, both are the
   *  start of the first bucket asked for. */
  readonly fromUnixNs: bigint;
  readonly toUnixNs: bigint;
  readonly buckets: number;
  readonly completeness: Completeness;
}

export interface AggregateAnswer {
  readonly profile: Profile;
  readonly coverage: Coverage;
}

export interface EventsAnswer {
  readonly stream: StreamInfo;
  /** In time order. */
  readonly events: readonly EventRecord[];
  readonly coverage: Coverage;
  /** Give it back for what comes next; always there, so that a follower can wait for more. */
  readonly cursor: string;
  /** False when the window held more than `limit`. */
  readonly isComplete: boolean;
}

/** What one key had in each step; undefined where nothing was stored. */
export interface KeySeries<T> {
  readonly key: MetricKey;
  readonly values: readonly (T | undefined)[];
}

/** **Shape**: steps, coveredNs and each key's values have one entry a step. */
interface SeriesOf<Kind, T> {
  readonly kind: Kind;
  readonly stream: StreamInfo;
  /** What keys are made of, in their order. */
  readonly fields: readonly FieldInfo[];
  /** Start of each step; the first may begin before the window. */
  readonly steps: readonly bigint[];
  /** Time of each step that the stream's buckets cover: what a delta is divided by for a rate. */
  readonly coveredNs: readonly number[];
  /** By their first appearance. */
  readonly keys: readonly KeySeries<T>[];
  readonly coverage: Coverage;
  /** All counters of the stream's headers, summed: losses, self-checks. */
  readonly counters: Counters;
}

/** Histograms and deltas of a step are summed; of a gauge it is the last value of the step, summed
 *  over keys that `by` puts together. */
export type SeriesAnswer =
  | SeriesOf<'histogram', Histogram>
  | SeriesOf<'counter', number>
  | SeriesOf<'gauge', number>;

export interface SegmentStatus {
  readonly name: string;
  readonly sizeBytes: number;
  readonly startUnixNs: bigint;
  readonly endUnixNs: bigint;
  readonly state: 'active' | 'closed';
  readonly buckets: number;
}

export interface StatusAnswer {
  readonly dataDir: string;
  readonly sizeBytes: number;
  readonly segments: readonly SegmentStatus[];
  readonly quarantined: readonly string[];
  readonly streams: readonly StreamInfo[];
  /** Over the last 5 minutes the store holds, stream cpu. */
  readonly recent?: Coverage;
  /** What only a running daemon knows: name -> value with its unit last in the name.
   *  Absent when read from files. */
  readonly daemon?: Readonly<Record<string, string | number>>;
}

/** Every method rejects with an OperatingError: `no-data`, `empty-window`, `usage` for a
 *  stream that does not exist. */
export interface Query {
  aggregate(request: AggregateRequest): Promise<AggregateAnswer>;
  events(request: EventsRequest): Promise<EventsAnswer>;
  series(request: SeriesRequest): Promise<SeriesAnswer>;
  status(): Promise<StatusAnswer>;
  close(): void;
}
