// The histograms of one stream in one bucket, by key, and their blob.
//
//   header | a key: key - previous - 1 | a key: slots | a slot: slot - previous - 1
//          | a slot: count - 1 | a key: count - its slots' | a key: sum of delays - estimate
//
// Rows are sorted by key, and each key's slots ascend; the one before its first is the one before
// the first of all. The estimate takes each delay for the longest of its slot.

import type { Histogram } from '../model/histogram.js';
import { firstSlot, HistogramSum, lastSlot, slotLimitsNs } from '../model/histogram.js';
import type { BucketHeader } from './bucket.js';
import { decodeHeader, encodeHeader, mergeHeaders } from './bucket.js';
import type { ByteReader } from './bytes.js';
import { BrokenBlob, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { capped, decodeKeys, encodeKeys, expectEnds } from './keyed.js';
import { hasRoom, openStream, sortedKeys } from './keyed.js';

const limitsNs = Float64Array.from(slotLimitsNs, Number);

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
    rows.keys.forEach((key, i) => live.add(key, rows.values[i]!));
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
    const taker = fits ? key : this.#overflowKey;
    let sum = this.#sums.get(taker);
    if (sum === undefined) this.#sums.set(taker, (sum = new HistogramSum()));
    sum.add(histogram);
    return fits;
  }

  /** Returns how many rows the overflow key took. */
  merge(more: LiveHistograms): number {
    this.header = mergeHeaders(this.header, more.header);
    let folded = 0;
    for (const [key, sum] of more.#sums) if (!this.add(key, sum.histogram())) folded++;
    return folded;
  }

  encode(): Buffer {
    const keys = sortedKeys(this.#sums);
    const lengths = new ByteWriter(keys.length + 16);
    const slots = new ByteWriter(32 * keys.length + 16);
    const counts = new ByteWriter(32 * keys.length + 16);
    const restCounts = new ByteWriter(keys.length + 16);
    const restSums = new ByteWriter(4 * keys.length + 16);
    for (const key of keys) {
      const histogram = this.#sums.get(key)!.histogram();
      let previous = firstSlot - 1;
      for (let i = 0; i < histogram.slots.length; i++) {
        slots.unsigned(histogram.slots[i]! - previous - 1);
        counts.unsigned(capped(histogram.counts[i]!) - 1);
        previous = histogram.slots[i]!;
      }
      lengths.unsigned(histogram.slots.length);
      const estimate = estimateOf(histogram.slots, histogram.counts);
      restCounts.signed(capped(histogram.count) - estimate.count);
      restSums.signed(capped(histogram.sumNs) - estimate.sumNs);
    }
    const parts = [lengths, slots, counts, restCounts, restSums].map((part) => part.finish());
    return encodeEnvelope([encodeHeader(this.header), encodeKeys(keys), ...parts]);
  }
}

/** **Shape**: keys and values have one entry a row. */
export interface HistogramRows {
  readonly header: BucketHeader;
  readonly keys: readonly number[];
  readonly values: readonly Histogram[];
}

/** Rows of a blob; undefined when it is broken. **Limits**: slots that exist, keys below 2^24; a
 *  slot takes two bytes or more. */
export function decodeHistograms(blob: Uint8Array): HistogramRows | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodeHistogramStreams(streams));
}

function decodeHistogramStreams(streams: readonly Uint8Array[]): HistogramRows {
  const header = decodeHeader(streams[0]);
  const keys = decodeKeys(streams[1]);
  const readers = [2, 3, 4, 5, 6].map((i) => openStream(streams[i]));
  const [lengths, slotReader, countReader, restCounts, restSums] = readers as [
    ByteReader,
    ByteReader,
    ByteReader,
    ByteReader,
    ByteReader,
  ];
  const values = keys.map(() => {
    const length = lengths.unsigned();
    if (length > limitsNs.length) throw new BrokenBlob('a histogram has no more slots than exist');
    const slots = new Int16Array(length);
    const counts = new Float64Array(length);
    let slot = firstSlot - 1;
    for (let i = 0; i < length; i++) {
      slot += slotReader.unsigned() + 1;
      if (slot > lastSlot) throw new BrokenBlob('no such slot');
      slots[i] = slot;
      counts[i] = countReader.unsigned() + 1;
    }
    const estimate = estimateOf(slots, counts);
    const count = restCounts.signed() + estimate.count;
    const sumNs = restSums.signed() + estimate.sumNs;
    if (!isCount(count) || !isCount(sumNs)) throw new BrokenBlob('no count below 2^53');
    return { slots, counts, count, sumNs };
  });
  expectEnds(...readers);
  return { header, keys, values };
}

/** The same on every machine: sums of whole numbers below 2^53, or 0. */
function estimateOf(
  slots: Int16Array,
  counts: Float64Array,
): { readonly count: number; readonly sumNs: number } {
  let [count, sumNs] = [0, 0];
  for (let i = 0; i < slots.length; i++) {
    count += counts[i]!;
    sumNs += counts[i]! * limitsNs[slots[i]! - firstSlot]!;
  }
  return { count: isCount(count) ? count : 0, sumNs: isCount(sumNs) ? sumNs : 0 };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
