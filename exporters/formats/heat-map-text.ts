// A heat map for the terminal: two rows a line by half blocks where there are colours, else one row
// a line by shades. Slow stands at the top.
//
//     20.1ms ▏  ▗▄      the label is the upper bound of the line's upper row
//     15.6ms ▏ ▟██

import type { HeatAxes, HeatMap } from './heat-map.js';
import { colourAt, heatOf, mostOf, ramps } from './heat-map.js';

export interface HeatTextOptions {
  readonly axes: HeatAxes;
  /** 24-bit colours by escape sequences. */
  readonly hasColour: boolean;
}

const shades = [' ', '░', '▒', '▓', '█'];
const missingShade = '·';
const missingColour = [60, 60, 60] as const;

/** Lines without line ends; none for a map without rows. */
export function heatMapText(map: HeatMap, options: HeatTextOptions): string[] {
  const { axes, hasColour } = options;
  const rows = map.rows.length;
  if (rows === 0 || map.columns === 0) return [];
  const rowsALine = hasColour ? 2 : 1;
  const labels: string[] = [];
  const pictures: string[] = [];
  for (let upper = rows - 1; upper >= 0; upper -= rowsALine) {
    labels.push(axes.latency(map.rows[upper]!.upperNs));
    pictures.push(hasColour ? colourLine(map, upper) : shadeLine(map, upper));
  }
  const width = labels.reduce((most, label) => Math.max(most, label.length), 0);
  const lines = pictures.map((picture, i) => `${labels[i]!.padStart(width)} ▏${picture}`);
  lines.push(`${axes.latency(map.rows[0]!.lowerNs).padStart(width)} ▔`);
  lines.push(`${' '.repeat(width + 2)}${timeLine(map.columns, axes)}`);
  lines.push(`${' '.repeat(width + 2)}${legend(map, hasColour)}`);
  return lines;
}

function shadeLine(map: HeatMap, row: number): string {
  const most = mostOf(map);
  let line = '';
  for (let column = 0; column < map.columns; column++) {
    const heat = heatOf(map.counts[row * map.columns + column]!, most);
    const shade = shades[Math.ceil(heat * (shades.length - 1))]!;
    line += map.isMissing[column] === 1 ? missingShade : shade;
  }
  return line.trimEnd();
}

/** Escape sequences only where the colour changes. */
function colourLine(map: HeatMap, upper: number): string {
  const most = mostOf(map);
  let line = '';
  let before = '';
  for (let column = 0; column < map.columns; column++) {
    const [top, bottom] = [upper, upper - 1].map((row) => cellColour(map, row, column, most));
    const cell = halfBlock(top, bottom);
    line += cell.style === before ? cell.text : `${cell.style}${cell.text}`;
    before = cell.style;
  }
  return `${line}\x1b[0m`;
}

type Colour = readonly [number, number, number] | undefined;

function cellColour(map: HeatMap, row: number, column: number, most: number): Colour {
  if (row < 0) return undefined;
  if (map.isMissing[column] === 1) return missingColour;
  const heat = heatOf(map.counts[row * map.columns + column]!, most);
  return heat === 0 ? undefined : colourAt(ramps.dark, heat);
}

/** Both halves of a cell; what is empty keeps the terminal's own ground. */
function halfBlock(top: Colour, bottom: Colour): { style: string; text: string } {
  if (top === undefined && bottom === undefined) return { style: '\x1b[0m', text: ' ' };
  if (top === undefined) return { style: `\x1b[0;38;2;${bottom!.join(';')}m`, text: '▄' };
  const front = `\x1b[0;38;2;${top.join(';')}`;
  if (bottom === undefined) return { style: `${front}m`, text: '▀' };
  return { style: `${front};48;2;${bottom.join(';')}m`, text: '▀' };
}

/** The first and the last time, and what fits between them. */
function timeLine(columns: number, { time }: HeatAxes): string {
  const last = time(columns - 1);
  let line = time(0);
  const gap = last.length + 4;
  for (let column = gap; column + 2 * gap <= columns; column += gap * 2) {
    if (line.length + 2 <= column) line = line.padEnd(column) + time(column);
  }
  return columns >= line.length + last.length + 2
    ? line + last.padStart(columns - line.length)
    : line;
}

function legend(map: HeatMap, hasColour: boolean): string {
  const most = mostOf(map);
  const steps = hasColour
    ? [...Array(8).keys()]
        .map((i) => `\x1b[38;2;${colourAt(ramps.dark, (i + 1) / 8).join(';')}m█`)
        .join('') + '\x1b[0m'
    : shades.slice(1).join('');
  const missing = map.isMissing.includes(1)
    ? `  ${hasColour ? `\x1b[38;2;${missingColour.join(';')}m█\x1b[0m` : missingShade} not recorded`
    : '';
  return `1 ${steps} ${most.toLocaleString('en-US')} a cell, logarithmic${missing}`;
}
