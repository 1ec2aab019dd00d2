// Histograms, counters and gauges against a naive model: a list of what was written. Whatever the
// flushes, restarts and segments, series() gives it back summed, from the open store and from its
// files alike.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { mergeHistograms } from '../../storage/model/histogram.js';
import type { Filter, Query, SeriesAnswer, SeriesRequest } from '../../storage/model/query.js';
import type { MetricKey, StreamInfo } from '../../storage/model/stream.js';
import { openFiles } from '../../storage/query.js';
import { maxKeys } from '../../storage/segment/keyed.js';
import { seedRandomTests } from '../support/random.js';
import type { TestMetric } from './support.js';
import { faults, histogramOf, load, noon, openStore, runq, second } from './support.js';
import { series, temporaryDir, windowOf, writeFlush } from './support.js';

seedRandomTests('storage-series');

const bucket = 10n * second;

/** "step's number: key" -> what is there, of an answer whose shape is checked. */
function plain(answer: SeriesAnswer): Map<string, unknown> {
  const { steps, coveredNs } = answer;
  assert.equal(coveredNs.length, steps.length);
  const cells = new Map<string, unknown>();
  const put = (key: MetricKey, values: readonly unknown[]) => {
    assert.equal(values.length, steps.length);
    assert.equal(key.length, answer.fields.length);
    for (const [i, value] of values.entries()) {
      const at = `${(steps[i]! - noon) / second}: ${key.join(' ')}`;
      if (value !== undefined) cells.set(at, value);
    }
  };
  if (answer.kind === 'histogram') {
    for (const { key, values } of answer.keys) {
      put(key, values.map((h) => h && { ...h, slots: [...h.slots], counts: [...h.counts] }));
    }
  } else {
    for (const { key, values } of answer.keys) put(key, values);
  }
  return new Map([...cells].sort());
}

async function ask(query: Query, more: Partial<SeriesRequest>): Promise<SeriesAnswer> {
  const window = windowOf(noon, 3600);
  return query.series({ window, stepNs: bucket, filter: {}, stream: 'runq', ...more });
}

test('one flush comes back, from the store and from its files', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const metrics: TestMetric[] = [
    {
      stream: runq,
      rows: [
        { key: [1, 'web', '/a'], values: [0, 1000, 1000, 2e9] },
        { key: [2, 'db', '/b'], values: [] },
      ],
      counters: { captured: 4, 'lost.count_map_full': 2, 'check.kernel': 7 },
    },
    { stream: faults, rows: [{ key: [0, 'sda'], values: [2 ** 50, 1] }] },
    { stream: load, rows: [{ key: ['sda'], values: [3, 0.52] }] },
  ];
  writeFlush(store, { startUnixNs: noon + 3n * second, lengthNs: 7n * second, metrics });
  for (const query of [store.query(), openFiles(dir)]) {
    const window = windowOf(noon, 10);
    const answer = await ask(query, { window });
    const histogram = { ...histogramOf([0, 1000, 1000, 2e9]) };
    assert.deepEqual(plain(answer), new Map<string, unknown>([
      ['0: 1 web /a', { ...histogram, slots: [-241, -160, 7], counts: [1, 2, 1] }],
      ['0: 2 db /b', { slots: [], counts: [], count: 0, sumNs: 0 }],
    ]));
    assert.deepEqual([answer.stream, answer.fields], [runq, runq.fields]);
    assert.deepEqual([answer.steps, answer.coveredNs], [[noon], [7e9]]);
    assert.deepEqual(answer.counters, { captured: 4, 'lost.count_map_full': 2, 'check.kernel': 7 });
    assert.deepEqual(answer.coverage.completeness.lost, { count_map_full: 2 });
    assert.equal(answer.coverage.fromUnixNs, noon + 3n * second);
    const delta = await ask(query, { window, stream: 'faults' });
    assert.deepEqual(plain(delta), new Map([['0: 0 sda', 2 ** 50 + 1]]));
    const gauge = await ask(query, { window, stream: 'load' });
    assert.deepEqual(plain(gauge), new Map([['0: sda', 0.52]]));
  }
  const { streams } = await store.query().status();
  assert.deepEqual(streams, [runq, faults, load]);
  store.close();
});

