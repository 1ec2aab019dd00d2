// What a probe is, as data: one NAME.bpf.c and one NAME.ts that exports `descriptor`. Probes are
// found by listing bpf/probes; shared code reads descriptors and never asks which probe it has.

import type { ValueType } from '../storage/model/stream.js';

export interface ProbeDescriptor {
  readonly name: string;
  /** One sentence for `doctor` and docs. */
  readonly summary: string;
  readonly hooks: readonly Hook[];
  /** probes.NAME.KNOB of flamekeeper.yaml. */
  readonly knobs: Readonly<Record<string, Knob>>;
  /** `const volatile` variables of the object that the collector fills in
   *  with what it knows of the host. */
  readonly constants: readonly HostConstant[];
  readonly outputs: readonly Output[];
}

/** fk_period_ns: of the sampling clock. fk_cgroup_hierarchies: ids of the v1 hierarchies systemd,
 *  memory, cpu; 0 = not mounted. */
export type HostConstant = 'fk_period_ns' | 'fk_cgroup_hierarchies';

/** One program. Of hooks with the same `group` the first that loads and attaches is used;
 *  without a group each is tried. */
export interface Hook {
  /** Name of the SEC function, at most 15 bytes. */
  readonly program: string;
  /** `perf_event` programs are attached to the events that the collector opens;
   *  `auto` by their section name. */
  readonly attach: 'auto' | 'perf_event';
  /** A probe without this hook is of no use. */
  readonly isRequired: boolean;
  readonly group?: string;
}

/** A number or switch that a user may set. `rodata` names the `const volatile` variable
 *  it is written to before load. */
export interface Knob {
  readonly help: string;
  readonly default: number | boolean;
  readonly min?: number;
  readonly max?: number;
  readonly rodata?: string;
}

/** What a map or ring means. */
export type Output = StackOutput | UnwindOutput | RingOutput;

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
