// `flamekeeper checklist`: the ten views that a first look at a slow host asks for, in the columns
// of their tools, of now or of any moment that is kept; what looks wrong is marked.
// Source: Brendan Gregg, "Linux Performance Analysis in 60,000 Milliseconds", Netflix, 2015.

import { Command } from 'commander';
import { OperatingError } from '../storage/model/errors.js';
import type { Filter, Query, Window } from '../storage/model/query.js';
import { mpstatView, uptimeView, vmstatView } from './checklist/cpu-views.js';
import { dmesgView } from './checklist/dmesg-view.js';
import type { HostFacts } from './checklist/facts.js';
import { askForFacts } from './checklist/facts.js';
import { iostatView, sarDevView, sarTcpView } from './checklist/io-views.js';
import { freeView } from './checklist/memory-view.js';
import { pidstatView, topView } from './checklist/process-views.js';
import type { View, ViewStyle } from './checklist/view.js';
import { viewJson, viewLines } from './checklist/view.js';
import { addDeviceFilter, addSeriesFilter, describeFilter, filterOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { withProgress } from './progress.js';
import { findStore, addGlobalOptions, addWindowOptions } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { addWatchOption, answerOrWatch, outputStyle } from './watch.js';
import type { WatchOptions } from './watch.js';
import { formatRange, namingWindow, parseTime, resolveWindow, rfc3339 } from './window.js';
import type { WindowText } from './window.js';

interface ChecklistOptions extends GlobalOptions, FilterOptions, WindowText, WatchOptions {
  readonly at?: string;
  readonly only?: string;
}

type ViewOf = (facts: HostFacts) => View;

/** In the order in which they are looked at, by the tool's name. */
const views: readonly (readonly [string, ViewOf])[] = [
  ['uptime', uptimeView],
  ['dmesg', dmesgView],
  ['vmstat', vmstatView],
  ['mpstat', mpstatView],
  ['pidstat', pidstatView],
  ['iostat', iostatView],
  ['free', freeView],
  ['sar', sarDevView],
  ['sar', sarTcpView],
  ['top', topView],
];

const bucketNs = 10_000_000_000n;

export function checklistCommand(): Command {
  const command = new Command('checklist')
    .description(
      'the first look at a host: uptime, dmesg, vmstat, mpstat and six more, of any moment',
    )
    .option('--at <time>', 'the 10 s that hold this moment (default: the last 10 s)')
    .option('--only <tools>', 'only these views, like vmstat,iostat');
  addWindowOptions(command, 'the last 10 s', 'now');
  addSeriesFilter(command);
  addDeviceFilter(command);
  addWatchOption(command);
  return addGlobalOptions(command)
    .action(checklist)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper checklist                        what uptime, vmstat, iostat ... show now
  flamekeeper checklist --at 14:05             what they would have shown then
  flamekeeper checklist --from 14:05 --to 14:06   rates over a minute
  flamekeeper checklist --only iostat,top --watch
  flamekeeper checklist --device nvme0n1 --json`,
    );
}

async function checklist(options: ChecklistOptions): Promise<void> {
  const filter = filterOf(options);
  const chosen = chosenViews(options);
  if (options.watch !== undefined && (options.at !== undefined || options.to !== undefined)) {
    throw new OperatingError('usage', '--watch looks at now: leave out --at and --to');
  }
  // What is wrong with it is told before the store is looked for.
  windowOf(options);
  const style = outputStyle();
  const withStore = await findStore(options);
  await answerOrWatch(options, async () => {
    const facts = await withStore((query) =>
      withProgress('reading the store', askForWindow(query, windowOf(options), filter)),
    );
    const answer = chosen.map((view) => view(facts));
    if (options.json !== true) return checklistLines(facts, answer, { filter, options, style });
    const json = checklistJson(facts, answer, describeFilter(options));
    return [options.watch === undefined ? JSON.stringify(json, null, 2) : JSON.stringify(json)];
  });
}

/** **Errors**: `usage` for a view that there is not. */
function chosenViews({ only }: ChecklistOptions): readonly ViewOf[] {
  const names = only?.split(',');
  const unknown = names?.find((name) => !views.some(([known]) => known === name));
  if (unknown !== undefined) {
    const known = [...new Set(views.map(([name]) => name))].join(', ');
    throw new OperatingError('usage', `--only ${unknown} is no view`, `Views are: ${known}.`);
  }
  return views.filter(([name]) => names?.includes(name) ?? true).map(([, view]) => view);
}

/** The window asked for; undefined for the last 10 s. **Errors**: `usage`. */
function windowOf(options: ChecklistOptions): Window | undefined {
  const { at, from, to } = options;
  if (at !== undefined && (from !== undefined || to !== undefined)) {
    throw new OperatingError('usage', '--at is one moment: leave out --from and --to');
  }
  if (at !== undefined) return bucketAt(parseTime(at, '--at', Date.now()));
  return from === undefined && to === undefined ? undefined : resolveWindow(options, Date.now());
}

async function askForWindow(
  query: Query,
  window: Window | undefined,
  filter: Filter,
): Promise<HostFacts> {
  if (window !== undefined) return namingWindow(window, askForFacts(query, window, filter));
  // The bucket that ended last may not be written yet.
  const last = bucketAt(BigInt(Date.now()) * 1_000_000n - bucketNs);
  try {
    return await askForFacts(query, last, filter);
  } catch (error) {
    if (!(error instanceof OperatingError) || error.code !== 'empty-window') throw error;
    const before = bucketAt(last.fromUnixNs - bucketNs);
    return namingWindow(before, askForFacts(query, before, filter));
  }
}

function bucketAt(unixNs: bigint): Window {
  const fromUnixNs = (unixNs / bucketNs) * bucketNs;
  return { fromUnixNs, toUnixNs: fromUnixNs + bucketNs };
}

interface LinesOptions {
  readonly filter: Filter;
  readonly options: ChecklistOptions;
  readonly style: ViewStyle;
}

function checklistLines(
  facts: HostFacts,
  answer: readonly View[],
  { filter, options, style }: LinesOptions,
): string[] {
  const marks = answer.reduce((sum, view) => sum + view.marks.length, 0);
  const lines = [`range: ${formatRange(facts.coverage)}`];
  lines.push(
    marks === 0 ? 'nothing looks wrong' : `${marks} signs of trouble, marked with ! below`,
  );
  if (facts.coverage.completeness.missingBuckets > 0) {
    lines.push(
      `missing: ${facts.coverage.completeness.missingBuckets} buckets of 10 s hold nothing`,
    );
  }
  if (Object.keys(filter).length > 0) {
    lines.push(`filter: ${describeFilter(options)} (${filterReach(filter)})`);
  }
  for (const view of answer) lines.push('', ...viewLines(view, style));
  return lines;
}

/** Which views a filter can act on. */
function filterReach({ device, ...process }: Filter): string {
  const acts: string[] = [];
  if (Object.keys(process).length > 0) acts.push('processes in pidstat and top');
  if (device !== undefined) acts.push('devices in iostat and sar -n DEV');
  return `${acts.join(', ')}; everything else is of the whole host`;
}

function checklistJson(
  { coverage }: HostFacts,
  answer: readonly View[],
  filter: string,
): Record<string, unknown> {
  return {
    from: rfc3339(coverage.fromUnixNs),
    to: rfc3339(coverage.toUnixNs),
    missingBuckets: coverage.completeness.missingBuckets,
    filter,
    views: answer.map(viewJson),
  };
}
