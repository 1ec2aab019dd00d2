// Bytes and time of the store against the obvious relational schema, in one run on the same made-up host:
// 64 CPUs at 19 Hz, services whose stacks follow a Zipf law with new ones appearing for ever.
//
//   node dist/bench/store.js [--flushes 360]        360 are an hour

import Database from 'better-sqlite3';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FunctionInfo } from '../storage/model/frame.js';
import { totalOf } from '../storage/model/profile.js';
import type { SeriesInfo } from '../storage/model/series.js';
import type { StreamInfo } from '../storage/model/stream.js';
import { openFiles } from '../storage/query.js';
import { Store } from '../storage/store.js';
import { benchKeyHistograms } from './key-histograms.js';
import { printTitle, readOptions } from './support.js';

const { flushes } = readOptions({ flushes: 360 }, { flushes: 90 });
const samplesPerFlush = 2700;
const serviceCount = 80;
const startUnixNs = 1_750_032_000_000_000_000n;
const bucketNs = 10_000_000_000n;
const cpu: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: 1e9 / 19 },
};

interface Row {
  readonly series: SeriesInfo;
  /** Root first. */
  readonly stack: readonly FunctionInfo[];
  count: number;
}

/** xorshift32, so that every run stores the same. */
let state = 42;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

const services = Array.from({ length: serviceCount }, (_, i): SeriesInfo => {
  const comm = `service-${i}`;
  const cgroup = `/kube/pod${i}`;
  return {
    pid: 1000 + i,
    startUnixMs: 0,
    comm,
    thread: comm,
    exe: `/bin/${comm}`,
    uid: 0,
    user: 'root',
    cgroup,
  };
});
const functions = new Map<string, FunctionInfo>();
const stacks = new Map<string, readonly FunctionInfo[]>();

function functionOf(program: number, id: number): FunctionInfo {
  const name = `p${program}::function_number_${id}`;
  let fn = functions.get(name);
  if (fn === undefined) {
    const module = {
      name: `p${program}.so`,
      path: `/usr/lib/p${program}.so`,
      buildId: `${program}`.padStart(40, 'c'),
    };
    functions.set(name, (fn = { module, frameType: 'native', name }));
  }
  return fn;
}

/** The stack of a rank: like its parent's at rank/3, some frames deeper, so that stacks share their
 *  beginnings. */
function stackOf(program: number, rank: number): readonly FunctionInfo[] {
  const key = `${program} ${rank}`;
  let stack = stacks.get(key);
  if (stack === undefined) {
    const parent = rank === 0 ? [] : stackOf(program, Math.floor(rank / 3));
    const more = Array.from({ length: 1 + (rank % 3) }, (_, i) =>
      functionOf(program, (rank * 7 + i * 131) % 4000),
    );
    stacks.set(key, (stack = [...parent, ...more]));
  }
  return stack;
}

function makeFlush(): Row[] {
  const rows = new Map<string, Row>();
  for (let i = 0; i < samplesPerFlush; i++) {
    const service = Math.floor(serviceCount * random() ** 3);
    const rank = Math.min(1e9, Math.floor(18 * (random() ** -1.63 - 1)));
    const key = `${service} ${rank}`;
    const row = rows.get(key);
    if (row === undefined)
      rows.set(key, { series: services[service]!, stack: stackOf(service % 25, rank), count: 1 });
    else row.count++;
  }
  return [...rows.values()];
}

function writeOurs(store: Store, bucket: number, rows: readonly Row[]): void {
  const start = startUnixNs + BigInt(bucket) * bucketNs;
  const flush = store.beginFlush({ startUnixNs: start, endUnixNs: start + bucketNs });
  const stream = flush.streamId(cpu);
  for (const { series, stack, count } of rows) {
    let node = 0;
    for (const fn of stack) node = flush.node(node, flush.functionId(fn));
    flush.sample(stream, flush.seriesId(series), node, count);
  }
  flush.header(stream, { captured: samplesPerFlush });
  flush.commit();
}

