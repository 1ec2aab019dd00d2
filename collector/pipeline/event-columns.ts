// Ring records -> columns of an event stream, as the probe's descriptor says. Records are kept as
// bytes until the flush, when all that happened until then is known and executables, users and
// cgroups have their names. Pure.

import type { BtfStruct } from '../../elf/btf.js';
import type { EventField, EventRecordType } from '../../bpf/descriptor.js';
import { assert } from '../../storage/model/errors.js';
import type { FieldInfo, StreamInfo } from '../../storage/model/stream.js';
import type { EventColumns } from '../../storage/model/writer.js';
import { KeptRecords } from './kept-records.js';
import { memberAt, numberReader, readU64 } from './record-fields.js';

const TWO32 = 2 ** 32;
/** Offset of fk_record.ktime_ns in every record. */
const KTIME_OFFSET = 8;

/** What events are named with. **Units**: startBootNs since boot; a pid is a tgid. */
export interface EventNaming {
  executable(tgid: number, startBootNs: number, execId: number): string;
  startUnixMs(startBootNs: number): number;
  userName(uid: number): string;
  cgroupPath(rankedId: bigint): string;
}

/** A program image that began, as the kernel names it. **Units**: ns of the boot
 *  clock and of CLOCK_MONOTONIC. */
export interface StartedImage {
  readonly tgid: number;
  readonly startBootNs: number;
  readonly execId: number;
  readonly ktimeNs: bigint;
}

type ReadField = (view: DataView, at: number, naming: EventNaming) => string | number;

interface KnownRecord {
  readonly sizeBytes: number;
  /** By the stream's column; undefined where this record has no such field. */
  readonly columns: readonly (ReadField | undefined)[];
  /** Offset of the fk_incarnation that begins with the event. */
  readonly imageOffset: number | undefined;
}

/** Collects one stream's records between two flushes. Several record types may share it:
 *  what one lacks is -1 or ''. */
export class EventCollector {
  readonly stream: StreamInfo;
  readonly #records = new Map<string, KnownRecord>();
  readonly #maxEvents: number;
  readonly #onImage: (image: StartedImage) => void;
  readonly #kept = new KeptRecords<KnownRecord>();
  #overLimit = 0;

  /** `types` share a stream; `structs` are their wire structs by name. */
  constructor(
    types: readonly EventRecordType[],
    structs: (name: string) => BtfStruct | undefined,
    options: { readonly maxEvents: number; readonly onImage: (image: StartedImage) => void },
  ) {
    const fields = new Map<string, EventField>();
    for (const type of types) for (const field of type.fields) fields.set(field.name, field);
    this.stream = {
      name: types[0]!.stream,
      kind: 'event',
      valueType: types[0]!.valueType,
      fields: [...fields.values()].map(fieldInfo),
    };
    this.#maxEvents = options.maxEvents;
    this.#onImage = options.onImage;
    for (const type of types) {
      const struct = structs(type.struct);
      assert(struct !== undefined, `the probe's object describes struct ${type.struct}`);
      const own = new Map(type.fields.map((field) => [field.name, field]));
      const columns = [...fields.keys()].map((name) => {
        const field = own.get(name);
        return field === undefined ? undefined : fieldReader(struct, field);
      });
      const imageOffset =
        type.startsImage === undefined ? undefined : memberAt(struct, type.startsImage).offset;
      this.#records.set(type.tag, { sizeBytes: struct.sizeBytes, columns, imageOffset });
    }
  }

  /** Keeps a copy of the record. False when its length is not its struct's. */
  append(tag: string, view: DataView, offset: number, sizeBytes: number): boolean {
    const record = this.#records.get(tag);
    if (record === undefined || sizeBytes !== record.sizeBytes) return false;
    if (record.imageOffset !== undefined) {
      this.#tellImage(view, offset, offset + record.imageOffset);
    }
    if (this.#kept.count >= this.#maxEvents) {
      this.#overLimit++;
      return true;
    }
    this.#kept.push(record, view, offset);
    return true;
  }

