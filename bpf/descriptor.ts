// What a probe is, as data: one NAME.bpf.c and one NAME.ts that exports `descriptor`. Probes are
// found by listing bpf/probes; shared code reads descriptors and never asks which probe it has.

import type { MetricKey, ValueType } from '../storage/model/stream.js';

export interface ProbeDescriptor {
  readonly name: string;
  /** One sentence for `doctor` and docs. */
  readonly summary: string;
  /** Where the kernel refuses it, that is told and the rest runs. It has a switch among its knobs,
   *  `enabled`. */
  readonly isOptional?: boolean;
  readonly hooks: readonly Hook[];
  /** probes.NAME.KNOB of flamekeeper.yaml. */
  readonly knobs: Readonly<Record<string, Knob>>;
  /** `const volatile` variables of the object that the collector fills in
   *  with what it knows of the host. */
  readonly constants: readonly HostConstant[];
  readonly outputs: readonly Output[];
  /** What the probe counted against the kernel's own count, at each flush. */
  readonly checks?: readonly SelfCheck[];
}

/** fk_period_ns: of the sampling clock. fk_cgroup_hierarchies: ids of the v1 hierarchies systemd,
 *  memory, cpu, blkio; 0 = not mounted. */
export type HostConstant = 'fk_period_ns' | 'fk_cgroup_hierarchies';

/** One program. Of hooks with the same `group` the first that loads and attaches is used;
 *  without a group each is tried. */
export interface Hook {
  /** Name of the SEC function, at most 15 bytes. */
  readonly program: string;
  /** `perf_event` programs are attached to the events that the collector opens;
   *  `auto` by their section name; so are those of `iter`, which are read once, before the gate
   *  opens. */
  readonly attach: 'auto' | 'perf_event' | 'iter';
  /** A probe without this hook is of no use. */
  readonly isRequired: boolean;
  readonly group?: string;
  /** Maps that only hooks that name them need: without one of those they are not made. */
  readonly maps?: readonly string[];
}

/** A number or switch that a user may set. `rodata` names the `const volatile` variable it is
 *  written to before load, `sizes` the map whose max_entries it is. */
export interface Knob {
  readonly help: string;
  readonly default: number | boolean;
  readonly min?: number;
  readonly max?: number;
  readonly rodata?: string;
  readonly sizes?: string;
}

/** What a map or ring means. */
export type Output = StackOutput | UnwindOutput | RingOutput | MetricOutput;

/** Weighted stacks in two generations: `counts` and `stacks` are arrays of two maps each,
 *  `stats` and `clocks` as in wire.h. */
export interface StackOutput {
  readonly kind: 'stack';
  readonly counts: string;
  readonly stacks: string;
  readonly stats: string;
  readonly clocks: string;
}

/** Mapped files that stacks went through, their unwind tables, and the ring that asks for those that
 *  are missing, all as in wire.h and unwind_table.h. `stats` is per CPU. */
export interface UnwindOutput {
  readonly kind: 'unwind';
  readonly files: string;
  readonly tables: string;
  readonly requests: string;
  readonly stats: string;
}

export interface RingOutput {
  readonly kind: 'ring';
  readonly ring: string;
  /** Per-CPU array of __u64, one entry: records that found no room. */
  readonly drops: string;
  readonly records: readonly RingRecord[];
}

/** One record type of a ring, told by its tag (enum fk_record_tag) and struct (wire.h). */
export type RingRecord = EventRecordType | CgroupRecordType;

export interface EventRecordType {
  readonly kind: 'event';
  readonly tag: string;
  readonly struct: string;
  /** Name of the event stream it goes to; several record types may share one. */
  readonly stream: string;
  readonly valueType: ValueType;
  /** Path in the struct of the fk_incarnation that began with this event; it teaches
   *  the process table exec ids. */
  readonly startsImage?: string;
  readonly fields: readonly EventField[];
}

/** Tells the cgroup table of a new path. */
export interface CgroupRecordType {
  readonly kind: 'cgroup';
  readonly tag: string;
  readonly struct: string;
}

