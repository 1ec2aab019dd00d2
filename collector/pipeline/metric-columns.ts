// Drained histograms and counters by key -> columns with labels, as the probe's descriptor says.
// Pure. A key's octaves come as entries of their own, in any order: they are put together here.
// Who a key is about is looked up once for each key, not for each entry.

import type { KeyField, MetricOutput } from '../../bpf/descriptor.js';
import * as wire from '../../bpf/generated/wire.js';
import type { DrainedKeys } from '../../bpf/keyed-maps.js';
import type { BtfStruct } from '../../elf/btf.js';
import { assert } from '../../storage/model/errors.js';
import type { FieldInfo, MetricKey } from '../../storage/model/stream.js';
import { overflowKey } from '../../storage/model/stream.js';
import type { HistogramColumns, PointColumns } from '../messages.js';
import { memberAt, numberReader, readU64 } from './record-fields.js';
import type { Naming } from './samples.js';

const SLOTS: number = wire.FkSlot.FK_OCTAVE_SLOTS;
const SLOT_BIAS: number = wire.FkSlot.FK_SLOT_BIAS;
/** Counts and sum of struct fk_octave. */
const OCTAVE_NUMBERS = wire.FK_OCTAVE_SIZE / 8;

export interface KeyNaming extends Naming {
  /** Of a block device: `sda`. */
  deviceName(number: number): string;
}

type ReadLabel = (view: DataView, at: number, naming: KeyNaming) => string | number;

/** How the keys of one output become labels. */
export class KeyLabels {
  readonly fields: readonly FieldInfo[];
  /** Where a histogram's octave stands in the key. */
  readonly octaveOffset: number | undefined;
  readonly sizeBytes: number;
  /** Rows that stay; see MetricOutput. */
  readonly top: number | undefined;
  readonly #readers: readonly ReadLabel[];

  /** `struct` is the key's; `settings` are the values of the probe's knobs. */
  constructor(
    { kind, fields, top }: MetricOutput,
    struct: BtfStruct,
    settings: Readonly<Record<string, number | boolean>>,
  ) {
    const kept = fields.filter(({ onlyWith }) => onlyWith === undefined || settings[onlyWith]);
    this.fields = kept.map(fieldInfo);
    this.#readers = kept.map((field) => labelReader(struct, field));
    this.sizeBytes = struct.sizeBytes;
    this.top = top;
    this.octaveOffset = kind === 'histogram' ? memberAt(struct, 'octave').offset : undefined;
  }

  read(view: DataView, at: number, naming: KeyNaming): MetricKey {
    return this.#readers.map((read) => read(view, at, naming));
  }
}

export function counterColumns(
  { count, keys: bytes, values }: DrainedKeys,
  labels: KeyLabels,
  naming: KeyNaming,
): PointColumns {
  const view = viewOf(bytes);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const kept = order.slice(0, labels.top);
  const keys = kept.map((entry) => labels.read(view, entry * labels.sizeBytes, naming));
  const sums = kept.map((entry) => values[entry]!);
  if (kept.length < count) {
    keys.push(overflowKey(labels.fields));
    sums.push(order.slice(labels.top).reduce((sum, entry) => sum + values[entry]!, 0));
  }
  return { kind: 'counter', keys, values: Float64Array.from(sums) };
}

