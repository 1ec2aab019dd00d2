// `flamekeeper status`: what the store holds, how complete its last minutes are, and
// how the daemon is when one runs.

import { Command } from 'commander';
import { groupDigits, printable } from '../exporters/formats/text.js';
import type { Query, SegmentStatus, StatusAnswer, Window } from '../storage/model/query.js';
import type { ProcessStacks } from '../storage/model/stacks.js';
import { cutByProcess } from '../storage/model/stacks.js';
import type { StreamInfo } from '../storage/model/stream.js';
import { unlessAbsent } from './absent.js';
import { formatBytes, formatDurationNs } from './format.js';
import { checkLines, wholeStepNs } from './latency/beside.js';
import { signals } from './latency/signals.js';
import { writeStdout } from './output.js';
import { withProgress } from './progress.js';
import { coverageJson, coverageLines, cutLine } from './render-completeness.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { addGlobalOptions, withQuery } from './settings.js';
import { CUT_PROCESSES_TOLD, MAX_CUT_PROCESSES } from './stacks-answer.js';
import type { GlobalOptions } from './settings.js';
import { formatRange, rfc3339 } from './window.js';

const segmentColumns: readonly Column[] = [
  { title: 'segment', align: 'left' },
  { title: 'state', align: 'left' },
  { title: 'size', align: 'right' },
  { title: 'buckets', align: 'right' },
  { title: 'range', align: 'left' },
];

export function statusCommand(): Command {
  return addGlobalOptions(new Command('status').description('state of the store and of the daemon'))
    .action(status)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper status
  flamekeeper status --data /var/lib/flamekeeper --json`,
    );
}

async function status(options: GlobalOptions): Promise<void> {
  const { answer, cut, latencies } = await withQuery(options, (query) =>
    withProgress('reading the store', ask(query)),
  );
  const text =
    options.json === true
      ? JSON.stringify({ ...statusJson(answer), cutProcesses: cut, latencies }, null, 2)
      : statusLines(answer, { cut, latencies }).join('\n');
  await writeStdout([`${text}\n`]);
}

/** What else there is to tell of the last minutes. */
interface RecentNotes {
  /** Whose stacks were cut. */
  readonly cut: readonly ProcessStacks[];
  /** How complete latencies are, and where our count is not the kernel's. */
  readonly latencies: readonly string[];
}

async function ask(query: Query): Promise<{ answer: StatusAnswer } & RecentNotes> {
  const answer = await query.status();
  const { recent } = answer;
  if (recent === undefined) return { answer, cut: [], latencies: [] };
  const window = { fromUnixNs: recent.fromUnixNs, toUnixNs: recent.toUnixNs };
  const latencies = await latencyNotes(query, window);
  const cutStacks = Object.keys(recent.completeness.stacks?.cut ?? {});
  if (cutStacks.length === 0) return { answer, cut: [], latencies };
  const { profile } = await query.aggregate({ windows: [window], filter: {}, stream: 'cpu' });
  return { answer, cut: cutByProcess(profile, MAX_CUT_PROCESSES), latencies };
}

async function latencyNotes(query: Query, window: Window): Promise<string[]> {
  const request = { window, stepNs: wholeStepNs(window), filter: {}, by: [] };
  const notes: string[] = [];
  for (const { stream, counted } of Object.values(signals)) {
    const series = await unlessAbsent(query.series({ ...request, stream }));
    if (series === undefined) continue;
    const [, captured = ''] = coverageLines(counted, series.coverage);
    notes.push(captured, ...checkLines(series.counters));
  }
  return notes;
}

/** Lines for people, without line ends. */
export function statusLines(
  answer: StatusAnswer,
  { cut, latencies }: RecentNotes = { cut: [], latencies: [] },
): string[] {
  const { dataDir, sizeBytes, segments, quarantined, streams, recent, daemon } = answer;
  const lines = [`data: ${dataDir} (${formatBytes(sizeBytes)})`];
  lines.push(
    daemon === undefined
      ? 'daemon: not running, or not to be asked; this is from the files'
      : 'daemon: running',
  );
  if (daemon !== undefined) lines.push(...daemonLines(daemon));
  lines.push(`streams: ${streams.map(streamText).join(', ') || 'none'}`);
  if (recent !== undefined) {
    const told = [...coverageLines('samples', recent), ...latencies];
    lines.push('last minutes:', ...told.map((line) => `  ${line}`));
  }
  const worst = cutLine(cut.slice(0, CUT_PROCESSES_TOLD));
  if (worst !== undefined) lines.push(`  ${worst}`);
  lines.push('', ...renderTable(segmentColumns, segments.map(segmentCells)));
  if (quarantined.length > 0) lines.push('', `set aside as damaged: ${quarantined.join(', ')}`);
  return lines.map(printable);
}

function segmentCells({
  name,
  state,
  sizeBytes,
  buckets,
  startUnixNs,
  endUnixNs,
}: SegmentStatus): string[] {
  const range = formatRange({ fromUnixNs: startUnixNs, toUnixNs: endUnixNs });
  return [name, state, formatBytes(sizeBytes), String(buckets), range];
}

function streamText({ name, kind, period }: StreamInfo): string {
  return period === undefined
    ? `${name} (${kind})`
    : `${name} (${kind}, 1 per ${period.value} ${period.unit})`;
}

/** One line a group: `cost.rssBytes` 79552512 -> `  cost: rss 75.9 MiB`. Of
 *  losses only those there are. */
function daemonLines(daemon: NonNullable<StatusAnswer['daemon']>): string[] {
  const groups = new Map<string, string[]>();
  for (const [path, value] of Object.entries(daemon)) {
    const [, group = '', name = ''] = /^(\w+)\.(\w+)$/.exec(path) ?? ['', 'other', path];
    const texts = groups.get(group) ?? [];
    groups.set(group, texts);
    if (group !== 'losses' || value !== 0) texts.push(figureText(name, value));
  }
  return [...groups].map(([group, texts]) => `  ${group}: ${texts.join(', ') || 'none'}`);
}

const figureForms: readonly (readonly [RegExp, (value: number, what: string) => string])[] = [
  [/^(.+)Bytes$/, (bytes, what) => `${what} ${formatBytes(bytes)}`],
  [/^(.+)Ms$/, (ms, what) => `${what} ${formatDurationNs(ms * 1e6)}`],
  [/^(.+)PerSecond$/, (rate, what) => `${rate.toFixed(1)} ${what}/s`],
  [/^(.+)Seconds$/, (seconds, what) => `${what} ${formatDurationNs(seconds * 1e9)}`],
  [/^(pid)$/, (pid) => `pid ${pid}`],
];

/** `rss 75.9 MiB`, `84 processes`; a text stands for itself. */
function figureText(name: string, value: string | number): string {
  if (typeof value === 'string') return value;
  for (const [pattern, format] of figureForms) {
    const [, what] = pattern.exec(name) ?? [];
    if (what !== undefined) return format(value, words(what));
  }
  return `${groupDigits(value)} ${words(name)}`;
}

/** `kernelMemory` -> `kernel memory`. */
function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Times are RFC 3339 in UTC. */
export function statusJson({ segments, recent, ...rest }: StatusAnswer): Record<string, unknown> {
  return {
    ...rest,
    segments: segments.map(({ startUnixNs, endUnixNs, ...segment }) => {
      return { ...segment, start: rfc3339(startUnixNs), end: rfc3339(endUnixNs) };
    }),
    ...(recent !== undefined && { recent: coverageJson(recent) }),
  };
}
