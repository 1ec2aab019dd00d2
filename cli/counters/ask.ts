// Counters over a window as rows of rates: the perf events, or any counters and gauges by the name
// of their stream.

import { OperatingError } from '../../storage/model/errors.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { Coverage, Filter, Query, SeriesAnswer, Window } from '../../storage/model/query.js';
import { unlessAbsent } from '../absent.js';

export interface CounterRow {
  /** Name of the event; of other streams the stream's. */
  readonly event: string;
  readonly unit: string;
  readonly isGauge: boolean;
  /** Field -> value: what else it is kept apart by. */
  readonly key: Readonly<Record<string, string | number>>;
  /** Counters: a second. Gauges: the last value of a step. */
  readonly steps: readonly (number | undefined)[];
  /** Over the window: a rate, or the last value. */
  readonly value: number;
  /** Share of the time that the event had the hardware, where it had to share it: 0..1. */
  readonly runningShare?: number;
}

export interface CounterAnswer {
  readonly rows: readonly CounterRow[];
  readonly coverage: Coverage;
  readonly stepStarts: readonly bigint[];
  readonly cpus: number;
}

export interface CounterRequest {
  readonly window: Window;
  readonly stepNs: bigint;
  readonly filter: Filter;
  readonly byCpu: boolean;
  /** Names of events or of streams; none for all perf events. */
  readonly events: readonly string[];
}

type PointAnswer = Exclude<SeriesAnswer, { kind: 'histogram' }>;

const perfStreams = ['perfCount', 'perfTime', 'perfScaled'] as const;
/** Stored unit -> what is shown, and by what it is divided. */
const shownUnits: Readonly<Record<string, readonly [string, number]>> = {
  nanoseconds: ['CPUs', 1e9],
};

/** **Errors**: `usage` for an event that was not counted; `empty-window` when nothing was. */
export async function askForCounters(
  query: Query,
  request: CounterRequest,
): Promise<CounterAnswer> {
  const { events } = request;
  const streams = events.filter(isStreamName);
  const names = events.filter((name) => !isStreamName(name));
  const answers: { answer: PointAnswer; rows: CounterRow[] }[] = [];
  if (names.length > 0 || streams.length === 0) answers.push(...(await askForPerf(query, request)));
  const known = answers.flatMap(({ rows }) => rows.map(({ event }) => event));
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new OperatingError(
      'usage',
      `${unknown} was not counted in that time`,
      `There are: ${[...new Set(known)].join(', ') || 'none'}; streams of docs/streams.md, too.`,
    );
  }
  for (const stream of streams) {
    const answer = await seriesOf(query, { ...request, stream });
    if (answer === undefined) throw absent(stream);
    answers.push({ answer, rows: rowsOf(answer, { event: stream }) });
  }
  const [first] = answers;
  if (first === undefined) throw absent('perf events');
  const rows = answers.flatMap((part) => part.rows);
  const cpus = new Set(answers.flatMap(({ answer }) => cpusOf(answer))).size;
  const wanted = names.length === 0 ? rows : rows.filter(({ event }) => events.includes(event));
  const { coverage, steps } = first.answer;
  return { rows: wanted, coverage, stepStarts: steps, cpus };
}

function isStreamName(name: string): boolean {
  return Object.values(hostStreams).some(({ info }) => info.name === name);
}

function absent(what: string): OperatingError {
  return new OperatingError('empty-window', `the store holds no ${what} of that time`);
}

interface PerfPart {
  readonly answer: PointAnswer;
  readonly rows: CounterRow[];
}

async function askForPerf(query: Query, request: CounterRequest): Promise<PerfPart[]> {
  const shares = await askForShares(query, request);
  const parts: PerfPart[] = [];
  for (const name of perfStreams) {
    const answer = await seriesOf(query, { ...request, stream: hostStreams[name].info.name });
    if (answer === undefined) continue;
    const whole = { ...answer, keys: inScope(answer, request.filter) };
    const rows = rowsOf(request.byCpu ? whole : summedOverCpus(whole), {}).map((row) => {
      const runningShare = shares.get(shareKey(row.event, row.key['cgroup']));
      return runningShare === undefined ? row : { ...row, runningShare };
    });
    parts.push({ answer: whole, rows });
  }
  return parts;
}