  /** What happened until `untilKtimeNs`, and how many were over the limit since the
   *  last call. Later records stay: what names them may not be known yet. Times are
   *  relative to `originKtimeNs`. */
  take(
    naming: EventNaming,
    {
      originKtimeNs,
      untilKtimeNs,
    }: { readonly originKtimeNs: bigint; readonly untilKtimeNs: bigint },
  ): { readonly columns: EventColumns; readonly overLimit: number } {
    const { starts, view } = this.#kept;
    const untilNs = Number(untilKtimeNs - originKtimeNs);
    const taken: number[] = [];
    const later: number[] = [];
    const timesNs: number[] = [];
    for (let place = 0; place < starts.length; place++) {
      const ns = nsSince(view, starts[place]!, originKtimeNs);
      (ns <= untilNs ? taken : later).push(place);
      if (ns <= untilNs) timesNs.push(ns);
    }
    const columns = this.stream.fields!.map(({ type }, column) =>
      type === 'number' ? this.#numbers(taken, column, naming) : this.#texts(taken, column, naming),
    );
    this.#kept.retain(later);
    const overLimit = this.#overLimit;
    this.#overLimit = 0;
    return { columns: { timesNs: Float64Array.from(timesNs), columns }, overLimit };
  }

  #numbers(places: readonly number[], column: number, naming: EventNaming): Float64Array {
    const values = new Float64Array(places.length).fill(-1);
    const { kinds, starts, view } = this.#kept;
    for (let i = 0; i < places.length; i++) {
      const read = kinds[places[i]!]!.columns[column];
      if (read !== undefined) values[i] = read(view, starts[places[i]!]!, naming) as number;
    }
    return values;
  }

  #texts(places: readonly number[], column: number, naming: EventNaming): string[] {
    const values: string[] = [];
    const { kinds, starts, view } = this.#kept;
    for (const place of places) {
      const read = kinds[place]!.columns[column];
      values.push(read === undefined ? '' : (read(view, starts[place]!, naming) as string));
    }
    return values;
  }

  #tellImage(view: DataView, offset: number, at: number): void {
    this.#onImage({
      tgid: view.getUint32(at + 8, true),
      startBootNs: readU64(view, at),
      execId: view.getUint32(at + 12, true),
      ktimeNs: ktimeOf(view, offset),
    });
  }
}

function ktimeOf(view: DataView, offset: number): bigint {
  return view.getBigUint64(offset + KTIME_OFFSET, true);
}

/** Exact within 104 days; in halves, since a bigint for each record would have to be allocated. */
function nsSince(view: DataView, offset: number, originKtimeNs: bigint): number {
  const high = view.getUint32(offset + KTIME_OFFSET + 4, true) - Number(originKtimeNs >> 32n);
  return (
    high * TWO32 +
    (view.getUint32(offset + KTIME_OFFSET, true) - Number(originKtimeNs & 0xffffffffn))
  );
}

function fieldInfo(field: EventField): FieldInfo {
  const isText = ['text', 'arguments', 'executable', 'user', 'cgroup'].includes(field.as);
  const info = { name: field.name, type: isText ? 'string' : 'number' } as const;
  return field.unit === undefined ? info : { ...info, unit: field.unit };
}

function fieldReader(struct: BtfStruct, field: EventField): ReadField {
  const { offset, type } = memberAt(struct, field.from);
  switch (field.as) {
    case 'text':
      return (view, at) => untilNul(readText(view, at + offset, type.sizeBytes));
    case 'arguments':
      return (view, at) =>
        readText(view, at + offset, type.sizeBytes)
          .replace(/\0+$/, '')
          .replaceAll('\0', ' ');
    case 'executable':
      return (view, at, naming) =>
        naming.executable(
          view.getUint32(at + offset + 8, true),
          readU64(view, at + offset),
          view.getUint32(at + offset + 12, true),
        );
    case 'startUnixMs':
      return (view, at, naming) => naming.startUnixMs(readU64(view, at + offset));
    case 'user':
      return (view, at, naming) => naming.userName(view.getUint32(at + offset, true));
    case 'cgroup':
      return (view, at, naming) => naming.cgroupPath(view.getBigUint64(at + offset, true));
    case 'exitStatus':
      return (view, at) => (view.getUint32(at + offset, true) >>> 8) & 0xff;
    case 'signal':
      return (view, at) => view.getUint32(at + offset, true) & 0x7f;
    case 'number':
      return numberReader(offset, type);
  }
}

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function readText(view: DataView, at: number, sizeBytes: number): string {
  return Buffer.from(view.buffer, view.byteOffset + at, sizeBytes).toString('utf8');
}
