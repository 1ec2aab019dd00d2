// A latency report for the terminal: quantiles with the bounds of their slots, bars, heat maps.

import { bar } from '../../exporters/formats/bars.js';
import { heatMapOf } from '../../exporters/formats/heat-map.js';
import type { HeatAxes } from '../../exporters/formats/heat-map.js';
import { heatMapText } from '../../exporters/formats/heat-map-text.js';
import type { LatencyPart, LatencyReport } from '../../exporters/formats/latency-report.js';
import { barRows, quantileRows, totalOf } from '../../exporters/formats/latency-report.js';
import { groupDigits } from '../../exporters/formats/text.js';
import { formatDurationNs } from '../format.js';
import { renderTable } from '../render-table.js';
import type { Column } from '../render-table.js';
import type { OutputStyle } from '../watch.js';
import { localTime } from '../window.js';

const quantileColumns: readonly Column[] = [
  { title: '', align: 'left' },
  { title: 'delay', align: 'right' },
  { title: 'above', align: 'right' },
  { title: 'up to', align: 'right' },
];
const barColumns: readonly Column[] = [
  { title: 'above', align: 'right' },
  { title: 'up to', align: 'right' },
  { title: 'count', align: 'right' },
  { title: '', align: 'left' },
];
const heatRows = 32;
/** What stands left of a heat map. */
const labelColumns = 11;
const maxBarColumns = 50;

export interface LatencyTextOptions {
  readonly style: OutputStyle;
  readonly hasHeatMap: boolean;
}

/** How a report's times and delays read. */
export function heatAxes(stepStarts: readonly bigint[], columns: number): HeatAxes {
  const stepsAColumn = Math.ceil(stepStarts.length / columns);
  return {
    time: (column) => localTime(new Date(Number(stepStarts[column * stepsAColumn]! / 1_000_000n))),
    latency: formatDelay,
  };
}

/** Bounds of slots are no whole ns. */
export function formatDelay(ns: number): string {
  return formatDurationNs(ns < 1000 ? Number(ns.toPrecision(3)) : ns);
}

export function latencyLines(report: LatencyReport, options: LatencyTextOptions): string[] {
  const lines: string[] = [];
  for (const part of report.parts) lines.push(...partLines(part, report, options), '');
  if (report.table !== undefined) {
    const { titles, rows } = report.table;
    const columns = titles.map((title, c) => {
      const isNumber = rows.every((row) => /^[\d,.]*[a-z%μ ]*$/.test(row[c]!));
      return { title, align: isNumber ? ('right' as const) : ('left' as const) };
    });
    lines.push(...renderTable(columns, rows), '');
  }
  return lines.slice(0, -1);
}

function partLines(
  part: LatencyPart,
  { stepStarts, coveredNs }: LatencyReport,
  { style, hasHeatMap }: LatencyTextOptions,
): string[] {
  const total = totalOf(part);
  if (total.slots.length === 0) return [`${part.title}: nothing was seen`];
  const quantiles = quantileRows(total).map(({ name, valueNs, lowerNs, upperNs }) => {
    const value = name === 'max' ? `<= ${formatDelay(valueNs)}` : formatDelay(valueNs);
    return [name, value, formatDelay(lowerNs), formatDelay(upperNs)];
  });
  const bars = barRows(total);
  const most = bars.reduce((max, { count }) => Math.max(max, count), 0);
  const seconds = coveredNs.reduce((sum, ns) => sum + ns, 0) / 1e9;
  const mean = formatDelay(total.count === 0 ? 0 : total.sumNs / total.count);
  const rate = seconds === 0 ? '-' : (total.count / seconds).toFixed(1);
  const head = `${groupDigits(total.count)} (${rate}/s), mean ${mean}, summed ${formatDelay(total.sumNs)}`;
  const barWidth = Math.min(maxBarColumns, Math.max(10, style.columns - 40));
  const barCells = bars.map(({ lowerNs, upperNs, count }) => [
    formatDelay(lowerNs),
    formatDelay(upperNs),
    groupDigits(count),
    bar(count, most, barWidth),
  ]);
  const lines = [`${part.title}: ${head}`];
  lines.push(...renderTable(quantileColumns, quantiles), '', ...renderTable(barColumns, barCells));
  if (hasHeatMap) {
    const columns = Math.max(10, style.columns - labelColumns);
    const map = heatMapOf(part.steps, coveredNs, { columns, rows: heatRows });
    const axes = heatAxes(stepStarts, columns);
    lines.push('', ...heatMapText(map, { axes, hasColour: style.hasColour }));
  }
  return lines;
}