interface Written {
  readonly time: bigint;
  readonly stream: StreamInfo;
  readonly key: MetricKey;
  readonly values: readonly number[];
}

const fieldValues: Readonly<Record<string, readonly (string | number)[]>> = {
  pid: [1, 2],
  comm: ['a', 'b'],
  cgroup: ['/x', '/x/y', '/z'],
  cpu: [0, 1],
  device: ['sda', 'eth0'],
};

function keyOf(stream: StreamInfo): fc.Arbitrary<MetricKey> {
  return fc.tuple(...stream.fields!.map(({ name }) => fc.constantFrom(...fieldValues[name]!)));
}

const rowsOf = (stream: StreamInfo, value: fc.Arbitrary<number>) =>
  fc
    .array(fc.record({ key: keyOf(stream), values: fc.array(value, { maxLength: 4 }) }), {
      maxLength: 5,
    })
    .map((rows): TestMetric => ({ stream, rows }));

const delays = fc.oneof(fc.nat(1000), fc.nat(2 ** 31 - 1), fc.constant(0));
const deltas = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 45 }));
const levels = fc.integer({ min: -1e6, max: 1e6 }).map((n) => n / 100);

const flushes = fc.array(
  fc.record({
    gapMs: fc.oneof(fc.constantFrom(200, 10_000, 9_000_000), fc.integer({ min: 0, max: 25_000 })),
    restart: fc.boolean(),
    metrics: fc.tuple(rowsOf(runq, delays), rowsOf(faults, deltas), rowsOf(load, levels)),
  }),
  { minLength: 1, maxLength: 12 },
);

const questions: readonly [StreamInfo, Filter, readonly string[] | undefined][] = [
  [runq, {}, undefined],
  [runq, { cgroup: ['/x'], comm: ['a'] }, ['pid']],
  [runq, { pid: [2] }, []],
  [faults, { device: ['sda'] }, undefined],
  [faults, {}, ['device']],
  [load, {}, undefined],
  [load, {}, []],
];

