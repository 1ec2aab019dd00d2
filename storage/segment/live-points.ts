// The counters or gauges of one stream in one bucket, by key, and their blob.
//
//   counter   header | a key: key - previous - 1 | a key: delta
//   gauge     header | a key: key - previous - 1 | a key: mantissa | a key: exponent
//
// A gauge is mantissa * 10^exponent, its shortest decimal, so that it comes back as it was.

import type { BucketHeader } from './bucket.js';
import { decodeHeader, encodeHeader, mergeHeaders } from './bucket.js';
import { BrokenBlob, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { capped, decodeKeys, encodeKeys, expectEnds } from './keyed.js';
import { hasRoom, openStream, sortedKeys } from './keyed.js';

type PointKind = 'counter' | 'gauge';

/** So many digits fit into any mantissa. */
const maxDigits = 15;
/** Larger ones may not be finite any more once rounded. */
export const maxGauge = 1e300;

export class LivePoints {
  readonly kind: PointKind;
  header: BucketHeader;
  readonly #overflowKey: number;
  readonly #values = new Map<number, number>();

  /** `overflowKey` takes what a counter has with keys beyond the limit. */
  constructor(kind: PointKind, header: BucketHeader, overflowKey: number) {
    this.kind = kind;
    this.header = header;
    this.#overflowKey = overflowKey;
  }

  /** What a blob holds, to go on with; undefined when it is broken. */
  static decode(kind: PointKind, blob: Uint8Array, overflowKey: number): LivePoints | undefined {
    const rows = decodePoints(kind, blob);
    if (rows === undefined) return undefined;
    const live = new LivePoints(kind, rows.header, overflowKey);
    rows.keys.forEach((key, i) => live.add(key, rows.values[i]!));
    return live;
  }

  get size(): number {
    return this.#values.size;
  }

  get sizeBytes(): number {
    return this.#values.size * 32;
  }

  /** False when there was no room for the key: the overflow key took a counter's delta, a gauge is
   *  lost. */
  add(key: number, value: number): boolean {
    const values = this.#values;
    const fits = hasRoom(values, key);
    if (this.kind === 'counter') {
      const taker = fits ? key : this.#overflowKey;
      values.set(taker, (values.get(taker) ?? 0) + value);
    } else if (fits) {
      values.set(key, value);
    }
    return fits;
  }

  /** Returns for how many rows there was no room. */
  merge(more: LivePoints): number {
    this.header = mergeHeaders(this.header, more.header);
    let unfit = 0;
    for (const [key, value] of more.#values) if (!this.add(key, value)) unfit++;
    return unfit;
  }

  encode(): Buffer {
    const keys = sortedKeys(this.#values);
    const values = new ByteWriter(4 * keys.length + 16);
    const exponents = new ByteWriter(keys.length + 16);
    for (const key of keys) {
      const value = this.#values.get(key)!;
      if (this.kind === 'counter') {
        values.unsigned(capped(value));
      } else {
        const { mantissa, exponent } = decimalOf(value);
        values.signed(mantissa);
        exponents.signed(exponent);
      }
    }
    const parts = this.kind === 'counter' ? [values] : [values, exponents];
    const columns = parts.map((part) => part.finish());
    return encodeEnvelope([encodeHeader(this.header), encodeKeys(keys), ...columns]);
  }
}

/** **Shape**: keys and values have one entry a row. */
export interface PointRows {
  readonly header: BucketHeader;
  readonly keys: readonly number[];
  readonly values: readonly number[];
}

/** Rows of a blob; undefined when it is broken. */
export function decodePoints(kind: PointKind, blob: Uint8Array): PointRows | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodePointStreams(kind, streams));
}

function decodePointStreams(kind: PointKind, streams: readonly Uint8Array[]): PointRows {
  const header = decodeHeader(streams[0]);
  const keys = decodeKeys(streams[1]);
  const reader = openStream(streams[2]);
  if (kind === 'counter') {
    const values = keys.map(() => reader.unsigned());
    expectEnds(reader);
    return { header, keys, values };
  }
  const exponents = openStream(streams[3]);
  const values = keys.map(() => {
    // As text: a power of ten times a number would be rounded twice.
    const value = Number(`${reader.signed()}e${exponents.signed()}`);
    if (!Number.isFinite(value)) throw new BrokenBlob('a gauge is finite');
    return value;
  });
  expectEnds(reader, exponents);
  return { header, keys, values };
}

/** mantissa * 10^exponent: the shortest decimal, or that of 15 digits where the mantissa would be too
 *  long. Whole numbers keep exponent 0. */
function decimalOf(value: number): { mantissa: number; exponent: number } {
  if (Number.isSafeInteger(value)) return { mantissa: value, exponent: 0 };
  const shortest = parseDecimal(value.toExponential());
  return Number.isSafeInteger(shortest.mantissa)
    ? shortest
    : parseDecimal(value.toExponential(maxDigits - 1));
}

function parseDecimal(text: string): { mantissa: number; exponent: number } {
  const [digits = '', power] = text.split('e');
  const [whole = '', fraction = ''] = digits.split('.');
  return { mantissa: Number(whole + fraction), exponent: Number(power) - fraction.length };
}
