// What is built next, what has to go, and what the CPU budget allows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TableCacheLimits } from '../../../collector/unwind/table-cache.js';
import { TableCache, defaultTableLimits, tableKey } from '../../../collector/unwind/table-cache.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('table-cache');

function cacheOf(limits: Partial<TableCacheLimits> = {}): TableCache<string, string> {
  return new TableCache({ ...defaultTableLimits, ...limits }, 0);
}

function build(cache: TableCache<string, string>, key: string, bytes: number, nowMs: number): string[] {
  cache.want(key, nowMs);
  assert.equal(cache.next(nowMs), key);
  return cache.built(key, { table: key, bytes, cpuMs: 0, nowMs });
}

test('a table is known by what it is made from, else by what changes with its file', () => {
  const file = { content: '', device: 1n, inode: 2n, mtimeNs: 3n, sizeBytes: 4n };
  assert.equal(tableKey({ ...file, content: 'ab' }), tableKey({ ...file, content: 'ab', inode: 9n }));
  const keys = [
    file,
    { ...file, device: 9n },
    { ...file, inode: 9n },
    { ...file, mtimeNs: 9n },
    { ...file, sizeBytes: 9n },
  ].map(tableKey);
  assert.equal(new Set(keys).size, keys.length);
});

test('the hottest file is built first, each once', () => {
  const cache = cacheOf();
  cache.want('cold', 0);
  for (let hit = 0; hit < 5; hit++) cache.want('hot', 0);
  assert.equal(cache.next(0), 'hot');
  assert.equal(cache.want('hot', 1)?.kind, 'building');
  assert.equal(cache.next(1), 'cold');
  assert.equal(cache.next(1), undefined);
  assert.deepEqual(cache.built('hot', { table: 'T', bytes: 10, cpuMs: 1, nowMs: 1 }), []);
  assert.deepEqual(cache.want('hot', 2), { kind: 'ready', table: 'T', bytes: 10 });
  cache.failed('cold', 'no-unwind-information', 1);
  assert.deepEqual(cache.want('cold', 2), { kind: 'failed', reason: 'no-unwind-information' });
  assert.equal(cache.next(2), undefined);
});

test('small files are built before large ones, which do not wait forever', () => {
  const cache = cacheOf({ cpuShare: 1 });
  const order: string[] = [];
  cache.want('large', 0, 1_000_000);
  for (let second = 0; second < 120; second++) {
    const nowMs = second * 1000;
    cache.want(`small ${second}`, nowMs, 1000);
    const next = cache.next(nowMs)!;
    order.push(next);
    cache.built(next, { table: next, bytes: 1, cpuMs: 1, nowMs });
  }
  assert.equal(order[0], 'small 0');
  assert.ok(order.includes('large'), 'its turn comes');
});

test('as many tables as there are places', () => {
  const cache = cacheOf({ maxTables: 2 });
  build(cache, 'a', 1, 0);
  build(cache, 'b', 1, 0);
  assert.deepEqual(build(cache, 'c', 1, 1), ['c'], 'a and b are in use');
  cache.used('a', 40_000);
  assert.deepEqual(build(cache, 'd', 1, 41_000), ['b']);
  assert.equal(cache.figures.tables, 2);
  cache.forget('d');
  assert.deepEqual([cache.figures.tables, cache.figures.bytes], [1, 1]);
  cache.used('not known', 1);
});

//   ms   0        30 s      40 s      41 s
//   a    built                                 idle for 41 s: goes first
//   b    built              hit                in use
//   c                                 needs room for one
test('the table hit longest ago goes', () => {
  const cache = cacheOf({ maxBytes: 100 });
  build(cache, 'a', 50, 0);
  build(cache, 'b', 50, 0);
  cache.want('b', 40_000);
  assert.deepEqual(build(cache, 'c', 50, 41_000), ['a']);
  assert.equal(cache.figures.bytes, 100);
  assert.equal(cache.want('a', 41_000)?.kind, 'waiting');
});

test('what is in use stays: a new table without room is refused and tried again later', () => {
  const cache = cacheOf({ maxBytes: 100, minIdleMs: 1000, retryMs: 5000 });
  build(cache, 'a', 60, 0);
  assert.deepEqual(build(cache, 'b', 60, 500), ['b']);
  assert.equal(cache.want('b', 5400)?.kind, 'refused');
  assert.equal(cache.want('b', 5500)?.kind, 'waiting');
  assert.equal(cache.next(5500), 'b');
  assert.deepEqual(cache.built('b', { table: 'b', bytes: 60, cpuMs: 0, nowMs: 5500 }), ['a']);
  assert.equal(cache.figures.refused, 1);
});

test('building takes its share of a CPU, no more', () => {
  const cache = cacheOf({ cpuShare: 0.05, burstMs: 100 });
  let cpuMs = 0;
  for (let nowMs = 0; nowMs <= 100_000; nowMs += 100) {
    cache.want(`file ${nowMs}`, nowMs);
    for (let key = cache.next(nowMs); key !== undefined; key = cache.next(nowMs)) {
      cache.failed(key, 'x', 40);
      cpuMs += 40;
    }
  }
  assert.ok(cpuMs <= 100 + 5000 + 40, `${cpuMs} ms`);
  assert.ok(cpuMs >= 5000, `${cpuMs} ms`);
});

test('files beyond the limit push out those without a table', () => {
  const cache = cacheOf({ maxFiles: 2 });
  build(cache, 'a', 1, 0);
  cache.want('b', 0);
  assert.equal(cache.want('c', 0)?.kind, 'waiting');
  assert.equal(cache.next(0), 'c');
  assert.equal(cache.want('d', 0), undefined);
  assert.equal(cache.figures.untracked, 1);
});

test('bytes are those of the tables that are there, and never too many', () => {
  const actions = fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: 12 }),
      bytes: fc.integer({ min: 1, max: 60 }),
      waitMs: fc.integer({ min: 0, max: 4000 }),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(actions, (list) => {
      const cache = cacheOf({ maxBytes: 100, maxFiles: 8, minIdleMs: 1000, burstMs: 1e9 });
      const held = new Map<string, number>();
      let nowMs = 0;
      for (const { key, bytes, waitMs } of list) {
        nowMs += waitMs;
        cache.want(`${key}`, nowMs);
        const next = cache.next(nowMs);
        if (next === undefined) continue;
        held.set(next, bytes);
        for (const freed of cache.built(next, { table: next, bytes, cpuMs: 1, nowMs })) held.delete(freed);
        const sum = [...held.values()].reduce((a, b) => a + b, 0);
        assert.deepEqual([cache.figures.bytes, cache.figures.tables], [sum, held.size]);
        assert.ok(sum <= 100);
      }
    }),
  );
});