export function histogramColumns(
  drained: DrainedKeys,
  labels: KeyLabels,
  naming: KeyNaming,
): HistogramColumns {
  const { count, values } = drained;
  const view = viewOf(drained.keys);
  const groups = [...groupEntries(drained, labels).values()];
  const keys = groups.map((entries) => labels.read(view, entries[0]! * labels.sizeBytes, naming));
  const starts = new Uint32Array(groups.length + 1);
  const slots = new Int16Array(count * SLOTS);
  const counts = new Float64Array(count * SLOTS);
  const totals = new Float64Array(groups.length);
  const sumsNs = new Float64Array(groups.length);
  const octaveOf = (entry: number) =>
    view.getUint32(entry * labels.sizeBytes + labels.octaveOffset!, true);
  let next = 0;
  groups.forEach((entries, row) => {
    for (const entry of entries.sort((a, b) => octaveOf(a) - octaveOf(b))) {
      const first = entry * OCTAVE_NUMBERS;
      for (let i = 0; i < SLOTS; i++) {
        const delays = values[first + i]!;
        if (delays === 0) continue;
        slots[next] = octaveOf(entry) * SLOTS + i - SLOT_BIAS;
        counts[next++] = delays;
        totals[row]! += delays;
      }
      sumsNs[row]! += values[first + SLOTS]!;
    }
    starts[row + 1] = next;
  });
  const used = { slots: slots.slice(0, next), counts: counts.slice(0, next) };
  return { kind: 'histogram', keys, starts, ...used, totals, sumsNs };
}

/** The entries of each key, by its bytes without the octave. */
function groupEntries(
  { count, keys }: DrainedKeys,
  { sizeBytes, octaveOffset }: KeyLabels,
): Map<string, number[]> {
  const bytes = Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength);
  const groups = new Map<string, number[]>();
  for (let entry = 0; entry < count; entry++) {
    const at = entry * sizeBytes;
    const octaveAt = at + octaveOffset!;
    const key =
      bytes.toString('latin1', at, octaveAt) +
      bytes.toString('latin1', octaveAt + 4, at + sizeBytes);
    const entries = groups.get(key);
    if (entries === undefined) groups.set(key, [entry]);
    else entries.push(entry);
  }
  return groups;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function fieldInfo({ name, as, unit }: KeyField): FieldInfo {
  const isNumber = as === 'number' || as === 'pid' || as === 'startUnixMs';
  const info = { name, type: isNumber ? 'number' : 'string' } as const;
  return unit === undefined ? info : { ...info, unit };
}

function labelReader(struct: BtfStruct, field: KeyField): ReadLabel {
  const { offset, type } = memberAt(struct, field.from);
  switch (field.as) {
    case 'number':
      return numberReader(offset, type);
    case 'user':
      return (view, at, naming) => naming.userName(view.getUint32(at + offset, true));
    case 'cgroup':
      return (view, at, naming) => naming.cgroupPath(view.getBigUint64(at + offset, true));
    case 'device':
      return (view, at, naming) => naming.deviceName(view.getUint32(at + offset, true));
    case 'word': {
      const read = numberReader(offset, type);
      const { words = [] } = field;
      return (view, at) => words[read(view, at)] ?? '';
    }
    case 'thread': {
      assert(field.image !== undefined, `field ${field.name} says where the incarnation is`);
      const image = memberAt(struct, field.image).offset;
      return (view, at, naming) =>
        threadName(view.getUint32(at + offset, true), imageAt(view, at + image, naming));
    }
    case 'pid':
      return (view, at, naming) =>
        imageAt(view, at + offset, naming)?.isFolded ? 0 : view.getUint32(at + offset + 8, true);
    case 'startUnixMs':
      return (view, at, naming) => {
        const image = imageAt(view, at + offset, naming);
        return image === undefined || image.isFolded ? 0 : image.startUnixMs;
      };
    case 'comm':
      return (view, at, naming) => imageAt(view, at + offset, naming)?.comm ?? '';
    case 'executable':
      return (view, at, naming) => imageAt(view, at + offset, naming)?.executable ?? '';
  }
}

/** The program image of the struct fk_incarnation there. */
function imageAt(view: DataView, at: number, naming: KeyNaming): ReturnType<Naming['image']> {
  return naming.image(
    view.getUint32(at + 8, true),
    readU64(view, at),
    view.getUint32(at + 12, true),
  );
}

function threadName(tid: number, image: ReturnType<Naming['image']>): string {
  if (image === undefined) return '';
  return image.isFolded ? image.comm : image.threadName(tid);
}