/** What a naive reader of the list would answer. */
function expected(
  written: readonly Written[],
  [stream, filter, by]: (typeof questions)[number],
  stepNs: bigint,
): Map<string, unknown> {
  const fields = stream.fields!.map(({ name }) => name);
  const value = (key: MetricKey, name: string) => key[fields.indexOf(name)]!;
  const isWanted = (key: MetricKey) =>
    (filter.pid?.includes(value(key, 'pid') as number) ?? true) &&
    (filter.comm?.includes(value(key, 'comm') as string) ?? true) &&
    (filter.device?.includes(value(key, 'device') as string) ?? true) &&
    (filter.cgroup?.some((c) => `${value(key, 'cgroup')}/`.startsWith(`${c}/`)) ?? true);
  const groups = new Map<string, Map<string, number[]>>();
  for (const { time, key, values, stream: of } of written) {
    if (of !== stream || !isWanted(key)) continue;
    if (values.length === 0 && stream.kind !== 'histogram') continue;
    const step = (time / stepNs) * stepNs;
    const kept = (by ?? fields).map((name) => value(key, name));
    const at = `${(step - noon) / second}: ${kept.join(' ')}`;
    const keys = groups.get(at) ?? groups.set(at, new Map()).get(at)!;
    keys.set(key.join(' '), [...(keys.get(key.join(' ')) ?? []), ...values]);
  }
  const cells = [...groups].map(([at, keys]): [string, unknown] => {
    const lists = [...keys.values()];
    const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
    if (stream.kind === 'counter') return [at, sum(lists.flat())];
    if (stream.kind === 'gauge') return [at, sum(lists.map((list) => list.at(-1)!))];
    const { slots, counts, ...rest } = mergeHistograms(lists.map(histogramOf));
    return [at, { slots: [...slots], counts: [...counts], ...rest }];
  });
  return new Map(cells.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('random flushes, restarts and segments equal the naive model', async (t) => {
  const stepsS = fc.constantFrom(10n, 60n, 3600n);
  const property = fc.asyncProperty(flushes, stepsS, async (list, stepS) => {
    const dir = temporaryDir(t);
    const written: Written[] = [];
    // The next day, and with it the next segment, is 100 s away.
    let [store, time] = [openStore(dir), noon + 43_100n * second];
    for (const { gapMs, restart, metrics } of list) {
      time += BigInt(gapMs) * 1_000_000n;
      if (restart) {
        store.close();
        store = openStore(dir);
      }
      const [startUnixNs, lengthNs] = [time, 200_000_000n];
      assert.ok(writeFlush(store, { startUnixNs, lengthNs, metrics }).isDurable);
      for (const { stream, rows } of metrics) {
        for (const row of rows) written.push({ ...row, stream, time: (time / bucket) * bucket });
      }
    }
    const stepNs = stepS * second;
    const window = { fromUnixNs: noon + 43_000n * second, toUnixNs: time + bucket };
    const check = async (query: Query) => {
      for (const question of questions) {
        const [{ name: stream }, filter, by] = question;
        const request = { window, stepNs, filter, stream, ...(by === undefined ? {} : { by }) };
        const answer = await query.series(request);
        const cells = plain(answer);
        const wanted = expected(written, question, stepNs);
        assert.deepEqual([...cells.keys()], [...wanted.keys()]);
        for (const [at, value] of wanted) {
          const cell = cells.get(at);
          if (typeof value !== 'number') assert.deepEqual(cell, value);
          else assert.ok(Math.abs((cell as number) - value) <= Math.abs(value) * 1e-12, at);
        }
        const covered = answer.coveredNs.reduce((sum, ns) => sum + ns, 0);
        assert.ok(covered > 0 && covered <= list.length * 10e9);
      }
    };
    await check(store.query());
    await check(openFiles(dir));
    store.close();
    await check(openFiles(dir));
  });
  await fc.assert(property, { numRuns: 25 });
});

test('steps, gaps and what is covered', async (t) => {
  const store = openStore(temporaryDir(t));
  //  bucket   0    1    2    3    4    5    6
  //  runq     4 s  .    10 s 10 s .    .    10 s
  //  step     ----- 30 s ---- ----- 30 s ---- ---
  for (const [i, seconds] of [[0, 4], [2, 10], [3, 10], [6, 10]] as const) {
    const rows = [{ key: [1, 'a', '/'], values: [1000 * i] }];
    const startUnixNs = noon + BigInt(i) * bucket;
    const lengthNs = BigInt(seconds) * second;
    writeFlush(store, { startUnixNs, lengthNs, metrics: [{ stream: runq, rows }] });
  }
  const query = store.query();
  const answer = await ask(query, { window: windowOf(noon + 5n * second, 65), stepNs: 3n * bucket });
  assert.deepEqual(answer.steps, [0n, 30n, 60n].map((s) => noon + s * second));
  assert.deepEqual(answer.coveredNs, [14e9, 10e9, 10e9]);
  assert.deepEqual(answer.coverage.buckets, 4);
  assert.deepEqual(answer.coverage.completeness.missingBuckets, 3);
  const counts = answer.kind === 'histogram' ? answer.keys[0]!.values.map((h) => h?.count) : [];
  assert.deepEqual(counts, [2, 1, 1]);
  const edge = await ask(query, { window: windowOf(noon + 40n * second, 10), stepNs: 3n * bucket })
    .catch((error: unknown) => (error as { code: string }).code);
  assert.equal(edge, 'empty-window');
  store.close();
});

test('what cannot be answered is refused with a sentence', async (t) => {
  const store = openStore(temporaryDir(t));
  const metrics = [
    { stream: runq, rows: [{ key: [1, 'a', '/'], values: [1] }] },
    { stream: load, rows: [{ key: ['sda'], values: [1] }] },
  ];
  writeFlush(store, { startUnixNs: noon, metrics, rows: [{ series: series('a'), stack: 'f', count: 1 }] });
  const query = store.query();
  const refusals: [Partial<SeriesRequest>, RegExp][] = [
    [{ stream: 'block' }, /named block; the store has load, runq/],
    [{ stream: 'cpu' }, /named cpu/],
    [{ stepNs: second }, /multiple of 10 s/],
    [{ stepNs: 0n }, /multiple of 10 s/],
    [{ stepNs: 15n * second }, /multiple of 10 s/],
    [{ filter: { device: ['sda'] } }, /runq has no device to filter by, only pid, comm, cgroup/],
    [{ filter: { pid: [1] }, stream: 'load' }, /load has no pid to filter by, only device/],
    [{ by: ['device'] }, /runq has no field device; its fields: pid, comm, cgroup/],
    [{ window: windowOf(noon, 86_400 * 365) }, /at most 100000 steps/],
  ];
  for (const [more, message] of refusals) {
    await assert.rejects(ask(query, more), { code: 'usage', message });
  }
  const windows = [windowOf(noon, 10)];
  const samples = query.aggregate({ windows, filter: { device: ['sda'] }, stream: 'cpu' });
  await assert.rejects(samples, { code: 'usage', message: /no device/ });
  await assert.rejects(query.aggregate({ windows, filter: {}, stream: 'runq' }), { code: 'usage' });
  store.close();
});

test('too many keys: the rest is summed in (other), and counted', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const keys = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);
  const metricsOf = (numbers: readonly number[]): TestMetric[] => [
    { stream: runq, rows: numbers.map((i) => ({ key: [i, 'a', '/'], values: [1000] })) },
    { stream: faults, rows: numbers.map((i) => ({ key: [i, 'sda'], values: [2] })) },
    { stream: load, rows: numbers.map((i) => ({ key: [`d${i}`], values: [3] })) },
  ];
  // All new keys of one flush, and those of a second flush of the same bucket.
  const second20 = [...keys(maxKeys - 5, 5), ...keys(maxKeys + 100, 15)];
  for (const [i, numbers] of [keys(0, maxKeys + 10), second20].entries()) {
    const startUnixNs = noon + BigInt(i) * second;
    writeFlush(store, { startUnixNs, lengthNs: second, metrics: metricsOf(numbers) });
  }
  for (const query of [store.query(), openFiles(dir)]) {
    const window = windowOf(noon, 10);
    const histograms = plain(await ask(query, { window }));
    assert.equal(histograms.size, maxKeys + 1);
    const other = histograms.get('0: -1 (other) (other)') as { count: number };
    assert.equal(other.count, 10 + 15);
    const whole = await ask(query, { window, by: [] });
    assert.equal((plain(whole).get('0: ') as { count: number }).count, maxKeys + 30);
    assert.deepEqual(whole.counters, { folded: 25 });
    const counts = await ask(query, { window, stream: 'faults' });
    assert.equal(plain(counts).get('0: -1 (other)'), 2 * 25);
    const gauges = await ask(query, { window, stream: 'load' });
    assert.equal(plain(gauges).size, maxKeys);
    assert.deepEqual(gauges.counters, { 'lost.over_limit': 25 });
  }
  store.close();
  // The second flush made 15 keys known, the first not one beyond the limit.
  assert.equal(keysKnownTo(dir), 3 * (maxKeys + 15 + 1));
});

