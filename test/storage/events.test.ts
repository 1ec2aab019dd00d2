// Event streams: pages, cursors, followers, filters.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EventsRequest, Query } from '../../storage/model/query.js';
import { openFiles } from '../../storage/query.js';
import { seedRandomTests } from '../support/random.js';
import {
  exec,
  execEvents,
  noon,
  openStore,
  second,
  temporaryDir,
  windowOf,
  writeFlush,
} from './support.js';

seedRandomTests('storage-events');

const hour = { window: windowOf(noon, 3600), filter: {}, stream: 'exec', limit: 1000 };

async function pidsOf(query: Query, more: Partial<EventsRequest> = {}): Promise<unknown[]> {
  const { events } = await query.events({ ...hour, ...more });
  return events.map(({ values }) => values['pid']);
}

test('events come back in time order, within the window, to the ns', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  //  bucket  0         1         2
  //          1 2     3   4(late, of bucket 0)   5
  writeFlush(store, {
    startUnixNs: noon + second,
    events: { stream: exec, columns: execEvents([2, 1, 8], 1) },
  });
  writeFlush(store, {
    startUnixNs: noon + 10n * second,
    events: { stream: exec, columns: execEvents([-2, 12], 4) },
  });
  for (const query of [store.query(), openFiles(dir)]) {
    assert.deepEqual(await pidsOf(query), [2, 1, 4, 3, 5]);
    assert.deepEqual(
      await pidsOf(query, { window: windowOf(noon + 3n * second, 5.000000001) }),
      [1, 4],
    );
    assert.deepEqual(await pidsOf(query, { window: windowOf(noon + 21n * second, 5) }), [5]);
    const { events, stream, coverage, isComplete } = await query.events(hour);
    assert.deepEqual(events[0], {
      unixNs: noon + 2n * second,
      values: { pid: 2, comm: 'make', duration: 1e6 },
    });
    assert.deepEqual(stream, exec);
    assert.equal(coverage.completeness.expected, 0);
    assert.equal(coverage.buckets, 2);
    assert.ok(isComplete);
  }
  store.close();
});

test('filters and atLeast; a part without a column is refused', async (t) => {
  const store = openStore(temporaryDir(t));
  writeFlush(store, {
    startUnixNs: noon,
    events: { stream: exec, columns: execEvents([1, 2, 3, 4]) },
  });
  const query = store.query();
  assert.deepEqual(await pidsOf(query, { filter: { comm: ['make'] } }), [2, 4]);
  assert.deepEqual(await pidsOf(query, { filter: { pid: [1, 4] } }), [1, 4]);
  assert.deepEqual(await pidsOf(query, { atLeast: { duration: 2e6 } }), [3, 4]);
  await assert.rejects(pidsOf(query, { filter: { user: ['root'] } }), {
    code: 'usage',
    message: /user.*pid, comm/,
  });
  await assert.rejects(pidsOf(query, { filter: { cgroup: ['/'] } }), {
    code: 'usage',
    message: /cgroup/,
  });
  await assert.rejects(pidsOf(query, { atLeast: { comm: 1 } }), { code: 'usage', message: /comm/ });
  await assert.rejects(pidsOf(query, { stream: 'exit' }), { code: 'usage', message: /exit.*exec/ });
  await assert.rejects(pidsOf(query, { limit: 0 }), { code: 'usage' });
  await assert.rejects(pidsOf(query, { cursor: 'x' }), { code: 'usage' });
  const early = windowOf(noon - 3600n * second, 60);
  await assert.rejects(pidsOf(query, { window: early }), { code: 'empty-window' });
  assert.deepEqual(
    await pidsOf(query, { window: windowOf(noon + 3600n * second, 60) }),
    [],
    'may come yet',
  );
  store.close();
});

test('a follower sees every event once, whatever the pages, buckets and segments', async (t) => {
  const step = fc.record({
    gapMs: fc.oneof(fc.constant(200), fc.integer({ min: 0, max: 15_000 }), fc.constant(50_000_000)),
    count: fc.integer({ min: 0, max: 5 }),
    reads: fc.integer({ min: 0, max: 3 }),
    restart: fc.boolean(),
  });
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 15 }),
    fc.integer({ min: 1, max: 4 }),
    async (steps, limit) => {
      const dir = temporaryDir(t);
      let store = openStore(dir);
      const columns = execEvents([], 0);
      writeFlush(store, { startUnixNs: noon, events: { stream: exec, columns } });
      let [time, pid, cursor] = [noon, 0, undefined as string | undefined];
      const seen: number[] = [];
      const read = async () => {
        const window = windowOf(noon, 86_400 * 30);
        const page = await store
          .query()
          .events({ ...hour, window, limit, ...(cursor === undefined ? {} : { cursor }) });
        seen.push(...page.events.map(({ values }) => Number(values['pid'])));
        cursor = page.cursor;
        return page.isComplete;
      };
      for (const { gapMs, count, reads, restart } of steps) {
        time += BigInt(gapMs) * 1_000_000n;
        if (restart) {
          store.close();
          store = openStore(dir);
        }
        const times = Array.from({ length: count }, (_, i) => i / 100);
        writeFlush(store, {
          startUnixNs: time,
          lengthNs: second / 5n,
          events: { stream: exec, columns: execEvents(times, pid) },
        });
        pid += count;
        for (let i = 0; i < reads; i++) await read();
      }
      while (!(await read()));
      assert.deepEqual(
        seen.sort((x, y) => x - y),
        Array.from({ length: pid }, (_, i) => i),
      );
      store.close();
    },
  );
  await fc.assert(property, { numRuns: 60 });
});

test('a page is full only when more is there, and the next goes on from it', async (t) => {
  const store = openStore(temporaryDir(t));
  writeFlush(store, {
    startUnixNs: noon,
    events: { stream: exec, columns: execEvents([1, 2, 3, 4]) },
  });
  const query = store.query();
  const first = await query.events({ ...hour, limit: 3 });
  assert.deepEqual([first.events.length, first.isComplete], [3, false]);
  const next = await query.events({ ...hour, limit: 3, cursor: first.cursor });
  assert.deepEqual([next.events.length, next.isComplete], [1, true]);
  const exact = await query.events({ ...hour, limit: 4 });
  assert.deepEqual([exact.events.length, exact.isComplete], [4, true]);
  store.close();
});
