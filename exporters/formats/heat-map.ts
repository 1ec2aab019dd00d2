// A heat map: how often a latency was seen, over time (columns) and latency (rows). This page is
// the grid and its scale; heat-map-text.ts and heat-map-svg.ts draw it.

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