function keysKnownTo(dir: string): number {
  const file = readdirSync(dir).find((name) => name.startsWith('seg-'))!;
  const db = new Database(join(dir, file), { readonly: true });
  const known = db.prepare('SELECT sum(n) FROM dict WHERE kind = 4').pluck().get() as number;
  db.close();
  return known;
}

test('a segment that knows 65,536 keys is followed by the next', async (t) => {
  const store = openStore(temporaryDir(t));
  const flushes = 2 ** 16 / maxKeys + 1;
  for (let i = 0; i < flushes; i++) {
    const rows = Array.from({ length: maxKeys }, (_, k) => ({ key: [i, `${k}`], values: [1] }));
    const startUnixNs = noon + BigInt(i) * bucket;
    writeFlush(store, { startUnixNs, metrics: [{ stream: faults, rows }] });
  }
  assert.equal((await store.query().status()).segments.length, 2);
  const request = { window: windowOf(noon, flushes * 10), stream: 'faults', by: ['cpu'] };
  const answer = await ask(store.query(), request);
  assert.deepEqual([...plain(answer).values()], Array.from({ length: flushes }, () => maxKeys));
  store.close();
});

test('values that cannot be are left out and counted', async (t) => {
  const store = openStore(temporaryDir(t));
  const writer = store.beginFlush({ startUnixNs: noon, endUnixNs: noon + bucket });
  const [histograms, counters, gauges] = [runq, faults, load].map((s) => writer.streamId(s));
  const good = histogramOf([5, 6]);
  const key = writer.keyId(histograms!, [1, 'a', '/']);
  const bad = [
    { ...good, count: -1 },
    { ...good, sumNs: 2 ** 53 },
    { ...good, counts: Float64Array.of(0.5, 1) },
    { ...good, slots: Int16Array.of(5, 5) },
    { ...good, slots: Int16Array.of(5, 999) },
    { ...good, slots: Int16Array.of(-242, 5) },
  ];
  for (const histogram of [...bad, good]) writer.histogram(histograms!, key, histogram);
  const cpu = writer.keyId(counters!, [0, 'sda']);
  for (const delta of [-1, NaN, 1.5, Infinity, 7]) writer.counter(counters!, cpu, delta);
  const device = writer.keyId(gauges!, ['sda']);
  for (const value of [NaN, -Infinity, 1e301, 1.25]) writer.gauge(gauges!, device, value);
  writer.gauge(gauges!, writer.keyId(gauges!, ['eth0']), 2 / 3, 2);
  writer.commit();
  const window = windowOf(noon, 10);
  const whole = await ask(store.query(), { window });
  assert.equal((plain(whole).get('0: 1 a /') as { count: number }).count, 2);
  assert.deepEqual(whole.coverage.completeness.lost, { bad_value: bad.length });
  const deltas = await ask(store.query(), { window, stream: 'faults' });
  assert.deepEqual(plain(deltas), new Map([['0: 0 sda', 7]]));
  assert.deepEqual(deltas.counters, { 'lost.bad_value': 4 });
  const levels = await ask(store.query(), { window, stream: 'load' });
  assert.deepEqual(plain(levels), new Map([['0: eth0', 0.67], ['0: sda', 1.25]]));
  assert.deepEqual(levels.counters, { 'lost.bad_value': 3 });
  store.close();
});