/** Counts of a cgroup are in those of the whole host, too: they are never summed with them. */
function inScope(answer: PointAnswer, { cgroup }: Filter): PointAnswer['keys'] {
  const place = answer.fields.findIndex(({ name }) => name === 'cgroup');
  return cgroup === undefined ? answer.keys.filter(({ key }) => key[place] === '') : answer.keys;
}

function summedOverCpus(answer: PointAnswer): PointAnswer {
  const place = answer.fields.findIndex(({ name }) => name === 'cpu');
  const sums = new Map<string, { key: (string | number)[]; values: (number | undefined)[] }>();
  for (const { key, values } of answer.keys) {
    const rest = key.filter((_, i) => i !== place);
    const sum = sums.get(rest.join('\0'));
    if (sum === undefined) sums.set(rest.join('\0'), { key: rest, values: [...values] });
    else sum.values = sum.values.map((value, i) => plus(value, values[i]));
  }
  return {
    ...answer,
    fields: answer.fields.filter((_, i) => i !== place),
    keys: [...sums.values()],
  };
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : a + b;
}

/** Running of enabled time, by event and cgroup: only of events that had to share. */
async function askForShares(
  query: Query,
  request: CounterRequest,
): Promise<ReadonlyMap<string, number>> {
  const stream = hostStreams.perfShared.info.name;
  const answer = await seriesOf(query, { ...request, stream });
  const times = new Map<string, { enabled: number; running: number }>();
  const shares = new Map<string, number>();
  if (answer === undefined) return shares;
  for (const { key, values } of answer.keys) {
    const parts = Object.fromEntries(answer.fields.map(({ name }, i) => [name, key[i]!]));
    const name = shareKey(parts['event'], parts['cgroup']);
    const time = times.get(name) ?? { enabled: 0, running: 0 };
    const kind = parts['kind'] === 'running' ? 'running' : 'enabled';
    time[kind] += values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    times.set(name, time);
  }
  for (const [name, { enabled, running }] of times) {
    if (enabled > 0) shares.set(name, running / enabled);
  }
  return shares;
}

function shareKey(event: string | number | undefined, cgroup: string | number | undefined): string {
  return `${event}\0${cgroup}`;
}

/** Undefined for a stream that is not there, or not of that time. */
async function seriesOf(
  query: Query,
  { window, stepNs, filter, stream }: CounterRequest & { readonly stream: string },
): Promise<PointAnswer | undefined> {
  const answer = await unlessAbsent(query.series({ window, stepNs, filter, stream }));
  return answer?.kind === 'histogram' ? undefined : answer;
}

/** `event` names rows whose key has none; parts of the key that are empty are left out. */
function rowsOf(answer: PointAnswer, { event }: { readonly event?: string }): CounterRow[] {
  const { fields, keys, kind, coveredNs, stream } = answer;
  const [unit, scale] = shownUnits[stream.valueType.unit] ?? [stream.valueType.unit, 1];
  return keys.map(({ key, values }) => {
    const parts = Object.fromEntries(fields.map(({ name }, i) => [name, key[i]!]));
    const { event: ownEvent, unit: ownUnit, ...rest } = event === undefined ? parts : { ...parts };
    const isGauge = kind === 'gauge';
    // Events with a unit of their own are kept in millionths of it.
    const divisor = event === undefined && ownUnit !== undefined ? 1e6 : scale;
    const rateOf = (value: number | undefined, ns: number) =>
      ns === 0 ? undefined : (value ?? 0) / divisor / (ns / 1e9);
    const coveredSum = coveredNs.reduce((sum, ns) => sum + ns, 0);
    const sum = values.reduce<number>((total, value) => total + (value ?? 0), 0);
    const last = values.findLast((value) => value !== undefined);
    return {
      event: event ?? String(ownEvent),
      unit: event === undefined && ownUnit !== undefined ? String(ownUnit) : unit,
      isGauge,
      key: event === undefined ? rest : parts,
      steps: isGauge
        ? values.map((value) => value)
        : values.map((value, i) => rateOf(value, coveredNs[i]!)),
      value: isGauge ? (last ?? 0) : (rateOf(sum, coveredSum) ?? 0),
    };
  });
}

function cpusOf({ fields, keys }: PointAnswer): (string | number)[] {
  const place = fields.findIndex(({ name }) => name === 'cpu');
  return place < 0 ? [] : keys.map(({ key }) => key[place]!);
}
