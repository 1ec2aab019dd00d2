// The events of one stream in one bucket, and their blob. Their order never changes and
// later flushes only append, so that (bucket, position) stays a valid cursor while the
// bucket is still being rewritten.
//
//   header | time - previous time an event | one stream a field | strings, a JSON array
//
// Times are ns from the bucket's start. A number column holds signed varints, a string
// column indices into the strings.

import { assert } from '../model/errors.js';
import type { EventColumns } from '../model/writer.js';
import type { FieldInfo } from '../model/stream.js';
import type { BucketHeader } from './bucket.js';
import { decodeHeader, encodeHeader, mergeHeaders } from './bucket.js';
import { BrokenBlob, ByteReader, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { decodeString, parseJsonArray } from './interned.js';

/** Events kept in one bucket of one stream, and UTF-16 units of their distinct strings. */
export const maxEvents = 2 ** 18;
const maxTextUnits = 2 ** 23;
/** Longer strings are cut. */
const maxStringUnits = 2 ** 14;
/** Distance of an event from its bucket; a clock that jumped further is cut here. */
const maxTimeNs = 2 ** 52 - 1;

/** **Shape**: times and each column have one entry an event; string columns
 *  hold indices into `strings`. */
export interface EventRows {
  readonly header: BucketHeader;
  readonly times: readonly number[];
  readonly columns: readonly (readonly number[])[];
  readonly strings: readonly string[];
}

export class LiveEvents {
  readonly kind = 'event';
  header: BucketHeader;
  readonly fields: readonly FieldInfo[];
  readonly #times: number[] = [];
  readonly #columns: number[][];
  readonly #strings = new Map<string, number>();
  #textUnits = 0;

  constructor(header: BucketHeader, fields: readonly FieldInfo[]) {
    this.header = header;
    this.fields = fields;
    this.#columns = fields.map(() => []);
  }

  /** What a blob holds, to go on with; undefined when it is broken. */
  static decode(blob: Uint8Array, fields: readonly FieldInfo[]): LiveEvents | undefined {
    const rows = decodeEvents(blob, fields);
    if (rows === undefined) return undefined;
    const live = new LiveEvents(rows.header, fields);
    live.#append(rows);
    return live;
  }

  get sizeBytes(): number {
    return this.#times.length * 8 * (this.fields.length + 1) + 2 * this.#textUnits;
  }

  /** Appends events in the order of their times; `offsetNs` is added to each.
   *  Returns how many found no room. */
  add(events: EventColumns, offsetNs: number): number {
    const { timesNs, columns } = events;
    assert(columns.length === this.fields.length, 'events have one column a field');
    assert(
      columns.every((c) => c.length === timesNs.length),
      'columns of equal length',
    );
    const isOfType = (field: FieldInfo, c: number) =>
      Array.isArray(columns[c]) === (field.type === 'string');
    assert(this.fields.every(isOfType), 'text in string columns, numbers in the others');
    const order = Array.from(timesNs.keys()).sort((a, b) => timesNs[a]! - timesNs[b]!);
    let appended = 0;
    for (const i of order) {
      if (this.#isFull()) break;
      this.#times.push(Math.min(Math.max(timesNs[i]! + offsetNs, -maxTimeNs), maxTimeNs));
      columns.forEach((column, c) => {
        const value = column[i]!;
        const values = this.#columns[c]!;
        if (typeof value === 'string') values.push(this.#stringId(value.slice(0, maxStringUnits)));
        else values.push(Number.isSafeInteger(value) ? value : -1);
      });
      appended++;
    }
    return order.length - appended;
  }

  /** Appends what a later flush brought. Returns how many events found no room. */
  merge(more: LiveEvents): number {
    this.header = mergeHeaders(this.header, more.header);
    return this.#append({
      header: more.header,
      times: more.#times,
      columns: more.#columns,
      strings: [...more.#strings.keys()],
    });
  }

  encode(): Buffer {
    const times = new ByteWriter(4 * this.#times.length + 16);
    let previous = 0;
    for (const time of this.#times) {
      times.signed(time - previous);
      previous = time;
    }
    const columns = this.#columns.map((values, c) => {
      const writer = new ByteWriter(2 * values.length + 16);
      const isText = this.fields[c]!.type === 'string';
      for (const value of values) {
        if (isText) writer.unsigned(value);
        else writer.signed(value);
      }
      return writer.finish();
    });
    const strings = Buffer.from(JSON.stringify([...this.#strings.keys()]));
    return encodeEnvelope([encodeHeader(this.header), times.finish(), ...columns, strings]);
  }

  #append(rows: EventRows): number {
    let appended = 0;
    for (; appended < rows.times.length && !this.#isFull(); appended++) {
      this.#times.push(rows.times[appended]!);
      rows.columns.forEach((column, c) => {
        const value = column[appended]!;
        const isText = this.fields[c]!.type === 'string';
        this.#columns[c]!.push(isText ? this.#stringId(rows.strings[value]!) : value);
      });
    }
    return rows.times.length - appended;
  }

  #isFull(): boolean {
    return this.#times.length >= maxEvents || this.#textUnits >= maxTextUnits;
  }

  #stringId(text: string): number {
    let id = this.#strings.get(text);
    if (id === undefined) {
      id = this.#strings.size;
      this.#strings.set(text, id);
      this.#textUnits += text.length;
    }
    return id;
  }
}

/** Events of a blob; undefined when it is broken. */
export function decodeEvents(
  blob: Uint8Array,
  fields: readonly FieldInfo[],
): EventRows | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodeEventStreams(streams, fields));
}

function decodeEventStreams(
  streams: readonly Uint8Array[],
  fields: readonly FieldInfo[],
): EventRows {
  const timeBytes = streams[1];
  const strings = parseJsonArray(streams[fields.length + 2])?.map(decodeString);
  if (timeBytes === undefined || strings === undefined) throw new BrokenBlob('a stream is missing');
  const times: number[] = [];
  const reader = new ByteReader(timeBytes);
  for (let time = 0; !reader.isAtEnd;) {
    time += reader.signed();
    const isInBounds = times.length < maxEvents && Math.abs(time) <= maxTimeNs;
    if (!isInBounds) throw new BrokenBlob('too many events, or too far from their bucket');
    times.push(time);
  }
  const columns = fields.map((field, c) => {
    const column = new ByteReader(streams[c + 2]!);
    const isText = field.type === 'string';
    const values = times.map(() => (isText ? column.unsigned() : column.signed()));
    if (!column.isAtEnd) throw new BrokenBlob('a column ends with its rows');
    if (isText && values.some((v) => v >= strings.length)) throw new BrokenBlob('no such string');
    return values;
  });
  return { header: decodeHeader(streams[0]), times, columns, strings };
}
