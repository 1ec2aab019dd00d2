// What the storage tests share: temporary directories, streams, one way to write a
// flush, and an answer as plain Maps.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { FunctionInfo } from '../../storage/model/frame.js';
import { functionLabel } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import { checkValid } from '../../storage/model/profile.js';
import type { Window } from '../../storage/model/query.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import type { Histogram } from '../../storage/model/histogram.js';
import { slotOfNs } from '../../storage/model/histogram.js';
import type { MetricKey, StreamInfo } from '../../storage/model/stream.js';
import type { CommitResult, EventColumns, FlushWriter } from '../../storage/model/writer.js';
import type { StoreOptions } from '../../storage/store.js';
import { Store } from '../../storage/store.js';

/** Some noon, on a bucket's border. */
export const noon =
  1_750_000_000_000_000_000n -
  (1_750_000_000_000_000_000n % 86_400_000_000_000n) +
  43_200_000_000_000n;
export const second = 1_000_000_000n;

export const cpu: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: 1e9 / 50 },
};

export const exec: StreamInfo = {
  name: 'exec',
  kind: 'event',
  valueType: { type: 'events', unit: 'count' },
  fields: [
    { name: 'pid', type: 'number' },
    { name: 'comm', type: 'string' },
    { name: 'duration', type: 'number', unit: 'nanoseconds' },
  ],
};

export const runq: StreamInfo = {
  name: 'runq',
  kind: 'histogram',
  valueType: { type: 'delay', unit: 'nanoseconds' },
  fields: [
    { name: 'pid', type: 'number' },
    { name: 'comm', type: 'string' },
    { name: 'cgroup', type: 'string' },
  ],
};

export const faults: StreamInfo = {
  name: 'faults',
  kind: 'counter',
  valueType: { type: 'faults', unit: 'count' },
  fields: [
    { name: 'cpu', type: 'number' },
    { name: 'device', type: 'string' },
  ],
};

export const load: StreamInfo = {
  name: 'load',
  kind: 'gauge',
  valueType: { type: 'tasks', unit: 'count' },
  fields: [{ name: 'device', type: 'string' }],
};

export function temporaryDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'fk-store-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function openStore(dir: string, more: Partial<StoreOptions> = {}): Store {
  const options = {
    dir,
    maxAgeMs: 365 * 86_400_000,
    ballastBytes: 0,
    now: () => Number(noon / 1_000_000n),
  };
  return Store.open({ ...options, ...more });
}

export function series(comm: string, more: Partial<SeriesInfo> = {}): SeriesInfo {
  const base = {
    pid: 7,
    startUnixMs: 1,
    thread: comm,
    exe: `/bin/${comm}`,
    uid: 0,
    user: 'root',
    cgroup: '',
  };
  return { ...base, comm, ...more };
}

export function fn(name: string, moduleName = 'app'): FunctionInfo {
  return {
    module: { name: moduleName, path: `/bin/${moduleName}`, buildId: 'ab01' },
    frameType: 'native',
    name,
  };
}

/** One row: stack root-first, joined by ';'. */
export interface Row {
  readonly series: SeriesInfo;
  readonly stack: string;
  readonly count: number;
}

export interface TestFlush {
  readonly startUnixNs: bigint;
  readonly lengthNs?: bigint;
  readonly stream?: StreamInfo;
  readonly rows?: readonly Row[];
  readonly counters?: Readonly<Record<string, number>>;
  readonly events?: { readonly stream: StreamInfo; readonly columns: EventColumns };
  readonly metrics?: readonly TestMetric[];
}

/** Of a histogram the delays in ns; of a counter or gauge one value. */
export interface TestMetric {
  readonly stream: StreamInfo;
  readonly rows: readonly { readonly key: MetricKey; readonly values: readonly number[] }[];
  readonly counters?: Readonly<Record<string, number>>;
}

export function writeFlush(store: Store, flush: TestFlush): CommitResult {
  const endUnixNs = flush.startUnixNs + (flush.lengthNs ?? 10n * second);
  const writer = store.beginFlush({ startUnixNs: flush.startUnixNs, endUnixNs });
  const { rows = [], counters, events, metrics = [] } = flush;
  if (rows.length > 0 || counters !== undefined) {
    const stream = writer.streamId(flush.stream ?? cpu);
    for (const row of rows) {
      let node = 0;
      for (const name of row.stack.split(';')) {
        node = writer.node(node, writer.functionId(fn(name)));
      }
      writer.sample(stream, writer.seriesId(row.series), node, row.count);
    }
    writer.header(stream, counters ?? { captured: rows.reduce((sum, r) => sum + r.count, 0) });
  }
  if (events !== undefined) {
    const stream = writer.streamId(events.stream);
    writer.events(stream, events.columns);
    writer.header(stream, { recorded: events.columns.timesNs.length });
  }
  for (const metric of metrics) writeMetric(writer, metric);
  return writer.commit();
}

function writeMetric(writer: FlushWriter, { stream, rows, counters = {} }: TestMetric): void {
  const id = writer.streamId(stream);
  for (const { key, values } of rows) {
    const keyId = writer.keyId(id, key);
    if (stream.kind === 'histogram') writer.histogram(id, keyId, histogramOf(values));
    else if (stream.kind === 'counter') for (const value of values) writer.counter(id, keyId, value);
    else for (const value of values) writer.gauge(id, keyId, value);
  }
  writer.header(id, counters);
}

/** The histogram of these delays, counted one by one. */
export function histogramOf(delaysNs: readonly number[]): Histogram {
  const counts = new Map<number, number>();
  for (const slot of delaysNs.map(slotOfNs)) counts.set(slot, (counts.get(slot) ?? 0) + 1);
  const slots = Int16Array.from(counts.keys()).sort();
  return {
    slots,
    counts: Float64Array.from(slots, (slot) => counts.get(slot)!),
    count: delaysNs.length,
    sumNs: delaysNs.reduce((sum, delay) => sum + delay, 0),
  };
}

/** Events at these seconds after the flush's start; pid counts up from `firstPid`. */
export function execEvents(seconds: readonly number[], firstPid = 1): EventColumns {
  return {
    timesNs: Float64Array.from(seconds, (s) => s * 1e9),
    columns: [
      Float64Array.from(seconds, (_, i) => firstPid + i),
      seconds.map((_, i) => (i % 2 === 0 ? 'sh' : 'make')),
      Float64Array.from(seconds, (_, i) => i * 1e6),
    ],
  };
}

export function windowOf(fromUnixNs: bigint, seconds: number): Window {
  return { fromUnixNs, toUnixNs: fromUnixNs + BigInt(Math.round(seconds * 1e9)) };
}

/** "comm pid stack" -> values[valueIndex], of a profile that keeps its invariants. */
export function plainRows(profile: Profile, valueIndex = 0): Map<string, number> {
  checkValid(profile);
  const rows = new Map<string, number>();
  profile.rowNodes.forEach((leaf, r) => {
    const names: string[] = [];
    for (let n = leaf; n !== 0; n = profile.parents[n]!) {
      names.unshift(functionLabel(profile.functions[profile.nodeFunctions[n]!]!));
    }
    const { comm, pid } = profile.series[profile.rowSeries[r]!]!;
    const key = `${comm} ${pid} ${names.join(';')}`;
    rows.set(key, (rows.get(key) ?? 0) + profile.values[valueIndex]![r]!);
  });
  return new Map([...rows].sort());
}
