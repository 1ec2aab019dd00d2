// The store against a naive model: counts per (bucket, series, stack) in plain Maps. Whatever is
// written, in however many flushes, restarts and segments, comes back summed, from the open
// store and from its files alike.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { totalOf } from '../../storage/model/profile.js';
import type { Filter, Query } from '../../storage/model/query.js';
import { openFiles } from '../../storage/query.js';
import { seedRandomTests } from '../support/random.js';
import type { Row } from './support.js';
import {
  cpu,
  noon,
  openStore,
  plainRows,
  second,
  series,
  temporaryDir,
  windowOf,
  writeFlush,
} from './support.js';

seedRandomTests('storage-store');

const day = windowOf(noon - 43_200n * second, 86_400 * 3);

async function rowsOf(
  query: Query,
  filter: Filter = {},
  window = day,
): Promise<Map<string, number>> {
  const { profile } = await query.aggregate({ windows: [window], filter, stream: 'cpu' });
  return plainRows(profile);
}

test('one flush comes back', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const rows = [
    { series: series('a'), stack: 'main;work', count: 3 },
    { series: series('a'), stack: 'main', count: 1 },
    { series: series('b'), stack: 'main;work', count: 2 ** 40 },
  ];
  const counters = { expected: 20, captured: 4, idle: 17, not_fired: -2, 'lost.count_map_full': 1 };
  const result = writeFlush(store, { startUnixNs: noon + 3n * second, rows, counters });
  assert.deepEqual(result, {
    isDurable: true,
    segment: readdirSync(dir).find((name) => /^seg-.*\.db$/.test(name)),
    bucketStartUnixNs: noon,
    droppedFlushes: 0,
  });
  for (const query of [store.query(), openFiles(dir)]) {
    const { profile, coverage } = await query.aggregate({
      windows: [day],
      filter: {},
      stream: 'cpu',
    });
    const expected = new Map([
      ['a 7 main', 1],
      ['a 7 main;work', 3],
      ['b 7 main;work', 2 ** 40],
    ]);
    assert.deepEqual(plainRows(profile), expected);
    assert.equal(plainRows(profile, 1).get('a 7 main;work'), 3 * 2e7);
    assert.deepEqual(profile.valueTypes, [cpu.valueType, { type: 'cpu', unit: 'nanoseconds' }]);
    assert.equal(profile.period, 2e7);
    assert.deepEqual(coverage, {
      fromUnixNs: noon + 3n * second,
      toUnixNs: noon + 13n * second,
      buckets: 1,
      completeness: {
        expected: 20,
        captured: 4,
        idle: 17,
        notFired: -2,
        lost: { count_map_full: 1 },
        unexplained: 0,
        missingBuckets: 0,
        brokenBlobs: 0,
      },
    });
  }
  store.close();
});

/** Flushes at rising times, with restarts between some of them. */
const flushes = fc.array(
  fc.record({
    gapMs: fc.oneof(
      fc.constant(200),
      fc.constant(10_000),
      fc.integer({ min: 0, max: 25_000 }),
      fc.constant(50_000_000),
    ),
    restart: fc.boolean(),
    rows: fc.array(
      fc.record({
        comm: fc.constantFrom('a', 'b', 'c'),
        pid: fc.integer({ min: 1, max: 3 }),
        stack: fc.array(fc.constantFrom('f', 'g', 'h'), { minLength: 1, maxLength: 4 }),
        count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 ** 45 })),
      }),
      { maxLength: 6 },
    ),
  }),
  { minLength: 1, maxLength: 12 },
);

test('random flushes, restarts and segments equal the naive model', async (t) => {
  const nodeLimits = fc.integer({ min: 2, max: 12 });
  const property = fc.asyncProperty(flushes, nodeLimits, async (list, maxNodes) => {
    const dir = temporaryDir(t);
    const model = new Map<string, number>();
    let [store, time] = [openStore(dir, { maxNodes }), noon - 40_000n * second];
    let written = 0;
    for (const { gapMs, restart, rows } of list) {
      time += BigInt(gapMs) * 1_000_000n;
      if (restart) {
        store.close();
        store = openStore(dir, { maxNodes });
      }
      const full: Row[] = rows.map((r) => ({
        series: series(r.comm, { pid: r.pid }),
        stack: r.stack.join(';'),
        count: r.count,
      }));
      for (const { series: s, stack, count } of full) {
        const key = `${s.comm} ${s.pid} ${stack}`;
        model.set(key, (model.get(key) ?? 0) + count);
      }
      assert.ok(
        writeFlush(store, {
          startUnixNs: time,
          lengthNs: 200_000_000n,
          rows: full,
          counters: { captured: 1 },
        }).isDurable,
      );
      written++;
    }
    const window = windowOf(noon - 86_400n * second, 86_400 * 12);
    const request = { windows: [window], filter: {}, stream: 'cpu' };
    const fromStore = await store.query().aggregate(request);
    const fromFiles = await openFiles(dir).aggregate(request);
    assert.deepEqual(plainRows(fromStore.profile), new Map([...model].sort()));
    assert.equal(fromStore.coverage.completeness.captured, written);
    assert.deepEqual(fromFiles, fromStore);
    const pidTwo = await rowsOf(store.query(), { pid: [2] }, window);
    assert.deepEqual(
      pidTwo,
      new Map([...model].filter(([key]) => key.split(' ')[1] === '2').sort()),
    );
    store.close();
    assert.deepEqual(await openFiles(dir).aggregate(request), fromStore);
  });
  await fc.assert(property, { numRuns: 60 });
});

