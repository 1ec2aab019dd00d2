// `flamekeeper counters`: what was counted, as rates with their course over the window, and what
// follows from counters together.

import { Command } from 'commander';
import { sparkline } from '../exporters/formats/bars.js';
import { groupDigits } from '../exporters/formats/text.js';
import { parseDurationMs } from '../config/units.js';
import { OperatingError } from '../storage/model/errors.js';
import type { Window } from '../storage/model/query.js';
import { askForCounters } from './counters/ask.js';
import type { CounterAnswer, CounterRow } from './counters/ask.js';
import { derivedOf } from './counters/derived.js';
import type { DerivedValue, Rates } from './counters/derived.js';
import { addMetricFilter, describeFilter, filterOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { formatPercent } from './format.js';
import { withProgress } from './progress.js';
import { coverageJson } from './render-completeness.js';
import { renderTable } from './render-table.js';
import { addGlobalOptions, addWindowOptions, findStore } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { addWatchOption, answerOrWatch } from './watch.js';
import type { WatchOptions } from './watch.js';
import {
  defaultFrom,
  defaultTo,
  formatRange,
  namingWindow,
  resolveWindow,
  rfc3339,
} from './window.js';
import type { WindowText } from './window.js';

interface CountersOptions extends GlobalOptions, FilterOptions, WindowText, WatchOptions {
  readonly perCpu?: boolean;
  readonly step?: string;
}

const bucketNs = 10_000_000_000n;
/** Characters of a sparkline. */
const sparkSteps = 40n;

export function countersCommand(): Command {
  const command = new Command('counters')
    .description('rates of perf events, or of any stream of docs/streams.md')
    .argument('[events...]', 'perf events by name, or streams like host.net.bytes')
    .option('--per-cpu', 'perf events of each CPU')
    .option(
      '--step <duration>',
      'length of a step; below 10s: streams from /proc, of the last 15 minutes, while the daemon runs',
    );
  addWindowOptions(command, defaultFrom, defaultTo);
  addMetricFilter(command);
  addWatchOption(command);
  return addGlobalOptions(command)
    .action(counters)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper counters                             all perf events that are counted, IPC, misses
  flamekeeper counters context-switches --per-cpu
  flamekeeper counters host.net.bytes --device eth0 --from -1h
  flamekeeper counters host.disk.bytes --from -1m --step 1s
  flamekeeper counters --cgroup /system.slice/x.service --watch`,
    );
}

async function counters(events: readonly string[], options: CountersOptions): Promise<void> {
  const filter = filterOf(options);
  if (options.watch !== undefined && options.to !== undefined) {
    throw new OperatingError('usage', '--watch prints what is now: leave out --to');
  }
  // What is wrong with it is told before the store is looked for.
  resolveWindow(options, Date.now());
  if (options.step !== undefined) parseStep(options.step);
  const withStore = await findStore(options);
  await answerOrWatch(options, async () => {
    const window = resolveWindow(options, Date.now());
    const request = {
      window,
      stepNs: options.step === undefined ? stepOf(window) : parseStep(options.step),
      filter,
      byCpu: options.perCpu === true,
      events,
    };
    const answer = await withStore((query) =>
      namingWindow(window, withProgress('reading the store', askForCounters(query, request))),
    );
    if (options.json === true) {
      const json = countersJson(answer, describeFilter(options));
      return [options.watch === undefined ? JSON.stringify(json, null, 2) : JSON.stringify(json)];
    }
    return countersLines(answer, describeFilter(options));
  });
}

function stepOf({ fromUnixNs, toUnixNs }: Window): bigint {
  const wanted = (toUnixNs - fromUnixNs) / bucketNs + 2n;
  return ((wanted + sparkSteps - 1n) / sparkSteps) * bucketNs;
}

/** **Errors**: `usage`. */
function parseStep(text: string): bigint {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= 1000 && ms % 1000 === 0) return BigInt(ms) * 1_000_000n;
  throw new OperatingError(
    'usage',
    `--step ${text} is no step`,
    'Steps are whole seconds below 10s, like 1s, or multiples of 10s, like 1m.',
  );
}

/** Lines for people, without line ends. */
export function countersLines(answer: CounterAnswer, filter: string): string[] {
  const { rows, coverage } = answer;
  const fields = [...new Set(rows.flatMap(({ key }) => Object.keys(key)))].filter((field) =>
    rows.some(({ key }) => key[field] !== undefined && key[field] !== ''),
  );
  const hasShare = rows.some(({ runningShare }) => runningShare !== undefined);
  const columns = [
    { title: 'event', align: 'left' },
    ...fields.map((title) => ({ title, align: 'left' }) as const),
    { title: 'value', align: 'right' },
    { title: 'unit', align: 'left' },
    ...(hasShare ? [{ title: 'counted', align: 'right' } as const] : []),
    { title: 'course', align: 'left' },
  ] as const;
  const cells = rows.map((row) => [
    row.event,
    ...fields.map((field) => String(row.key[field] ?? '')),
    formatRate(row.value),
    row.isGauge ? row.unit : `${row.unit}${row.unit === 'CPUs' ? '' : '/s'}`,
    ...(hasShare ? [formatPercent(row.runningShare ?? 1, 1)] : []),
    sparkline(row.steps),
  ]);
  const lines = rows.length === 0 ? ['nothing was counted'] : renderTable(columns, cells);
  const derived = derivedRows(answer);
  if (derived.length > 0) {
    const titles = ['derived', 'value', 'unit', 'course'];
    const aligned = titles.map((title, i) => {
      return { title, align: i === 1 ? 'right' : 'left' } as const;
    });
    const texts = derived.map(({ name, unit, value, steps }) => {
      return [name, formatRate(value), unit, sparkline(steps)];
    });
    lines.push('', ...renderTable(aligned, texts));
  }
  lines.push('', `range: ${formatRange(coverage)}`);
  const { missingBuckets } = coverage.completeness;
  if (missingBuckets > 0) {
    lines.push(`missing: ${groupDigits(missingBuckets)} buckets of 10 s hold nothing`);
  }
  if (hasShare) {
    lines.push('counted: share of the time an event had the hardware; its rate is scaled by it');
  }
  if (filter !== '') lines.push(`filter: ${filter}`);
  return lines;
}

/** Three digits that matter, more where the number has them before the point. */
function formatRate(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 100 || value === 0) return groupDigits(value);
  return value.toFixed(magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3);
}

interface DerivedRow extends DerivedValue {
  readonly steps: readonly (number | undefined)[];
}

/** Of rows that are summed over CPUs, for the host or the one cgroup that was asked for. */
function derivedRows({ rows, cpus, stepStarts }: CounterAnswer): DerivedRow[] {
  const perf = rows.filter(({ key }) => 'cgroup' in key && !('cpu' in key));
  if (new Set(perf.map(({ key }) => key['cgroup'])).size !== 1) return [];
  const ratesAt =
    (valueOf: (row: CounterRow) => number | undefined): Rates =>
    (event) => {
      if (event === 'cpus') return cpus;
      const row = perf.find((one) => one.event === event);
      return row === undefined ? undefined : valueOf(row);
    };
  const atSteps = stepStarts.map((_, i) => derivedOf(ratesAt((row) => row.steps[i])));
  return derivedOf(ratesAt((row) => row.value)).map((derived) => {
    const steps = atSteps.map((values) => values.find(({ name }) => name === derived.name)?.value);
    return { ...derived, steps };
  });
}

function countersJson(answer: CounterAnswer, filter: string): Record<string, unknown> {
  return {
    ...coverageJson(answer.coverage),
    filter,
    steps: answer.stepStarts.map(rfc3339),
    rows: answer.rows.map(({ steps, ...row }) => ({
      ...row,
      steps: steps.map((step) => step ?? null),
    })),
    derived: derivedRows(answer).map(({ steps, ...row }) => ({
      ...row,
      steps: steps.map((step) => step ?? null),
    })),
  };
}
