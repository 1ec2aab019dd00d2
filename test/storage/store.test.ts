// The store against a naive model: counts per (bucket, series, stack) in plain Maps. Whatever is written, in however
// many flushes, restarts and segments, comes back summed, from the open store and from its files alike.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { totalOf } from '../../storage/model/profile.js';
import type { Filter, Query } from '../../storage/model/query.js';
import { openFiles } from '../../storage/query.js';
import type { Row } from './support.js';
import { cpu, noon, openStore, plainRows, second, series, temporaryDir, windowOf, writeFlush } from './support.js';

const day = windowOf(noon - 43_200n * second, 86_400 * 3);

async function rowsOf(query: Query, filter: Filter = {}, window = day): Promise<Map<string, number>> {
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
    const { profile, coverage } = await query.aggregate({ windows: [day], filter: {}, stream: 'cpu' });
    const expected = new Map([['a 7 main', 1], ['a 7 main;work', 3], ['b 7 main;work', 2 ** 40]]);
    assert.deepEqual(plainRows(profile), expected);
    assert.equal(plainRows(profile, 1).get('a 7 main;work'), 3 * 2e7);
    assert.deepEqual(profile.valueTypes, [cpu.valueType, { type: 'cpu', unit: 'nanoseconds' }]);
    assert.equal(profile.period, 2e7);
    assert.deepEqual(coverage, {
      fromUnixNs: noon + 3n * second,
      toUnixNs: noon + 13n * second,
      buckets: 1,
      completeness: {
        expected: 20, captured: 4, idle: 17, notFired: -2, lost: { count_map_full: 1 },
        unexplained: 0, missingBuckets: 0, brokenBlobs: 0,
      },
    });
  }
  store.close();
});

/** Flushes at rising times, with restarts between some of them. */
const flushes = fc.array(
  fc.record({
    gapMs: fc.oneof(fc.constant(200), fc.constant(10_000), fc.integer({ min: 0, max: 25_000 }), fc.constant(50_000_000)),
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
  const property = fc.asyncProperty(flushes, fc.integer({ min: 2, max: 12 }), async (list, maxNodes) => {
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
      const full: Row[] = rows.map((r) => ({ series: series(r.comm, { pid: r.pid }), stack: r.stack.join(';'), count: r.count }));
      for (const { series: s, stack, count } of full) {
        const key = `${s.comm} ${s.pid} ${stack}`;
        model.set(key, (model.get(key) ?? 0) + count);
      }
      assert.ok(writeFlush(store, { startUnixNs: time, lengthNs: 200_000_000n, rows: full, counters: { captured: 1 } }).isDurable);
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
    assert.deepEqual(pidTwo, new Map([...model].filter(([key]) => key.split(' ')[1] === '2').sort()));
    store.close();
    assert.deepEqual(await openFiles(dir).aggregate(request), fromStore);
  });
  await fc.assert(property, { numRuns: 60 });
});
