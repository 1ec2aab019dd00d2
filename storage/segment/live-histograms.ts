// The histograms of one stream in one bucket, by key, and their blob.
//
//   header | a key: key - previous - 1 | a key: slots from its lowest to its highest, 0 for none
//          | a key that has some: lowest slot | a slot of those: count - previous slot's
//          | a key: count - its slots' | a key: sum of delays - estimate by its slots
//
// Rows are sorted by key. Neighbouring slots hold like counts, so that their differences compress
// better than slots and counts; the estimate takes each delay for the middle of its slot.

import type { Histogram, SlotSpan } from '../model/histogram.js';
import { firstSlot, HistogramSum, lastSlot, slotLimitsNs } from '../model/histogram.js';
import type { BucketHeader } from './bucket.js';
import { decodeHeader, encodeHeader, mergeHeaders } from './bucket.js';
import { BrokenBlob, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { capped, decodeKeys, encodeKeys, expectEnds } from './keyed.js';
import { hasRoom, openStream, sortedKeys } from './keyed.js';

/** Whole ns in the middle of each slot. */
const middlesNs = Float64Array.from(slotLimitsNs, (limitNs, i) =>
  Number((limitNs + (slotLimitsNs[i - 1] ?? 0n)) / 2n),
);

export class LiveHistograms {
  readonly kind = 'histogram';
  header: BucketHeader;
  readonly #overflowKey: number;
  readonly #sums = new Map<number, HistogramSum>();

  /** `overflowKey` takes what comes with keys beyond the limit. */
  constructor(header: BucketHeader, overflowKey: number) {
    this.header = header;
    this.#overflowKey = overflowKey;
  }

  /** What a blob holds, to go on with; undefined when it is broken. */
  static decode(blob: Uint8Array, overflowKey: number): LiveHistograms | undefined {
    const rows = decodeHistograms(blob);
    if (rows === undefined) return undefined;
    const live = new LiveHistograms(rows.header, overflowKey);
    rows.keys.forEach((key, i) => live.#addSpan(key, rows.values[i]!));
    return live;
  }

  get sizeBytes(): number {
    let sizeBytes = 0;
    for (const sum of this.#sums.values()) sizeBytes += sum.sizeBytes;
    return sizeBytes;
  }

  /** False when there was no room for the key and the overflow key took it. */
  add(key: number, histogram: Histogram): boolean {
    const fits = hasRoom(this.#sums, key);
    this.#sumOf(fits ? key : this.#overflowKey).add(histogram);
    return fits;
  }

  /** Returns how many rows the overflow key took. */
  merge(more: LiveHistograms): number {
    this.header = mergeHeaders(this.header, more.header);
    let folded = 0;
    for (const [key, sum] of more.#sums) if (!this.#addSpan(key, sum)) folded++;
    return folded;
  }

  encode(): Buffer {
    const keys = sortedKeys(this.#sums);
    const spans = new ByteWriter(keys.length + 16);
    const lowest = new ByteWriter(2 * keys.length + 16);
    const counts = new ByteWriter(64 * keys.length + 16);
    const restCounts = new ByteWriter(keys.length + 16);
    const restSums = new ByteWriter(4 * keys.length + 16);
    for (const key of keys) {
      const sum = this.#sums.get(key)!;
      const estimate = estimateOf(sum);
      spans.unsigned(sum.counts.length);
      if (sum.counts.length > 0) lowest.unsigned(sum.lowest - firstSlot);
      let previous = 0;
      for (let i = 0; i < sum.counts.length; i++) {
        const count = capped(sum.counts[i]!);
        counts.signed(count - previous);
        previous = count;
      }
      restCounts.signed(capped(sum.count) - estimate.count);
      restSums.signed(capped(sum.sumNs) - estimate.sumNs);
    }
    const parts = [spans, lowest, counts, restCounts, restSums].map((part) => part.finish());
    return encodeEnvelope([encodeHeader(this.header), encodeKeys(keys), ...parts]);
  }

  #addSpan(key: number, span: SlotSpan): boolean {
    const fits = hasRoom(this.#sums, key);
    this.#sumOf(fits ? key : this.#overflowKey).addSpan(span);
    return fits;
  }

  #sumOf(key: number): HistogramSum {
    let sum = this.#sums.get(key);
    if (sum === undefined) this.#sums.set(key, (sum = new HistogramSum()));
    return sum;
  }
}

/** **Shape**: keys and values have one entry a row. */
export interface HistogramRows {
  readonly header: BucketHeader;
  readonly keys: readonly number[];
  readonly values: readonly SlotSpan[];
}

/** Rows of a blob; undefined when it is broken. **Limits**: slots that exist, keys below 2^24; a
 *  slot takes a byte or more. */
export function decodeHistograms(blob: Uint8Array): HistogramRows | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodeHistogramStreams(streams));
}

function decodeHistogramStreams(streams: readonly Uint8Array[]): HistogramRows {
  const header = decodeHeader(streams[0]);
  const keys = decodeKeys(streams[1]);
  const spans = readSpans(streams[2], keys.length);
  const lowest = openStream(streams[3]);
  const countReader = openStream(streams[4]);
  const restCounts = openStream(streams[5]);
  const restSums = openStream(streams[6]);
  const counts = countReader.signedAll(spans.reduce((sum, length) => sum + length, 0));
  let from = 0;
  const values = spans.map((length): SlotSpan => {
    const low = length === 0 ? 0 : firstSlot + lowest.unsigned();
    if (low + length - 1 > lastSlot) throw new BrokenBlob('no such slot');
    sumDifferences(counts, from, length);
    const estimate = estimateOf({ lowest: low, counts, from, length });
    const count = restCounts.signed() + estimate.count;
    const sumNs = restSums.signed() + estimate.sumNs;
    if (!isCount(count) || !isCount(sumNs)) throw new BrokenBlob('no count below 2^53');
    const span = { lowest: low, counts, from, length, count, sumNs };
    from += length;
    return span;
  });
  expectEnds(lowest, countReader, restCounts, restSums);
  return { header, keys, values };
}

function readSpans(bytes: Uint8Array | undefined, rows: number): number[] {
  const reader = openStream(bytes);
  const spans: number[] = [];
  for (let i = 0; i < rows; i++) {
    const length = reader.unsigned();
    if (length > lastSlot - firstSlot + 1) throw new BrokenBlob('no such slot');
    spans.push(length);
  }
  expectEnds(reader);
  return spans;
}

/** In place. */
function sumDifferences(values: Float64Array, from: number, length: number): void {
  let count = 0;
  for (let i = from; i < from + length; i++) {
    count += values[i]!;
    if (count < 0 || count > Number.MAX_SAFE_INTEGER) throw new BrokenBlob('no count below 2^53');
    values[i] = count;
  }
}

/** The same on every machine: sums of whole numbers, or 0 where they reach 2^53. */
function estimateOf({
  lowest,
  counts,
  from,
  length,
}: Omit<SlotSpan, 'count' | 'sumNs'>): { readonly count: number; readonly sumNs: number } {
  let count = 0;
  let sumNs = 0;
  for (let i = 0; i < length; i++) {
    const inSlot = capped(counts[from + i]!);
    count += inSlot;
    sumNs += inSlot * middlesNs[lowest + i - firstSlot]!;
  }
  return { count: isCount(count) ? count : 0, sumNs: isCount(sumNs) ? sumNs : 0 };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