/** A stream of histograms or counters: an array of two maps, one a generation, that both have the
 *  same struct as key. A histogram's key has a member `octave`, its value is an fk_octave
 *  (hist.bpf.h); a counter's value is a __u64. */
export interface MetricOutput {
  readonly kind: 'histogram' | 'counter';
  readonly map: string;
  /** Per-CPU array with an entry a generation, of a struct of __u64: the counters of the stream's
   *  header by their names; `lost_REASON` becomes lost.REASON. */
  readonly stats?: string;
  readonly stream: string;
  readonly valueType: ValueType;
  readonly fields: readonly KeyField[];
  /** Of a counter: the largest so many rows of a flush stay as they are. Of the rest these fields
   *  are folded, as long as that makes as many rows more; what is left is summed in one. */
  readonly top?: number;
  readonly foldFirst?: readonly string[];
  /** Names outside: OpenTelemetry's, whose unit is seconds, and Prometheus's. */
  readonly otel: string;
  readonly prometheus: string;
}

/** A part of the stream's key. `from` is a path in the key's struct; `as` says how it becomes a
 *  label. */
export interface KeyField {
  readonly name: string;
  readonly from: string;
  /** `pid`, `startUnixMs`, `comm`, `executable`: of an fk_incarnation; `thread`: of a tid, with the
   *  incarnation at `image`; `user`: of a uid; `cgroup`: of a cgroup id; `device`: of a block
   *  device's number, major << 20 | minor; `word`: an index of `words`. */
  readonly as:
    | 'number'
    | 'pid'
    | 'startUnixMs'
    | 'comm'
    | 'executable'
    | 'thread'
    | 'user'
    | 'cgroup'
    | 'device'
    | 'word';
  readonly image?: string;
  readonly words?: readonly string[];
  readonly unit?: string;
  /** The switch among the knobs without which there is no such field. */
  readonly onlyWith?: string;
}

/** Texts of files by path. */
export type FileTexts = ReadonlyMap<string, string>;

/** What a probe counted between two flushes. */
export interface CheckedInterval {
  /** Counters of the header, by their names in the struct of `stats`. */
  readonly stats: Readonly<Record<string, number>>;
  /** Of the first metric output: names of the labels, and by row the labels, how many delays, and
   *  their sum. */
  readonly fields: readonly string[];
  readonly keys: readonly MetricKey[];
  readonly counts: Float64Array;
  readonly sumsNs: Float64Array;
}

/** Pure: whoever calls reads the files. */
export interface SelfCheck {
  /** The header has check.NAME.kernel and check.NAME.ours; they should be equal. */
  readonly name: string;
  /** What to read at this flush and at the next; a `*` is every entry of a folder. `turn` counts
   *  the flushes, so that another sample may be taken each time. */
  readonly files: (interval: CheckedInterval, turn: number) => readonly string[];
  /** Undefined: nothing can be said of this interval. */
  readonly compare: (
    before: FileTexts,
    after: FileTexts,
    interval: CheckedInterval,
  ) => Comparison | undefined;
}

export interface Comparison {
  readonly kernel: number;
  readonly ours: number;
  /** Other counters for the header: what is found out beside. */
  readonly more?: Readonly<Record<string, number>>;
}

/** A column of the event stream. `from` is a path in the struct (`exec.incarnation.tgid`); `as`
 *  says how it becomes a value. */
export interface EventField {
  readonly name: string;
  readonly from: string;
  /** `executable`, `startUnixMs`: from an fk_incarnation; `user`: from a uid; `cgroup`: from a
   *  cgroup id; `exitStatus`, `signal`: the two halves of a wait status; `text`: char[];
   *  `arguments`: NUL-separated char[]. */
  readonly as:
    | 'number'
    | 'text'
    | 'arguments'
    | 'executable'
    | 'startUnixMs'
    | 'user'
    | 'cgroup'
    | 'exitStatus'
    | 'signal';
  readonly unit?: string;
}
