// What live histograms and live points share: rows by key, sorted, each key once.

import { BrokenBlob, ByteReader, ByteWriter } from './bytes.js';

/** Keys of one stream in one bucket, besides the overflow key. */
export const maxKeys = 4096;
const keyRange = 2 ** 24;
/** Stands for a key that found no room in the dictionary; there is none for its values either. */
export const unfitKey = -1;

export function hasRoom(rows: ReadonlyMap<number, unknown>, key: number): boolean {
  return key !== unfitKey && (rows.size < maxKeys || rows.has(key));
}

export function sortedKeys(rows: ReadonlyMap<number, unknown>): Float64Array {
  return Float64Array.from(rows.keys()).sort();
}

/** A key: key - previous - 1; the key before the first is -1. */
export function encodeKeys(keys: Float64Array): Uint8Array {
  const writer = new ByteWriter(keys.length + 16);
  let previous = -1;
  for (const key of keys) {
    writer.unsigned(key - previous - 1);
    previous = key;
  }
  return writer.finish();
}

/** **Errors**: BrokenBlob. **Limits**: key < 2^24; a key takes a byte or more. */
export function decodeKeys(bytes: Uint8Array | undefined): number[] {
  const reader = openStream(bytes);
  const keys: number[] = [];
  for (let previous = -1; !reader.isAtEnd;) {
    previous += reader.unsigned() + 1;
    if (previous >= keyRange) throw new BrokenBlob('a key is below 2^24');
    if (keys.length > maxKeys) throw new BrokenBlob('a bucket has at most 4097 keys');
    keys.push(previous);
  }
  return keys;
}

/** **Errors**: BrokenBlob when the blob has no such stream. */
export function openStream(bytes: Uint8Array | undefined): ByteReader {
  if (bytes === undefined) throw new BrokenBlob('a stream is missing');
  return new ByteReader(bytes);
}

/** **Errors**: BrokenBlob when a stream does not end with its rows. */
export function expectEnds(...readers: readonly ByteReader[]): void {
  if (!readers.every((reader) => reader.isAtEnd)) throw new BrokenBlob('a stream ends with its rows');
}

/** Sums of a bucket stay below 2^53: 104 days of delays in 10 s, or 9 PB. */
export function capped(sum: number): number {
  return Math.min(sum, Number.MAX_SAFE_INTEGER);
}
