// Buckets of time: 10 s, aligned to the unix clock, numbered from 1970. And the header that each
// stream keeps for each bucket: when its data truly began and ended, and its counters.

import type { Counters } from '../model/completeness.js';
import { BrokenBlob, ByteReader, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope } from './envelope.js';

export const bucketNs = 10_000_000_000n;
const bucketNsNumber = Number(bucketNs);
/** Rows of `live` keep a bucket in 32 bits. */
export const maxBucket = 2 ** 32 - 1;
const maxCounters = 1024;

/** Number of the bucket that holds this time; clamped to what a store can hold. */
export function bucketOf(unixNs: bigint): number {
  if (unixNs <= 0n) return 0;
  return Math.min(Number(unixNs / bucketNs), maxBucket);
}

export function bucketStartUnixNs(bucket: number): bigint {
  return BigInt(bucket) * bucketNs;
}

/** **Units**: startNs and endNs relative to the bucket's start. Counters: id of the name -> sum. */
export interface BucketHeader {
  readonly startNs: number;
  readonly endNs: number;
  readonly counters: ReadonlyMap<number, number>;
}

export function mergeHeaders(a: BucketHeader, b: BucketHeader): BucketHeader {
  const counters = new Map(a.counters);
  for (const [name, value] of b.counters) counters.set(name, (counters.get(name) ?? 0) + value);
  return { startNs: Math.min(a.startNs, b.startNs), endNs: Math.max(a.endNs, b.endNs), counters };
}

export function encodeHeader(header: BucketHeader): Uint8Array {
  const writer = new ByteWriter(128);
  writer.signed(header.startNs);
  writer.signed(header.endNs);
  writer.unsigned(header.counters.size);
  for (const [name, value] of header.counters) {
    writer.unsigned(name);
    writer.signed(value);
  }
  return writer.finish();
}

/** **Errors**: BrokenBlob. */
export function decodeHeader(bytes: Uint8Array | undefined): BucketHeader {
  if (bytes === undefined) throw new BrokenBlob('a bucket has a header');
  const reader = new ByteReader(bytes);
  const startNs = reader.signed();
  const endNs = reader.signed();
  const count = reader.unsigned();
  if (count > maxCounters) throw new BrokenBlob('a header has at most 1024 counters');
  const counters = new Map<number, number>();
  for (let i = 0; i < count; i++) counters.set(reader.unsigned(), reader.signed());
  if (!reader.isAtEnd || endNs < startNs) throw new BrokenBlob('a header ends where it says');
  return { startNs, endNs, counters };
}

/** True times of a bucket of this number. */
export function headerSpan(
  bucket: number,
  header: BucketHeader,
): { fromUnixNs: bigint; toUnixNs: bigint } {
  const start = bucketStartUnixNs(bucket);
  return { fromUnixNs: start + BigInt(header.startNs), toUnixNs: start + BigInt(header.endNs) };
}

/** Header of one flush. A span of more than 100 days is taken for a clock that jumped, and cut. */
export function headerOf(
  bucket: number,
  span: { startUnixNs: bigint; endUnixNs: bigint },
): BucketHeader {
  const start = bucketStartUnixNs(bucket);
  const startNs = clamp(Number(span.startUnixNs - start));
  return {
    startNs,
    endNs: Math.max(startNs, clamp(Number(span.endUnixNs - start))),
    counters: new Map(),
  };
}

function clamp(ns: number): number {
  return Math.min(Math.max(ns, 0), 864_000 * bucketNsNumber);
}

/** Names a flush's counters by the dictionary, summed into a header. */
export function addCounterIds(
  header: BucketHeader,
  counters: Counters,
  idOf: (name: string) => number,
): BucketHeader {
  const ids = new Map(Object.entries(counters).map(([name, value]) => [idOf(name), value]));
  return mergeHeaders(header, { ...header, counters: ids });
}

/** The header of any live blob; undefined when the blob is broken. */
export function decodeBlobHeader(blob: Uint8Array): BucketHeader | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodeHeader(streams[0]));
}