function openNaive(path: string): (bucket: number, rows: readonly Row[]) => void {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec(`CREATE TABLE fn(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE stack(id INTEGER PRIMARY KEY, frames TEXT UNIQUE);
    CREATE TABLE stack_frame(stack_id, pos, fn_id, PRIMARY KEY(stack_id, pos));
    CREATE TABLE sample(bucket, series_id, stack_id, count);
    CREATE INDEX by_bucket ON sample(bucket); CREATE INDEX by_series ON sample(series_id, bucket)`);
  const addFunction = db
    .prepare('INSERT INTO fn(name) VALUES (?) ON CONFLICT DO UPDATE SET id = id RETURNING id')
    .pluck();
  const findStack = db.prepare('SELECT id FROM stack WHERE frames = ?').pluck();
  const addStack = db.prepare('INSERT INTO stack(frames) VALUES (?)');
  const addFrame = db.prepare('INSERT INTO stack_frame VALUES (?, ?, ?)');
  const addSample = db.prepare('INSERT INTO sample VALUES (?, ?, ?, ?)');
  const ids = new Map<FunctionInfo, number>();
  const idOf = (fn: FunctionInfo) => {
    let id = ids.get(fn);
    if (id === undefined) ids.set(fn, (id = addFunction.get(fn.name) as number));
    return id;
  };
  return db.transaction((bucket: number, rows: readonly Row[]) => {
    for (const { series, stack, count } of rows) {
      const frames = stack.map(idOf);
      let id = findStack.get(frames.join()) as number | bigint | undefined;
      if (id === undefined) {
        id = addStack.run(frames.join()).lastInsertRowid;
        frames.forEach((fn, pos) => addFrame.run(id, pos, fn));
      }
      addSample.run(bucket, series.pid, id, count);
    }
  });
}

/** CPU ms (user and system) of the whole process. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function main(dir: string): Promise<void> {
  const store = Store.open({ dir: join(dir, 'ours'), maxAgeMs: 1e15, ballastBytes: 0 });
  const naivePath = join(dir, 'naive.db');
  const writeNaive = openNaive(naivePath);
  const spentMs = { ours: 0, naive: 0 };
  let rowCount = 0;
  for (let bucket = 0; bucket < flushes; bucket++) {
    const rows = makeFlush();
    rowCount += rows.length;
    const start = cpuMs();
    writeOurs(store, bucket, rows);
    const middle = cpuMs();
    writeNaive(bucket, rows);
    spentMs.ours += middle - start;
    spentMs.naive += cpuMs() - middle;
  }
  store.close();
  const samples = flushes * samplesPerFlush;
  const ours = store.sizeBytes / samples;
  const naive = (statSync(naivePath).size + statSync(`${naivePath}-wal`).size) / samples;
  const each = (ms: number) => (ms / flushes).toFixed(2);
  const ratio = (a: number, b: number) => (a / b).toFixed(1);
  printTitle('store', { flushes });
  console.log(`${flushes} flushes, ${samples} samples, ${rowCount} rows`);
  console.log(
    `bytes a sample  ours ${ours.toFixed(2)}  naive ${naive.toFixed(1)}  ratio ${ratio(naive, ours)}`,
  );
  console.log(
    `CPU ms a flush  ours ${each(spentMs.ours)}  naive ${each(spentMs.naive)}  ` +
      `ratio ${ratio(spentMs.naive, spentMs.ours)}`,
  );
  const window = { fromUnixNs: startUnixNs, toUnixNs: startUnixNs + BigInt(flushes) * bucketNs };
  for (const filter of [{}, {}, { comm: ['service-0'] }]) {
    const query = openFiles(join(dir, 'ours'));
    const start = cpuMs();
    const { profile } = await query.aggregate({ windows: [window], filter, stream: 'cpu' });
    const tookMs = (cpuMs() - start).toFixed(0);
    console.log(
      `aggregate ${JSON.stringify(filter)}: ${tookMs} ms CPU with loading the dictionary; ` +
        `${totalOf(profile)} samples, ${profile.rowNodes.length} rows, ${profile.parents.length} nodes`,
    );
  }
  await benchKeyHistograms({ dir: join(dir, 'histograms'), flushes, startUnixNs, random, cpuMs });
}

const dir = mkdtempSync(join(tmpdir(), 'fk-bench-store-'));
try {
  await main(dir);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
