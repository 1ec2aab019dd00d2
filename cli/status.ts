// `flamekeeper status`: what the store holds, how complete its last minutes are, and how the daemon is when
// one runs.

import { Command } from 'commander';
import { printable } from '../exporters/formats/text.js';
import type { SegmentStatus, StatusAnswer } from '../storage/model/query.js';
import type { StreamInfo } from '../storage/model/stream.js';
import { formatBytes, formatDurationNs } from './format.js';
import { writeStdout } from './output.js';
import { withProgress } from './progress.js';
import { coverageJson, coverageLines } from './render-completeness.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { addGlobalOptions, withQuery } from './settings.js';
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
  const answer = await withQuery(options, (query) => withProgress('reading the store', query.status()));
  const text =
    options.json === true ? JSON.stringify(statusJson(answer), null, 2) : statusLines(answer).join('\n');
  await writeStdout([`${text}\n`]);
}

/** Lines for people, without line ends. */
export function statusLines(answer: StatusAnswer): string[] {
  const { dataDir, sizeBytes, segments, quarantined, streams, recent, daemon } = answer;
  const lines = [`data: ${dataDir} (${formatBytes(sizeBytes)})`];
  lines.push(
    daemon === undefined
      ? 'daemon: not running, or not to be asked; this is from the files'
      : 'daemon: running',
  );
  for (const [name, value] of Object.entries(daemon ?? {})) lines.push(daemonLine(name, value));
  lines.push(`streams: ${streams.map(streamText).join(', ') || 'none'}`);
  if (recent !== undefined)
    lines.push('last minutes:', ...coverageLines('samples', recent).map((line) => `  ${line}`));
  lines.push('', ...renderTable(segmentColumns, segments.map(segmentCells)));
  if (quarantined.length > 0) lines.push('', `set aside as damaged: ${quarantined.join(', ')}`);
  return lines.map(printable);
}

function segmentCells({ name, state, sizeBytes, buckets, startUnixNs, endUnixNs }: SegmentStatus): string[] {
  const range = formatRange({ fromUnixNs: startUnixNs, toUnixNs: endUnixNs });
  return [name, state, formatBytes(sizeBytes), String(buckets), range];
}

function streamText({ name, kind, period }: StreamInfo): string {
  return period === undefined
    ? `${name} (${kind})`
    : `${name} (${kind}, 1 per ${period.value} ${period.unit})`;
}

/** Names end in their unit: `rss_bytes` 79552512 -> `rss: 75.9 MiB`. */
function daemonLine(name: string, value: string | number): string {
  const [, what = name, unit = ''] = /^(.+)_(bytes|seconds|ms)$/.exec(name) ?? [];
  const words = what.replaceAll('_', ' ');
  if (typeof value === 'string' || unit === '') return `  ${words}: ${value}`;
  if (unit === 'bytes') return `  ${words}: ${formatBytes(value)}`;
  return `  ${words}: ${formatDurationNs(value * (unit === 'ms' ? 1e6 : 1e9))}`;
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
