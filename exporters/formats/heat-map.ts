// A heat map: how often a latency was seen, over time (columns) and latency (rows). This page is
// the grid and its scale; heat-map-text.ts and heat-map-svg.ts draw it.

import type { Histogram } from '../../storage/model/histogram.js';
import { slotBoundsNs } from '../../storage/model/histogram.js';

/** **Shape**: counts[row * columns + column]; rows ascend. **Units**: bounds in ns. */
export interface HeatMap {
  readonly columns: number;
  readonly rows: readonly HeatRow[];
  readonly counts: Float64Array;
  /** 1 for each column of which the store holds nothing: not the same as nothing seen. */
  readonly isMissing: Uint8Array;
}

/** (lower, upper]: the upper bound belongs to it. */
export interface HeatRow {
  readonly lowerNs: number;
  readonly upperNs: number;
}

/** How the axes read. */
export interface HeatAxes {
  readonly time: (column: number) => string;
  readonly latency: (ns: number) => string;
}

/** 0 for none, else above 0 up to 1: counts differ by orders of magnitude, and one slow request
 *  must be seen, so the scale is that of their logarithms. */
export function heatOf(count: number, most: number): number {
  return count <= 0 ? 0 : Math.log1p(count) / Math.log1p(most);
}

export function mostOf({ counts }: HeatMap): number {
  return counts.reduce((most, count) => Math.max(most, count), 0);
}

type Rgb = readonly [number, number, number];

/** From rare to frequent, for dark grounds and for paper. Lightness rises (falls) all the way, so
 *  that they read in grey too. */
export const ramps = {
  dark: [
    [38, 26, 74],
    [104, 34, 110],
    [178, 48, 90],
    [232, 98, 50],
    [252, 176, 48],
    [252, 246, 164],
  ],
  paper: [
    [255, 236, 204],
    [253, 202, 140],
    [250, 150, 88],
    [226, 90, 56],
    [170, 34, 48],
    [88, 12, 52],
  ],
} as const satisfies Readonly<Record<string, readonly Rgb[]>>;

/** The colour at `heat`, 0 to 1. */
export function colourAt(ramp: readonly Rgb[], heat: number): Rgb {
  const place = Math.min(1, Math.max(0, heat)) * (ramp.length - 1);
  const step = Math.min(ramp.length - 2, Math.floor(place));
  const [from, to] = [ramp[step]!, ramp[step + 1]!];
  const mix = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * (place - step));
  return [mix(0), mix(1), mix(2)];
}

/** Steps are put together until there are at most `columns`, slots (always as many, and the same
 *  everywhere) until there are at most `rows`. **Shape**: no histogram at all in the steps of a
 *  column makes it missing where `coveredNs` is 0, else empty. */
export function heatMapOf(
  steps: readonly (Histogram | undefined)[],
  coveredNs: readonly number[],
  limits: { readonly columns: number; readonly rows: number },
): HeatMap {
  const stepsAColumn = Math.ceil(steps.length / limits.columns);
  const columns = Math.ceil(steps.length / Math.max(1, stepsAColumn));
  const isMissing = new Uint8Array(columns).fill(1);
  coveredNs.forEach((ns, step) => {
    if (ns > 0) isMissing[Math.floor(step / stepsAColumn)] = 0;
  });
  const slots = steps.flatMap((histogram) => (histogram ? [...histogram.slots] : []));
  if (slots.length === 0) return { columns, rows: [], counts: new Float64Array(0), isMissing };
  const [lowest, highest] = slots.reduce(
    ([a, b], s) => [Math.min(a, s), Math.max(b, s)],
    [slots[0]!, slots[0]!],
  );
  const { slotsARow, first, last } = rowsOf(lowest, highest, limits.rows);
  const rows = Array.from({ length: last - first + 1 }, (_, i) => {
    const from = (first + i) * slotsARow;
    const { lowerNs } = slotBoundsNs(from);
    return { lowerNs, upperNs: slotBoundsNs(from + slotsARow - 1).upperNs };
  });
  const counts = new Float64Array(rows.length * columns);
  for (const [step, histogram] of steps.entries()) {
    const column = Math.floor(step / stepsAColumn);
    histogram?.slots.forEach((slot, i) => {
      const row = Math.floor(slot / slotsARow) - first;
      counts[row * columns + column]! += histogram.counts[i]!;
    });
  }
  return { columns, rows, counts, isMissing };
}

/** Slots a row: 1, 2, 4, 8 (an octave), 16 ...; rows begin at multiples of it. */
function rowsOf(lowest: number, highest: number, limit: number) {
  for (let slotsARow = 1; ; slotsARow *= 2) {
    const [first, last] = [Math.floor(lowest / slotsARow), Math.floor(highest / slotsARow)];
    if (last - first + 1 <= Math.max(2, limit)) return { slotsARow, first, last };
  }
}
