// What an answer about a latency shows, before it is text, SVG or HTML: quantiles, each with the
// bounds of its slot, the distribution as bars, and a heat map.

import type { Histogram } from '../../storage/model/histogram.js';
import { mergeHistograms, quantileOf, slotBoundsNs } from '../../storage/model/histogram.js';

/** One latency over the steps of a window: all of runq, or one phase of block I/O. */
export interface LatencyPart {
  readonly title: string;
  readonly steps: readonly (Histogram | undefined)[];
}

export interface LatencyReport {
  readonly title: string;
  readonly parts: readonly LatencyPart[];
  /** Start of each step, and how much of it is covered. */
  readonly stepStarts: readonly bigint[];
  readonly coveredNs: readonly number[];
  /** Range and completeness, then what stands beside it. */
  readonly lines: readonly string[];
  /** A table of keys, the costliest first. */
  readonly table?: LatencyTable;
}

export interface LatencyTable {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface QuantileRow {
  readonly name: string;
  /** An estimate; for the maximum the bound of its slot, which is certain. */
  readonly valueNs: number;
  /** The true value is above the lower and not above the upper. */
  readonly lowerNs: number;
  readonly upperNs: number;
}

export interface BarRow {
  readonly lowerNs: number;
  readonly upperNs: number;
  readonly count: number;
}

const shares = [
  ['p50', 0.5],
  ['p90', 0.9],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const;

/** More bars than this are put together, an octave each. */
const maxSlotBars = 24;
const slotsPerOctave = 8;

export function totalOf({ steps }: LatencyPart): Histogram {
  return mergeHistograms(steps.filter((step) => step !== undefined));
}

/** p50 to p99.9 and the maximum; none of an empty histogram. */
export function quantileRows(histogram: Histogram): QuantileRow[] {
  const rows = shares.flatMap(([name, share]) => {
    const quantile = quantileOf(histogram, share);
    return quantile === undefined ? [] : [{ name, ...quantile }];
  });
  const highest = histogram.slots.at(-1);
  if (highest === undefined) return [];
  const bounds = slotBoundsNs(highest);
  return [...rows, { name: 'max', valueNs: bounds.upperNs, ...bounds }];
}

/** From the shortest to the longest delay, without gaps: a slot each, or an octave each where that
 *  would be too many to look at. */
export function barRows({ slots, counts }: Histogram, slotsABar?: number): BarRow[] {
  const [lowest, highest] = [slots[0], slots.at(-1)];
  if (lowest === undefined || highest === undefined) return [];
  const width = slotsABar ?? (highest - lowest < maxSlotBars ? 1 : slotsPerOctave);
  const first = Math.floor(lowest / width);
  const sums = new Float64Array(Math.floor(highest / width) - first + 1);
  slots.forEach((slot, i) => (sums[Math.floor(slot / width) - first]! += counts[i]!));
  return [...sums].map((count, i) => {
    const from = (first + i) * width;
    const { lowerNs } = slotBoundsNs(from);
    return { lowerNs, upperNs: slotBoundsNs(from + width - 1).upperNs, count };
  });
}