test('a stream that another version kept by other fields', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const older: StreamInfo = { ...runq, fields: [{ name: 'comm', type: 'string' }] };
  const olderRows = [{ key: ['a'], values: [1000] }];
  writeFlush(store, { startUnixNs: noon, metrics: [{ stream: older, rows: olderRows }] });
  const rows = [{ key: [7, 'a', '/x'], values: [1000] }];
  writeFlush(store, { startUnixNs: noon + bucket, metrics: [{ stream: runq, rows }] });
  const window = windowOf(noon, 20);
  const answer = await ask(store.query(), { window });
  assert.deepEqual([...plain(answer).keys()], ['0: -1 a ', '10: 7 a /x']);
  const byComm = await ask(store.query(), { window, by: ['comm'], stepNs: 6n * bucket });
  assert.equal((plain(byComm).get('0: a') as { count: number }).count, 2);
  const points: StreamInfo = { ...runq, kind: 'counter' };
  const newer = [{ key: [7, 'a', '/x'], values: [5] }];
  writeFlush(store, { startUnixNs: noon + bucket, metrics: [{ stream: points, rows: newer }] });
  const newest = await ask(store.query(), { window });
  assert.deepEqual(plain(newest), new Map([['10: 7 a /x', 5]]));
  assert.equal(newest.coverage.completeness.brokenBlobs, 0, 'another kind is not read as this one');
  store.close();
});
