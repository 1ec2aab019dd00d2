// `flamekeeper latency`: how long threads waited for a CPU, or block I/O took, as quantiles, bars
// and a heat map.

import { Command } from 'commander';
import type { LatencyReport, LatencyTable } from '../exporters/formats/latency-report.js';
import { barRows, quantileRows, totalOf } from '../exporters/formats/latency-report.js';
import { groupDigits } from '../exporters/formats/text.js';
import { OperatingError } from '../storage/model/errors.js';
import { mergeHistograms, quantileOf } from '../storage/model/histogram.js';
import type { Histogram } from '../storage/model/histogram.js';
import type { Filter, Query, SeriesRequest, Window } from '../storage/model/query.js';
import { addMetricFilter, describeFilter, filterOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { besideOf, checkLines, wholeStepNs } from './latency/beside.js';
import type { Beside } from './latency/beside.js';
import { askForSignal, byFirstFields, signalOf } from './latency/signals.js';
import type { HistogramAnswer, Signal } from './latency/signals.js';
import { formatDelay, heatAxes, latencyLines } from './latency/text.js';
import { writeFileWhole, writeStderr } from './output.js';
import { withProgress } from './progress.js';
import { coverageJson, coverageLines } from './render-completeness.js';
import { addGlobalOptions, addWindowOptions, findStore, parseLimit } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { addWatchOption, answerOrWatch, outputStyle } from './watch.js';
import type { WatchOptions } from './watch.js';
import { defaultFrom, defaultTo, namingWindow, resolveWindow, rfc3339 } from './window.js';
import type { WindowText } from './window.js';

interface LatencyOptions extends GlobalOptions, FilterOptions, WindowText, WatchOptions {
  readonly heatmap?: boolean;
  readonly output?: string;
  readonly by?: string;
  readonly limit: string;
}

/** An answer and what it is rendered from. */
interface LatencyAnswer {
  readonly series: HistogramAnswer;
  readonly report: LatencyReport;
  readonly rows: readonly KeyRow[];
  readonly beside: Beside['json'];
}

interface KeyRow {
  readonly key: readonly (string | number)[];
  readonly total: Histogram;
}

const bucketNs = 10_000_000_000n;
/** Steps of a heat map at most: as many as a wide terminal has columns. */
const maxSteps = 240n;
const maxRows = 100_000;
const endings = ['.svg', '.html'] as const;

export function latencyCommand(): Command {
  const command = new Command('latency')
    .description('how long threads waited for a CPU (runq), or block I/O took (block)')
    .argument('<signal>', 'runq or block')
    .option('--heatmap', 'draw time and latency, too')
    .option('-o, --output <file>', 'write heat maps to a file: .svg, or .html with everything')
    .option('--by <fields>', 'a table by these, like process, cgroup or device,operation')
    .option('-n, --limit <rows>', 'rows of the table at most', '20');
  addWindowOptions(command, defaultFrom, defaultTo);
  addMetricFilter(command);
  addWatchOption(command);
  return addGlobalOptions(command)
    .action(latency)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper latency runq                        the last 15 minutes of the whole host
  flamekeeper latency runq --by cgroup --from 14:05 --to 14:10
  flamekeeper latency block --device nvme0n1 --by operation
  flamekeeper latency runq --heatmap --watch
  flamekeeper latency block --from -6h -o block.html`,
    );
}

async function latency(name: string, options: LatencyOptions): Promise<void> {
  const signal = signalOf(name);
  const filter = filterOf(options);
  const limit = parseLimit(options.limit, maxRows);
  if (options.output !== undefined) requireEnding(options.output);
  if (options.watch !== undefined && (options.output !== undefined || options.to !== undefined)) {
    throw new OperatingError('usage', '--watch prints what is now: leave out -o and --to');
  }
  // What is wrong with it is told before the store is looked for.
  resolveWindow(options, Date.now());
  const style = outputStyle();
  const withStore = await findStore(options);
  const ask = () =>
    withStore((query) =>
      withProgress('reading the store', askFor(query, { signal, filter, options, limit })),
    );
  if (options.output !== undefined) {
    await writeReport(options.output, await ask(), options);
    return;
  }
  await answerOrWatch(options, async () => {
    const answer = await ask();
    if (options.json === true) {
      const json = latencyJson(answer, options);
      return [options.watch === undefined ? JSON.stringify(json, null, 2) : JSON.stringify(json)];
    }
    const hasHeatMap = options.heatmap === true;
    const { report } = answer;
    return [...latencyLines(report, { style, hasHeatMap }), '', ...report.lines];
  });
}

/** **Errors**: `usage`. */
function requireEnding(file: string): void {
  if (endings.some((ending) => file.endsWith(ending))) return;
  throw new OperatingError(
    'usage',
    `-o ${file} has no ending that names a format`,
    `Use one of ${endings.join(', ')}.`,
  );
}

async function writeReport(
  file: string,
  { report, series }: LatencyAnswer,
  options: LatencyOptions,
): Promise<void> {
  const { latencyHtml, latencySvg, reportColumns } =
    await import('../exporters/formats/latency-html.js');
  const axes = heatAxes(report.stepStarts, reportColumns);
  const text = file.endsWith('.svg') ? latencySvg(report, axes) : latencyHtml(report, axes);
  await writeFileWhole(file, [text]);
  if (options.json !== true) await writeStderr(report.lines);
  else await writeStderr([JSON.stringify({ output: file, ...coverageJson(series.coverage) })]);
}

interface Asked {
  readonly signal: Signal;
  readonly filter: Filter;
  readonly options: LatencyOptions;
  readonly limit: number;
}

async function askFor(query: Query, asked: Asked): Promise<LatencyAnswer> {
  const { signal, filter, options, limit } = asked;
  const window = resolveWindow(options, Date.now());
  const apart = signal.apart === undefined ? [] : [signal.apart.field];
  const request = { window, filter };
  const by = [...apart, ...(options.by === undefined ? [] : parseFields(options.by))];
  const causes = signal.causes === undefined ? [] : [signal.causes];
  const steps = { ...request, stepNs: stepOf(window), by: [...apart, ...causes] };
  const whole = await namingWindow(window, askForSignal(query, signal, steps));
  const series = byFirstFields(whole, apart.length);
  const rows = options.by === undefined ? [] : await rowsBy(query, signal, { ...request, by });
  const beside = await besideOf(query, whole, window);
  const filterText = describeFilter(options);
  const lines = [
    ...coverageLines(signal.counted, series.coverage),
    ...checkLines(series.counters),
    ...beside.lines,
    ...(filterText === '' ? [] : [`filter: ${filterText} (${signal.counted} above are all)`]),
  ];
  const parts = series.keys.map(({ key, values }) => {
    const title = signal.apart?.titles[String(key[0])] ?? String(key[0] ?? signal.title);
    return { title, steps: values };
  });
  const report = {
    title: `flamekeeper ${signal.name}: ${signal.title} ${filterText}`.trimEnd(),
    parts: parts.length === 0 ? [{ title: signal.title, steps: [] }] : parts,
    stepStarts: series.steps,
    coveredNs: series.coveredNs,
    lines,
    ...(options.by !== undefined && { table: tableOf(by, rows, limit) }),
  };
  return { series, report, rows: rows.slice(0, limit), beside: beside.json };
}

function stepOf({ fromUnixNs, toUnixNs }: Window): bigint {
  const buckets = (toUnixNs - fromUnixNs) / bucketNs + 2n;
  return ((buckets + maxSteps - 1n) / maxSteps) * bucketNs;
}

/** `process` stands for what tells processes apart for people. */
function parseFields(text: string): string[] {
  return text.split(',').flatMap((field) => (field === 'process' ? ['comm', 'pid'] : [field]));
}

/** The key that waited most in all first. */
async function rowsBy(
  query: Query,
  signal: Signal,
  request: Pick<SeriesRequest, 'window' | 'filter' | 'by'>,
): Promise<KeyRow[]> {
  const stepNs = wholeStepNs(request.window);
  const answer = await askForSignal(query, signal, { ...request, stepNs });
  return answer.keys
    .map(({ key, values }) => ({
      key,
      total: mergeHistograms(values.filter((value) => value !== undefined)),
    }))
    .sort((a, b) => b.total.sumNs - a.total.sumNs);
}

const tableShares = [0.5, 0.9, 0.99, 0.999];

function tableOf(by: readonly string[], rows: readonly KeyRow[], limit: number): LatencyTable {
  const titles = [...by, 'count', 'summed', 'p50', 'p90', 'p99', 'p99.9', 'max'];
  const texts = rows.slice(0, limit).map(({ key, total }) => {
    const delays = tableShares.map((share) => quantileOf(total, share)?.valueNs);
    const max = quantileRows(total).at(-1)?.valueNs;
    return [
      ...key.map((part) => (part === -1 || part === '' ? '-' : String(part))),
      groupDigits(total.count),
      formatDelay(total.sumNs),
      ...[...delays, max].map((ns) => (ns === undefined ? '-' : formatDelay(ns))),
    ];
  });
  return { titles, rows: texts };
}

function latencyJson(
  { series, report, rows, beside }: LatencyAnswer,
  options: LatencyOptions,
): Record<string, unknown> {
  const { coverage, stream, fields, counters } = series;
  const parts = report.parts.map((part, i) => {
    const total = totalOf(part);
    const key = series.keys[i]?.key ?? [];
    return {
      key: Object.fromEntries(fields.map(({ name }, f) => [name, key[f]])),
      count: total.count,
      sumNs: total.sumNs,
      quantiles: quantileRows(total),
      slots: barsJson(total),
      ...(options.heatmap === true && {
        steps: part.steps.map((step, s) => ({
          start: rfc3339(series.steps[s]!),
          coveredNs: series.coveredNs[s],
          slots: step === undefined ? [] : barsJson(step),
        })),
      }),
    };
  });
  return {
    ...coverageJson(coverage),
    stream: stream.name,
    filter: describeFilter(options),
    counters,
    beside,
    notes: report.lines,
    parts,
    ...(options.by !== undefined && {
      by: rows.map(({ key, total }) => ({
        key,
        count: total.count,
        sumNs: total.sumNs,
        quantiles: quantileRows(total),
      })),
    }),
  };
}

function barsJson(histogram: Histogram) {
  return barRows(histogram, 1).filter(({ count }) => count > 0);
}
