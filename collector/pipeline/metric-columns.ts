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
import type { Pieces } from '../pace.js';
import { memberAt, numberReader, readU64 } from './record-fields.js';
import type { Naming } from './samples.js';

/** Rows between two rests. */
const PIECE_ROWS = 128;
/** Entries beyond the largest that are looked at one by one. */
const MAX_FOLDED = 1024;
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
  /** See MetricOutput. */
  readonly limits: Pick<MetricOutput, 'top' | 'foldFirst'>;
  readonly #readers: readonly ReadLabel[];

  /** `struct` is the key's; `settings` are the values of the probe's knobs. */
  constructor(
    output: MetricOutput,
    struct: BtfStruct,
    settings: Readonly<Record<string, number | boolean>>,
  ) {
    const { kind, fields } = output;
    const kept = fields.filter(({ onlyWith }) => onlyWith === undefined || settings[onlyWith]);
    this.fields = kept.map(fieldInfo);
    this.#readers = kept.map((field) => labelReader(struct, field));
    this.sizeBytes = struct.sizeBytes;
    this.limits = output;
    this.octaveOffset = kind === 'histogram' ? memberAt(struct, 'octave').offset : undefined;
  }

  read(view: DataView, at: number, naming: KeyNaming): MetricKey {
    return this.#readers.map((read) => read(view, at, naming));
  }
}

export function* counterColumns(
  { keys: bytes, values }: DrainedKeys,
  labels: KeyLabels,
  naming: KeyNaming,
): Pieces<PointColumns> {
  const { top = values.length, foldFirst = [] } = labels.limits;
  const view = viewOf(bytes);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const labelled = order.slice(0, top + MAX_FOLDED);
  const other = overflowKey(labels.fields);
  const folds = labels.fields.map(({ name }) => foldFirst.includes(name));
  const rows = new Map<string, { key: MetricKey; sum: number }>();
  /** False where that would make more than `most` rows. */
  const add = (key: MetricKey, sum: number, most = Infinity): boolean => {
    const id = key.join('\0');
    const row = rows.get(id) ?? { key, sum: 0 };
    if (!rows.has(id) && rows.size >= most) return false;
    rows.set(id, row);
    row.sum += sum;
    return true;
  };
  const named = withLastImage(naming);
  for (const [rank, entry] of labelled.entries()) {
    if (rank % PIECE_ROWS === 0) yield undefined;
    const key = labels.read(view, entry * labels.sizeBytes, named);
    const folded = key.map((part, i) => (folds[i] ? other[i]! : part));
    const isFolded = foldFirst.length > 0;
    if (rank < top) add(key, values[entry]!);
    else if (!isFolded || !add(folded, values[entry]!, 2 * top)) add(other, values[entry]!);
  }
  for (const entry of order.slice(labelled.length)) add(other, values[entry]!);
  return {
    kind: 'counter',
    keys: Array.from(rows.values(), ({ key }) => key),
    values: Float64Array.from(rows.values(), ({ sum }) => sum),
  };
}

export function* histogramColumns(
  drained: DrainedKeys,
  labels: KeyLabels,
  naming: KeyNaming,
): Pieces<HistogramColumns> {
  const { count, values } = drained;
  const view = viewOf(drained.keys);
  const groups = yield* groupEntries(drained, labels);
  const rows = yield* labelGroups(groups, labels, view, naming);
  const starts = new Uint32Array(rows.length + 1);
  const slots = new Int16Array(count * SLOTS);
  const counts = new Float64Array(count * SLOTS);
  const totals = new Float64Array(rows.length);
  const sumsNs = new Float64Array(rows.length);
  const octaveOf = (entry: number) =>
    view.getUint32(entry * labels.sizeBytes + labels.octaveOffset!, true);
  const octave = new Float64Array(OCTAVE_NUMBERS);
  let next = 0;
  for (const [row, { entries }] of rows.entries()) {
    if (row % PIECE_ROWS === 0) yield undefined;
    entries.sort((a, b) => octaveOf(a) - octaveOf(b));
    for (let at = 0; at < entries.length; ) {
      const number = octaveOf(entries[at]!);
      octave.fill(0);
      for (; at < entries.length && octaveOf(entries[at]!) === number; at++) {
        const first = entries[at]! * OCTAVE_NUMBERS;
        for (let i = 0; i < OCTAVE_NUMBERS; i++) octave[i]! += values[first + i]!;
      }
      for (let i = 0; i < SLOTS; i++) {
        const delays = octave[i]!;
        if (delays === 0) continue;
        slots[next] = number * SLOTS + i - SLOT_BIAS;
        counts[next++] = delays;
        totals[row]! += delays;
      }
      sumsNs[row]! += octave[SLOTS]!;
    }
    starts[row + 1] = next;
  }
  const keys = rows.map(({ key }) => key);
  const used = { slots: slots.slice(0, next), counts: counts.slice(0, next) };
  return { kind: 'histogram', keys, starts, ...used, totals, sumsNs };
}

