// A heat map as SVG: no script, a tooltip a cell. Texts are numbers and times of ours and what the
// caller gives as title, all escaped.

import type { HeatAxes, HeatMap } from './heat-map.js';
import { colourAt, heatOf, mostOf, ramps } from './heat-map.js';
import { escapeXml, groupDigits, wrapText } from './text.js';

export interface TitledMap {
  readonly title: string;
  /** Range and completeness; wrapped to the width, line ends are kept. */
  readonly subtitle: string;
  readonly map: HeatMap;
}

export interface HeatSvgOptions {
  readonly axes: HeatAxes;
  /** At least 300; default 1200. */
  readonly widthPx?: number;
}

const marginPx = 10;
const labelsPx = 80;
const charPx = 6.65;
const linePx = 15;
const titlePx = 24;
const rowPx = 14;
const legendSteps = 32;

/** Maps one under the other; one without rows says that nothing was seen. */
export function heatMapSvg(maps: readonly TitledMap[], options: HeatSvgOptions): string {
  const { axes, widthPx = 1200 } = options;
  const body: string[] = [];
  let topPx = marginPx;
  for (const titled of maps) {
    const { lines, heightPx } = drawMap(titled, { axes, widthPx, topPx });
    body.push(...lines);
    topPx += heightPx;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPx}" height="${topPx}"`,
    ` viewBox="0 0 ${widthPx} ${topPx}" role="img">\n<style>${styles}</style>\n`,
    `<rect class="paper" width="100%" height="100%"/>\n`,
    ...body,
    '</svg>\n',
  ].join('');
}

function drawMap(
  { title, subtitle, map }: TitledMap,
  { axes, widthPx, topPx }: { axes: HeatAxes; widthPx: number; topPx: number },
): { lines: string[]; heightPx: number } {
  const texts =
    subtitle === '' ? [] : wrapText(subtitle, Math.floor((widthPx - 2 * marginPx) / charPx));
  const lines: string[] = [];
  let y = topPx;
  if (title !== '') {
    lines.push(`<text class="title" x="${marginPx}" y="${y + 14}">${escapeXml(title)}</text>\n`);
    y += titlePx;
  }
  for (const text of texts) {
    lines.push(`<text x="${marginPx}" y="${y + 10}">${escapeXml(text)}</text>\n`);
    y += linePx;
  }
  y += rowPx / 2;
  const place = {
    leftPx: marginPx + labelsPx,
    topPx: y,
    widthPx: widthPx - 2 * marginPx - labelsPx,
  };
  if (map.rows.length === 0 || map.columns === 0) {
    lines.push(`<text x="${marginPx}" y="${y + rowPx}">Nothing was seen.</text>\n`);
    return { lines, heightPx: y + 2 * rowPx + marginPx - topPx };
  }
  lines.push(...drawCells(map, axes, place), ...drawAxes(map, axes, place), drawLegend(map, place));
  return { lines, heightPx: y + map.rows.length * rowPx + 3 * linePx + marginPx - topPx };
}

const styles = `
text { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #111; white-space: pre; }
.title { font-size: 17px; font-weight: bold; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #fff; }
.missing { fill: #e4e4e4; }
.grid { stroke: #ddd; stroke-width: 1px; }
.cell, .missing { shape-rendering: crispEdges; }
.cell:hover { stroke: #111; stroke-width: 1px; }
`;

interface Place {
  readonly leftPx: number;
  readonly topPx: number;
  readonly widthPx: number;
}

function* drawCells(map: HeatMap, axes: HeatAxes, place: Place): Generator<string> {
  const { columns, rows, counts, isMissing } = map;
  const most = mostOf(map);
  const edge = (column: number) => place.leftPx + (place.widthPx * column) / columns;
  const heightPx = rows.length * rowPx;
  for (let column = 0; column < columns; column++) {
    const x = edge(column).toFixed(2);
    const width = (edge(column + 1) - edge(column)).toFixed(2);
    if (isMissing[column] === 1) {
      const title = `<title>${escapeXml(axes.time(column))}: not recorded</title>`;
      const box = `x="${x}" y="${place.topPx}" width="${width}" height="${heightPx}"`;
      yield `<rect class="missing" ${box}>${title}</rect>\n`;
      continue;
    }
    for (const [row, { lowerNs, upperNs }] of rows.entries()) {
      const count = counts[row * columns + column]!;
      if (count === 0) continue;
      const y = place.topPx + (rows.length - 1 - row) * rowPx;
      const fill = `rgb(${colourAt(ramps.paper, heatOf(count, most)).join(',')})`;
      const range = `${axes.latency(lowerNs)} to ${axes.latency(upperNs)}`;
      const title = escapeXml(`${axes.time(column)}, ${range}: ${groupDigits(count)}`);
      const box = `x="${x}" y="${y}" width="${width}" height="${rowPx}"`;
      yield `<rect class="cell" fill="${fill}" ${box}><title>${title}</title></rect>\n`;
    }
  }
}

function* drawAxes({ rows, columns }: HeatMap, axes: HeatAxes, place: Place): Generator<string> {
  const { leftPx, topPx, widthPx } = place;
  const bottomPx = topPx + rows.length * rowPx;
  const label = (y: number, ns: number) =>
    `<text class="right" x="${leftPx - 6}" y="${y + 4}">${escapeXml(axes.latency(ns))}</text>\n` +
    `<line class="grid" x1="${leftPx - 4}" x2="${leftPx}" y1="${y}" y2="${y}"/>\n`;
  for (let row = rows.length - 1; row >= 0; row -= 2) {
    yield label(topPx + (rows.length - 1 - row) * rowPx, rows[row]!.upperNs);
  }
  if (rows.length % 2 === 0) yield label(bottomPx, rows[0]!.lowerNs);
  const labels = Math.min(columns, Math.max(2, Math.floor(widthPx / 150)));
  for (let i = 0; i < labels; i++) {
    const column = Math.floor((i * columns) / labels);
    const x = (leftPx + (widthPx * column) / columns).toFixed(2);
    yield `<line class="grid" x1="${x}" x2="${x}" y1="${bottomPx}" y2="${bottomPx + 4}"/>\n`;
    yield `<text x="${x}" y="${bottomPx + linePx}">${escapeXml(axes.time(column))}</text>\n`;
  }
}

function drawLegend(map: HeatMap, { leftPx, topPx }: Place): string {
  const y = topPx + map.rows.length * rowPx + 2 * linePx;
  const stepPx = 4;
  const boxes = [...Array(legendSteps).keys()].map((i) => {
    const fill = `rgb(${colourAt(ramps.paper, (i + 1) / legendSteps).join(',')})`;
    const x = leftPx + 14 + i * stepPx;
    return `<rect fill="${fill}" x="${x}" y="${y - 9}" width="${stepPx}" height="11"/>\n`;
  });
  const most = groupDigits(mostOf(map));
  const afterPx = leftPx + 14 + legendSteps * stepPx + 6;
  return [
    `<text x="${leftPx}" y="${y}">1</text>\n`,
    ...boxes,
    `<text x="${afterPx}" y="${y}">${most} a cell, logarithmic; grey: not recorded</text>\n`,
  ].join('');
}