test('flushes of one bucket are merged into one row, also after a restart', async (t) => {
  const dir = temporaryDir(t);
  let store = openStore(dir);
  const row = { series: series('a'), stack: 'main', count: 1 };
  for (let i = 0; i < 10; i++) {
    if (i === 5) {
      store.close();
      store = openStore(dir);
    }
    writeFlush(store, { startUnixNs: noon + BigInt(i) * second, lengthNs: second, rows: [row] });
  }
  const { profile, coverage } = await store
    .query()
    .aggregate({ windows: [day], filter: {}, stream: 'cpu' });
  assert.equal(totalOf(profile), 10);
  assert.equal(coverage.buckets, 1);
  assert.equal(coverage.toUnixNs, noon + 10n * second);
  assert.equal(coverage.completeness.captured, 10);
  assert.equal((await store.query().status()).segments.length, 1);
  store.close();
});

test('windows: whole buckets, gaps counted inside what the store holds', async (t) => {
  const store = openStore(temporaryDir(t));
  //  bucket  0   1   2   3   4   5
  //          x   x   .   .   x   x(page-faults only)
  const faults = {
    name: 'page-faults',
    kind: 'samples',
    valueType: { type: 'faults', unit: 'count' },
  } as const;
  for (const bucket of [0, 1, 4, 5]) {
    const stream = bucket === 5 ? faults : cpu;
    const rows = [{ series: series('a'), stack: `f${bucket}`, count: 1 }];
    writeFlush(store, { startUnixNs: noon + BigInt(bucket) * 10n * second, rows, stream });
  }
  const ask = async (fromS: number, seconds: number, stream = 'cpu') => {
    const window = windowOf(noon + BigInt(fromS) * second, seconds);
    const { profile, coverage } = await store
      .query()
      .aggregate({ windows: [window], filter: {}, stream });
    return [totalOf(profile), coverage.buckets, coverage.completeness.missingBuckets];
  };
  assert.deepEqual(await ask(0, 10), [1, 1, 0]);
  assert.deepEqual(await ask(9, 2), [2, 2, 0]);
  assert.deepEqual(await ask(-3600, 7200), [3, 3, 3]);
  assert.deepEqual(await ask(15, 20), [1, 1, 2]);
  assert.deepEqual(await ask(0, 60, 'page-faults'), [1, 1, 5]);
  await assert.rejects(ask(20, 20), { code: 'empty-window' });
  await assert.rejects(ask(0, 10, 'cycles'), {
    code: 'usage',
    message: /cycles.*cpu, page-faults/,
  });
  await assert.rejects(ask(0, 0), { code: 'usage' });
  const windows = [
    windowOf(noon, 15),
    windowOf(noon + 10n * second, 10),
    windowOf(noon + 40n * second, 1),
  ];
  const { profile } = await store.query().aggregate({ windows, filter: {}, stream: 'cpu' });
  assert.equal(totalOf(profile), 3, 'a bucket of two windows counts once');
  store.close();
});

test('filters match series', async (t) => {
  const store = openStore(temporaryDir(t));
  const rows = [
    {
      series: series('web', { pid: 1, user: 'www', uid: 33, cgroup: '/a/b', thread: 't1' }),
      stack: 'f',
      count: 1,
    },
    {
      series: series('web', { pid: 2, user: 'www', uid: 33, cgroup: '/a/bc', thread: 't2' }),
      stack: 'f',
      count: 10,
    },
    { series: series('db', { pid: 3, cgroup: '/a/b/c', thread: 't1' }), stack: 'f', count: 100 },
  ];
  writeFlush(store, { startUnixNs: noon, rows });
  const cases: [Filter, number][] = [
    [{}, 111],
    [{ comm: ['web'] }, 11],
    [{ comm: ['web', 'db'], pid: [2, 3] }, 110],
    [{ user: ['33'] }, 11],
    [{ user: ['root'] }, 100],
    [{ cgroup: ['/a/b'] }, 101],
    [{ cgroup: ['/a/b/'] }, 101],
    [{ cgroup: ['/'] }, 111],
    [{ thread: ['t1'], comm: ['web'] }, 1],
    [{ pid: [9] }, 0],
  ];
  for (const [filter, expected] of cases) {
    const { profile } = await store.query().aggregate({ windows: [day], filter, stream: 'cpu' });
    assert.equal(totalOf(profile), expected, JSON.stringify(filter));
  }
  store.close();
});