interface LabelledEntries {
  readonly key: MetricKey;
  readonly entries: number[];
}

/** Keys whose labels are the same become one row: short-lived processes of one executable are. */
function* labelGroups(
  groups: readonly number[][],
  labels: KeyLabels,
  view: DataView,
  naming: KeyNaming,
): Pieces<readonly LabelledEntries[]> {
  const rows = new Map<string, LabelledEntries>();
  const named = withLastImage(naming);
  for (const [i, entries] of groups.entries()) {
    if (i % PIECE_ROWS === 0) yield undefined;
    const key = labels.read(view, entries[0]! * labels.sizeBytes, named);
    const id = key.join('\0');
    const row = rows.get(id);
    if (row === undefined) rows.set(id, { key, entries });
    else row.entries.push(...entries);
  }
  return [...rows.values()];
}

/** The entries of each key: keys are equal when all their words but the octave are. */
function* groupEntries(
  { count, keys }: DrainedKeys,
  { sizeBytes, octaveOffset }: KeyLabels,
): Pieces<number[][]> {
  const stride = sizeBytes / 4;
  const octaveWord = octaveOffset! / 4;
  const words = new Uint32Array(keys.buffer, keys.byteOffset, count * stride);
  const groups: number[][] = [];
  const byHash = new Map<number, number[][]>();
  for (let entry = 0; entry < count; entry++) {
    if (entry % (4 * PIECE_ROWS) === 0) yield undefined;
    let hash = 0;
    for (let i = 0; i < stride; i++) {
      if (i === octaveWord) continue;
      hash = Math.imul(hash ^ words[entry * stride + i]!, 0x9e3779b1) ^ (hash >>> 15);
    }
    const candidates = byHash.get(hash) ?? [];
    const group = candidates.find(([first]) => isSameKey(words, stride, octaveWord, first!, entry));
    if (group !== undefined) {
      group.push(entry);
      continue;
    }
    const fresh = [entry];
    groups.push(fresh);
    byHash.set(hash, [...candidates, fresh]);
  }
  return groups;
}

function isSameKey(
  words: Uint32Array,
  stride: number,
  octaveWord: number,
  ...[a, b]: readonly [number, number]
): boolean {
  for (let i = 0; i < stride; i++) {
    if (i !== octaveWord && words[a * stride + i] !== words[b * stride + i]) return false;
  }
  return true;
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

type Image = ReturnType<Naming['image']>;

/** The program image of the struct fk_incarnation there. */
function imageAt(view: DataView, at: number, naming: KeyNaming): Image {
  return naming.image(
    view.getUint32(at + 8, true),
    readU64(view, at),
    view.getUint32(at + 12, true),
  );
}

/** A key's labels ask for the same image several times: the last one is kept. */
function withLastImage(naming: KeyNaming): KeyNaming {
  let [lastTgid, lastStart, lastExec] = [-1, -1, -1];
  let last: Image;
  return {
    image(tgid, startBootNs, execId) {
      if (tgid !== lastTgid || startBootNs !== lastStart || execId !== lastExec) {
        last = naming.image(tgid, startBootNs, execId);
        [lastTgid, lastStart, lastExec] = [tgid, startBootNs, execId];
      }
      return last;
    },
    cgroupPath: (id) => naming.cgroupPath(id),
    userName: (uid) => naming.userName(uid),
    deviceName: (number) => naming.deviceName(number),
  };
}

function threadName(tid: number, image: Image): string {
  if (image === undefined) return '';
  return image.isFolded ? image.comm : image.threadName(tid);
}
