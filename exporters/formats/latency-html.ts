// A latency report as one HTML file: quantiles, bars, heat maps. No script, nothing from outside;
// every text is escaped.

import type { HeatAxes } from './heat-map.js';
import { heatMapOf } from './heat-map.js';
import { heatMapSvg } from './heat-map-svg.js';
import type { LatencyPart, LatencyReport } from './latency-report.js';
import { barRows, quantileRows, totalOf } from './latency-report.js';
import { escapeXml, groupDigits } from './text.js';

/** Columns of a heat map at most. */
export const reportColumns = 240;
const heatLimits = { columns: reportColumns, rows: 48 };

const styles = `
body { font: 13px system-ui, sans-serif; color: #111; background: #fff; margin: 1.5em; }
h1 { font-size: 1.4em; } h2 { font-size: 1.15em; margin-top: 1.6em; }
table { border-collapse: collapse; font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; }
td, th { padding: 1px 12px 1px 0; text-align: right; white-space: pre; }
th { font-weight: bold; border-bottom: 1px solid #999; }
td.text, th.text { text-align: left; }
.bar { background: #e25a38; height: 11px; min-width: 1px; }
.note { color: #444; }
`;

export function latencyHtml(report: LatencyReport, axes: HeatAxes): string {
  const { title, lines, parts, table } = report;
  return [
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
    `<title>${escapeXml(title)}</title><style>${styles}</style></head><body>\n`,
    `<h1>${escapeXml(title)}</h1>\n`,
    ...lines.map((line) => `<div class="note">${escapeXml(line)}</div>\n`),
    ...parts.flatMap((part) => partHtml(part, report, axes)),
    ...(table === undefined ? [] : ['<h2>By key</h2>\n', tableHtml(table.titles, table.rows)]),
    '</body></html>\n',
  ].join('');
}

/** The heat maps alone, one under the other. */
export function latencySvg(report: LatencyReport, axes: HeatAxes, widthPx = 1200): string {
  const maps = report.parts.map(({ title, steps }, i) => ({
    title: i > 0 ? title : report.parts.length === 1 ? report.title : `${report.title}: ${title}`,
    subtitle: i === 0 ? report.lines.join('\n') : '',
    map: heatMapOf(steps, report.coveredNs, heatLimits),
  }));
  return heatMapSvg(maps, { axes, widthPx });
}

function partHtml(part: LatencyPart, report: LatencyReport, axes: HeatAxes): string[] {
  const total = totalOf(part);
  const heading = `<h2>${escapeXml(part.title)}</h2>\n`;
  if (total.slots.length === 0) return [heading, '<p>Nothing was seen.</p>\n'];
  const quantiles = quantileRows(total).map(({ name, valueNs, lowerNs, upperNs }) => {
    return [name, axes.latency(valueNs), axes.latency(lowerNs), axes.latency(upperNs)];
  });
  const bars = barRows(total);
  const most = bars.reduce((max, { count }) => Math.max(max, count), 0);
  const barsHtml = bars.map(({ lowerNs, upperNs, count }) => {
    const range = `${axes.latency(lowerNs)} to ${axes.latency(upperNs)}`;
    const width = ((400 * count) / most).toFixed(1);
    const bar = count === 0 ? '' : `<div class="bar" style="width:${width}px"></div>`;
    const cells = `<td>${escapeXml(range)}</td><td>${groupDigits(count)}</td>`;
    return `<tr>${cells}<td class="text">${bar}</td></tr>\n`;
  });
  const map = heatMapOf(part.steps, report.coveredNs, heatLimits);
  return [
    heading,
    tableHtml(['', 'delay', 'above', 'up to'], quantiles),
    '<p></p><table>\n',
    ...barsHtml,
    '</table>\n',
    heatMapSvg([{ title: '', subtitle: '', map }], { axes }),
  ];
}

function tableHtml(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, texts: readonly string[]) =>
    `<tr>${texts.map((text) => `<${tag}>${escapeXml(text)}</${tag}>`).join('')}</tr>\n`;
  return `<table>\n${cells('th', titles)}${rows.map((row) => cells('td', row)).join('')}</table>\n`;
}