test('streams of one name but another period merge, each count by its own', async (t) => {
  const store = openStore(temporaryDir(t));
  const rows = [{ series: series('a'), stack: 'f', count: 2 }];
  const slower = { ...cpu, period: { ...cpu.period!, value: 1e8 } };
  writeFlush(store, { startUnixNs: noon, rows });
  writeFlush(store, { startUnixNs: noon + 10n * second, rows, stream: slower });
  const { profile } = await store.query().aggregate({ windows: [day], filter: {}, stream: 'cpu' });
  assert.equal(totalOf(profile, 0), 4);
  assert.equal(totalOf(profile, 1), 2 * 2e7 + 2 * 1e8);
  assert.equal(profile.period, 0);
  store.close();
});

test('a new segment begins each UTC day, at a limit and when the clock steps back', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir, { maxNodes: 4 });
  const row = (stack: string) => [{ series: series('a'), stack, count: 1 }];
  const segmentOf = (atSeconds: number, stack: string) =>
    writeFlush(store, { startUnixNs: noon + BigInt(atSeconds) * second, rows: row(stack) }).segment;
  const first = segmentOf(0, 'f');
  assert.equal(segmentOf(5, 'g'), first, 'the running bucket');
  assert.equal(segmentOf(10, 'h;i;j'), first, 'a flush may pass the limit');
  const second_ = segmentOf(20, 'f');
  assert.notEqual(second_, first, 'node limit');
  const third = segmentOf(0, 'f');
  assert.notEqual(third, second_, 'clock stepped back');
  const nextDay = segmentOf(43_200, 'f');
  assert.match(nextDay, /T000000Z-4\.db$/);
  const query = store.query();
  const rows = await rowsOf(query);
  assert.deepEqual(
    rows,
    new Map([
      ['a 7 f', 4],
      ['a 7 g', 1],
      ['a 7 h;i;j', 1],
    ]),
  );
  const { segments } = await query.status();
  assert.deepEqual(
    segments.map((s) => [s.name, s.state]),
    [
      [first, 'closed'],
      [second_, 'closed'],
      [third, 'closed'],
      [nextDay, 'active'],
    ],
  );
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.endsWith('-wal')),
    [`${nextDay}-wal`],
  );
  store.close();
});

test('series without end fill segments, not the memory', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const writer = store.beginFlush({ startUnixNs: noon, endUnixNs: noon + second });
  for (let i = 0; i < 2 ** 16; i++) writer.seriesId(series('a', { thread: `renamed-${i}` }));
  const first = writer.commit().segment;
  const rows = [{ series: series('a'), stack: 'f', count: 1 }];
  const next = writeFlush(store, { startUnixNs: noon + second, rows });
  assert.notEqual(next.segment, first);
  assert.equal(next.isDurable, true);
  store.close();
});

test('segments past the age limit are unlinked, the active one never', async (t) => {
  const dir = temporaryDir(t);
  let days = 0;
  const store = openStore(dir, {
    maxAgeMs: 2.5 * 86_400_000,
    now: () => Number(noon / 1_000_000n) + days * 86_400_000,
  });
  const kept: number[] = [];
  for (; days < 6; days++) {
    writeFlush(store, {
      startUnixNs: noon + BigInt(days) * 86_400n * second,
      rows: [{ series: series('a'), stack: 'f', count: 1 }],
    });
    kept.push((await store.query().status()).segments.length);
  }
  assert.deepEqual(kept, [1, 2, 3, 3, 3, 3]);
  store.close();
});

test('status', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const before = await store.query().status();
  assert.deepEqual(before, {
    dataDir: dir,
    sizeBytes: 0,
    segments: [],
    quarantined: [],
    streams: [],
  });
  for (let i = 0; i < 40; i++) {
    writeFlush(store, {
      startUnixNs: noon + BigInt(i) * 10n * second,
      counters: { captured: 1, idle: 2 },
    });
  }
  const status = await store.query().status();
  assert.deepEqual(status, await openFiles(dir).status());
  assert.deepEqual(status.streams, [cpu]);
  assert.equal(status.segments[0]?.buckets, 40);
  assert.equal(status.segments[0]?.endUnixNs, noon + 400n * second);
  assert.equal(status.recent?.buckets, 30);
  assert.equal(status.recent?.completeness.idle, 60);
  assert.equal(status.sizeBytes, store.sizeBytes);
  store.close();
});

test('files are 0640, directories 0750, nothing is left behind but segments and state.db', (t) => {
  const dir = join(temporaryDir(t), 'made', 'here');
  const store = openStore(dir, { ballastBytes: 2 ** 17 });
  writeFlush(store, { startUnixNs: noon, rows: [{ series: series('a'), stack: 'f', count: 1 }] });
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
  assert.equal(mode(dir), '750');
  for (const name of readdirSync(dir)) assert.equal(mode(join(dir, name)), '640', name);
  store.close();
  assert.deepEqual(
    readdirSync(dir).map((name) => name.replace(/^seg-.*-/, 'seg-')),
    ['ballast', 'seg-1.db', 'state.db'],
  );
  assert.ok(!existsSync(join(dir, 'quarantine')));
});
