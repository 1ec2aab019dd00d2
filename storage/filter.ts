// Which series, events and metrics' keys a filter lets through.

import { OperatingError } from './model/errors.js';
import type { Filter } from './model/query.js';
import type { SeriesInfo } from './model/series.js';
import type { StreamInfo } from './model/stream.js';

/** **Errors**: `usage` for a part that no series has. */
export function seriesMatcher(filter: Filter): (series: SeriesInfo) => boolean {
  const { comm, pid, user, cgroup, thread, device } = filter;
  if (device !== undefined) throw new OperatingError('usage', 'samples have no device to filter by');
  return (s) =>
    (comm === undefined || comm.includes(s.comm)) &&
    (pid === undefined || pid.includes(s.pid)) &&
    (user === undefined || user.includes(s.user) || user.includes(String(s.uid))) &&
    (cgroup === undefined || cgroup.some((c) => isBelow(s.cgroup, c))) &&
    (thread === undefined || thread.includes(s.thread));
}

type Values = Readonly<Record<string, string | number>>;

/** Checks the fields of the same names. **Errors**: `usage` when the stream has no such field. */
export function fieldMatcher(
  stream: StreamInfo,
  filter: Filter,
  atLeast: Readonly<Record<string, number>> = {},
): (values: Values) => boolean {
  const tests = filterTests(stream, filter);
  for (const [name, least] of Object.entries(atLeast)) {
    const column = columnOf(stream, [name], 'number');
    tests.push((values) => Number(values[column] ?? -1) >= least);
  }
  return (values) => tests.every((test) => test(values));
}

function filterTests(stream: StreamInfo, filter: Filter): ((values: Values) => boolean)[] {
  const tests: ((values: Values) => boolean)[] = [];
  for (const name of ['comm', 'thread', 'pid', 'device'] as const) {
    const wanted = filter[name]?.map(String);
    if (wanted === undefined) continue;
    const column = columnOf(stream, [name]);
    tests.push((values) => wanted.includes(String(values[column])));
  }
  const { user, cgroup } = filter;
  if (user !== undefined) {
    columnOf(stream, ['user', 'uid']);
    tests.push(({ user: name, uid }) => user.some((u) => u === String(name) || u === String(uid)));
  }
  if (cgroup !== undefined) {
    const column = columnOf(stream, ['cgroup'], 'string');
    tests.push((values) => cgroup.some((c) => isBelow(String(values[column] ?? ''), c)));
  }
  return tests;
}

function columnOf(
  stream: StreamInfo,
  names: readonly string[],
  type?: 'number' | 'string',
): string {
  const fields = stream.fields ?? [];
  const field = fields.find(
    (f) => names.includes(f.name) && (type === undefined || f.type === type),
  );
  if (field !== undefined) return field.name;
  const known = fields.map((f) => f.name).join(', ');
  const missing = names.join(' or ');
  const what = stream.kind === 'event' ? `${stream.name} events have` : `${stream.name} has`;
  const sentence = `${what} no ${missing} to filter by, only ${known === '' ? 'itself' : known}`;
  throw new OperatingError('usage', sentence);
}

function isBelow(cgroup: string, wanted: string): boolean {
  const prefix = wanted.endsWith('/') ? wanted : `${wanted}/`;
  return cgroup === wanted || cgroup.startsWith(prefix) || `${cgroup}/` === prefix;
}
