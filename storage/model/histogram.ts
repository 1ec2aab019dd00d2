// Histograms of delays in the buckets of an OpenTelemetry exponential histogram of scale 3, in
// seconds, upper bound inclusive: eight slots an octave, so that a slot is known to +-4.4 % and
// every power of two of a second is a bound.
//
//   slot i     holds delays in (2^(i/8), 2^((i+1)/8)] s
//   slot -241  delay 0: no whole ns but 0 is as short; OpenTelemetry's zero count
//   slot -240  1 ns ... slot 272: the longest delay of 64 bits, 584 years
//
// Delays are whole ns, so a delay lies in the first slot whose bound, cut to whole ns, reaches it:
// no rounding anywhere. The C table of the probes is made from `slotLimitsNs`.

/** The slots there are; the first is delay 0. */
export const firstSlot = -241;
export const lastSlot = 272;
const slotCount = lastSlot - firstSlot + 1;
const slotsPerOctave = 8;

/** Fraction bits of `octaveBounds`. */
const fractionBits = 64;
/** floor(1e9 * 2^(k/8) * 2^64), k = 0..7: three integer square roots make an eighth root. */
const octaveBounds = Array.from({ length: slotsPerOctave }, (_, k) => {
  const eighthPower = 10n ** 72n << BigInt(k + slotsPerOctave * fractionBits);
  return squareRoot(squareRoot(squareRoot(eighthPower)));
});
const octaveBoundsNs = octaveBounds.map((bound) => Number(bound) / 2 ** fractionBits);

/** The longest delay of each slot in whole ns: entry 0 is that of `firstSlot`. */
export const slotLimitsNs: BigUint64Array = BigUint64Array.from({ length: slotCount }, (_, i) => {
  const bound = firstSlot + i + 1;
  const octave = Math.floor(bound / slotsPerOctave);
  const limit =
    octaveBounds[bound - octave * slotsPerOctave]! >> BigInt(fractionBits - octave);
  return limit < 2n ** 64n ? limit : 2n ** 64n - 1n;
});
const numericLimitsNs = Float64Array.from(slotLimitsNs, Number);

/** **Shape**: slots ascend, counts[i] > 0 belongs to slots[i]. **Units**: whole ns. **Limits**:
 *  exact below 2^53. `count` is kept beside the slots: what found no room there is in it alone. */
export interface Histogram {
  readonly slots: Int16Array;
  readonly counts: Float64Array;
  readonly count: number;
  readonly sumNs: number;
}

/** The value that a share of the delays do not exceed: an estimate, and what is certain. */
export interface Quantile {
  readonly valueNs: number;
  readonly lowerNs: number;
  readonly upperNs: number;
}

/** The slot of a delay of whole ns; below 0 counts as 0. */
export function slotOfNs(delayNs: number | bigint): number {
  const limits: ArrayLike<number | bigint> =
    typeof delayNs === 'bigint' ? slotLimitsNs : numericLimitsNs;
  let low = 0;
  let high = slotCount - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (delayNs <= limits[middle]!) high = middle;
    else low = middle + 1;
  }
  return firstSlot + low;
}

/** Delays of a slot are longer than `lowerNs` and not longer than `upperNs`; those of the first
 *  slot are 0. **Units**: ns, the nearest double. */
export function slotBoundsNs(slot: number): { readonly lowerNs: number; readonly upperNs: number } {
  if (slot <= firstSlot) return { lowerNs: 0, upperNs: 0 };
  return { lowerNs: boundNs(slot), upperNs: boundNs(slot + 1) };
}

/** 1e9 * 2^(n/8): scaling by a power of two is exact. */
function boundNs(n: number): number {
  const octave = Math.floor(n / slotsPerOctave);
  return octaveBoundsNs[n - octave * slotsPerOctave]! * 2 ** octave;
}

/** The slot of the delay of rank ceil(share * counts), and inside it an estimate by the rank, on
 *  the slots' logarithmic scale. undefined when no slot holds anything. */
export function quantileOf(histogram: Histogram, share: number): Quantile | undefined {
  const { slots, counts } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const rank = Math.min(Math.max(Math.ceil(share * total), 1), total);
  let before = 0;
  for (const [i, count] of counts.entries()) {
    if (before + count >= rank) {
      const { lowerNs, upperNs } = slotBoundsNs(slots[i]!);
      const within = (rank - before - 0.5) / count;
      return { valueNs: lowerNs * 2 ** (within / slotsPerOctave), lowerNs, upperNs };
    }
    before += count;
  }
  return undefined;
}

export function mergeHistograms(histograms: Iterable<Histogram>): Histogram {
  const sum = new HistogramSum();
  for (const histogram of histograms) sum.add(histogram);
  return sum.histogram();
}

/** The same with the empty slots between: counts[from + i], i < length, belongs to slot lowest + i.
 *  Many share the counts of one array. */
export interface SlotSpan {
  readonly lowest: number;
  readonly counts: Float64Array;
  readonly from: number;
  readonly length: number;
  readonly count: number;
  readonly sumNs: number;
}

/** A histogram that grows. Hot: a flush has thousands, an answer millions. */
export class HistogramSum implements SlotSpan {
  lowest = 0;
  counts = new Float64Array(0);
  readonly from = 0;
  count = 0;
  sumNs = 0;

  static of({ lowest, counts, from, length, count, sumNs }: SlotSpan): HistogramSum {
    const own = counts.slice(from, from + length);
    return Object.assign(new HistogramSum(), { lowest, counts: own, count, sumNs });
  }

  get length(): number {
    return this.counts.length;
  }

  get sizeBytes(): number {
    return 64 + this.counts.byteLength;
  }

  add({ slots, counts, count, sumNs }: Histogram): void {
    this.count += count;
    this.sumNs += sumNs;
    if (slots.length === 0) return;
    this.#reach(slots[0]!, slots[slots.length - 1]!);
    for (let i = 0; i < slots.length; i++) this.counts[slots[i]! - this.lowest]! += counts[i]!;
  }

  addSpan({ lowest, counts, from, length, count, sumNs }: SlotSpan): void {
    this.count += count;
    this.sumNs += sumNs;
    if (length === 0) return;
    this.#reach(lowest, lowest + length - 1);
    const into = this.counts;
    const offset = lowest - this.lowest;
    for (let i = 0; i < length; i++) into[offset + i]! += counts[from + i]!;
  }

  histogram(): Histogram {
    const from = this.counts;
    let held = 0;
    for (let i = 0; i < from.length; i++) if (from[i]! > 0) held++;
    const [slots, counts] = [new Int16Array(held), new Float64Array(held)];
    for (let i = 0, next = 0; next < held; i++) {
      if (from[i] === 0) continue;
      slots[next] = this.lowest + i;
      counts[next++] = from[i]!;
    }
    return { slots, counts, count: this.count, sumNs: this.sumNs };
  }

  #reach(lowest: number, highest: number): void {
    const { length } = this.counts;
    const isEmpty = length === 0;
    const low = isEmpty ? lowest : Math.min(lowest, this.lowest);
    const high = isEmpty ? highest : Math.max(highest, this.lowest + length - 1);
    if (high - low + 1 === length) return;
    const counts = new Float64Array(high - low + 1);
    counts.set(this.counts, isEmpty ? 0 : this.lowest - low);
    this.lowest = low;
    this.counts = counts;
  }
}

/** floor(sqrt(n)), by Newton's method from above. */
function squareRoot(n: bigint): bigint {
  let root = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}
