// What the two threads say to each other. Front (talks to the kernel, never blocks) -> back
// (names, stores, answers): plain objects and typed arrays by structured clone, a few hundred KB a
// flush. Nothing here has behaviour.

import type { Config } from '../config/load.js';
import type { CodeSegment } from '../elf/code-ranges.js';
import type { GivenName } from '../exporters/push/metric-names.js';
import type { Counters } from '../storage/model/completeness.js';
import type { Module, NameReason } from '../storage/model/frame.js';
import type { Histogram } from '../storage/model/histogram.js';
import type { SeriesInfo } from '../storage/model/series.js';
import type { MetricKey, StreamInfo } from '../storage/model/stream.js';
import type { EventColumns, FlushSpan } from '../storage/model/writer.js';
import type { TableReason, UnwindTable } from './unwind/build-table.js';

/** Where a frame lies, in `StackTable.frameModules`: an id >= 0 of a module, or one of these. */
export const KERNEL_FRAME = -1;
export const UNMAPPED_FRAME = -2;
export const ANONYMOUS_FRAME = -3;

/** Normalized stacks. **Shape**: stack i has frames [starts[i], starts[i + 1]), leaf first;
 *  ends[i] is its enum fk_stack_end.
 *  **Units**: frameOffsets: byte offset in the module's file, or the address in the kernel (signed,
 *  exact); callers' offsets are already moved into the call instruction (address - 1). */
export interface StackTable {
  readonly starts: Uint32Array;
  readonly ends: Uint8Array;
  readonly frameModules: Int32Array;
  readonly frameOffsets: Float64Array;
}

/** Rows of one flush. **Shape**: one entry a row in each row* array; -1 in rowUser
 *  or rowKernel: no such stack. */
export interface SampleRows {
  /** Index in `FlushMessage.streams`. */
  readonly rowStream: Uint8Array;
  readonly rowSeries: Uint32Array;
  readonly rowUser: Int32Array;
  readonly rowKernel: Int32Array;
  readonly rowWeight: Float64Array;
  readonly series: readonly SeriesInfo[];
  readonly stacks: StackTable;
}

/** What a metric stream brings in one flush. **Shape**: one key a row; a key that comes twice is
 *  summed (of a gauge the last value stays). */
export type MetricColumns = HistogramColumns | PointColumns;

/** **Shape**: row i has slots and counts [starts[i], starts[i + 1]), slots ascending; totals (all its
 *  delays, also those that found no slot) and sumsNs have one entry a row.
 *  **Units**: slots as in storage/model/histogram.ts. */
export interface HistogramColumns {
  readonly kind: 'histogram';
  readonly keys: readonly MetricKey[];
  readonly starts: Uint32Array;
  readonly slots: Int16Array;
  readonly counts: Float64Array;
  readonly totals: Float64Array;
  readonly sumsNs: Float64Array;
}

/** **Shape**: one value a row. **Units**: of a counter what it grew by, a whole number; a gauge is
 *  kept to `decimals` if given. */
export interface PointColumns {
  readonly kind: 'counter' | 'gauge';
  readonly keys: readonly MetricKey[];
  readonly values: Float64Array;
  readonly decimals?: number;
}

/** `stream` is the index in `FlushMessage.streams`. */
export interface MetricRows {
  readonly stream: number;
  readonly columns: MetricColumns;
}

/** A file, and one content of it, that samples fell into for the first time; `fd` is open for reading and
 *  becomes the back's to close. */
export interface OpenedModule {
  readonly id: number;
  readonly module: Module;
  readonly opened:
    | {
        readonly fd: number;
        /** Of what it held when it was opened; see contentStamp. */
        readonly stamp: string;
      }
    | { readonly reason: NameReason };
}

export interface FlushMessage {
  readonly kind: 'flush';
  readonly sequence: number;
  readonly span: FlushSpan;
  /** Streams of this flush with their header counters; rows and events refer to them by index. */
  readonly streams: readonly { readonly info: StreamInfo; readonly counters: Counters }[];
  /** One entry a probe that takes stacks. */
  readonly samples: readonly SampleRows[];
  readonly events: readonly { readonly stream: number; readonly columns: EventColumns }[];
  readonly metrics: readonly MetricRows[];
  readonly modules: readonly OpenedModule[];
  /** Ids that no sample fell into for long: what is kept of them can go. */
  readonly forgottenModules: readonly number[];
  /** For `status`: name -> value, the unit last in the name. */
  readonly daemon: Readonly<Record<string, string | number>>;
}

/** A flush as the front knows it. */
export type DrainedFlush = Omit<FlushMessage, 'daemon'>;

/** Asks what a file is, or for its unwind table; the descriptor stays the front's. `origin` is
 *  where the image begins in what it reads; `id` is in the answer. */
export interface FileQuestion {
  readonly kind: 'identify-file' | 'build-table';
  readonly id: number;
  readonly fd: number;
  readonly origin: number;
}

export interface FileIdentified {
  readonly kind: 'file-identified';
  readonly id: number;
  readonly result:
    | {
        /** See FileIdentity of table-cache.ts. */
        readonly content: string;
        readonly segments: readonly CodeSegment[];
        /** What building its table has to read. */
        readonly costBytes: number;
      }
    | { readonly reason: TableReason };
}

export interface TableBuilt {
  readonly kind: 'table-built';
  readonly id: number;
  readonly result: UnwindTable | { readonly reason: TableReason };
  readonly cpuMs: number;
}

export interface StopMessage {
  readonly kind: 'stop';
}

export type ToBack = FlushMessage | FileQuestion | StopMessage;

export interface ReadyMessage {
  readonly kind: 'ready';
  readonly storeBytes: number;
}

/** Streams of durations; see storage/model/host-streams.ts. */
export type TimedStream = 'selfFlush' | 'selfQuery' | 'selfExport';

/** `key` is the stream's only field. */
export interface DurationRow {
  readonly stream: TimedStream;
  readonly key: string;
  readonly histogram: Histogram;
}

/** A flush is in the store (or kept in memory while the disk is full). */
export interface FlushedMessage {
  readonly kind: 'flushed';
  readonly sequence: number;
  readonly isDurable: boolean;
  readonly segment: string;
  readonly bucketStartUnixNs: bigint;
  readonly droppedFlushes: number;
  readonly storeBytes: number;
  /** Time spent naming and writing. */
  readonly durationMs: number;
  readonly framesNamed: number;
  readonly framesTotal: number;
  readonly kernelFramesUnnamed: number;
  /** Of each sample type that had any: counters stacks.*. */
  readonly stackEnds: readonly { readonly type: string; readonly counters: Counters }[];
  /** Since the message before: of the back's own loop, and of what it did beside flushes. */
  readonly longestStallMs: number;
  readonly durations: readonly DurationRow[];
  /** Unix ms; undefined while the store is empty. */
  readonly oldestUnixMs: number | undefined;
}

export interface LogMessage {
  readonly kind: 'log';
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly text: string;
}

export interface FailedMessage {
  readonly kind: 'failed';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export type FromBack =
  | ReadyMessage
  | FlushedMessage
  | FileIdentified
  | TableBuilt
  | LogMessage
  | FailedMessage
  | { readonly kind: 'stopped' };

/** Given to the back thread at its start. */
export interface BackOptions {
  readonly config: Config;
  /** Readings of each second, written by the front. */
  readonly seconds: SharedArrayBuffer | undefined;
  /** Names outside that the probes gave their streams. */
  readonly names: readonly GivenName[];
  /** Of flamekeeper. */
  readonly version: string;
}
