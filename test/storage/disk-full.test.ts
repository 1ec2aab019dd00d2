// A full disk, on a small tmpfs of its own: old segments go first, then the
// ballast, then flushes wait in memory.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { totalOf } from '../../storage/model/profile.js';
import { openFiles } from '../../storage/query.js';
import type { Store } from '../../storage/store.js';
import type { CommitResult } from '../../storage/model/writer.js';
import { faults, noon, openStore, runq, second, series, windowOf } from './support.js';
import { writeFlush } from './support.js';

/** A directory on a disk of its own; undefined, and the test skipped,
 *  where mounting is not permitted. */
function smallDisk(t: TestContext, sizeKb: number): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'fk-disk-'));
  const options = ['-t', 'tmpfs', '-o', `size=${sizeKb}k`, 'tmpfs', dir];
  const { status, stderr } = spawnSync('mount', options, { encoding: 'utf8' });
  t.after(() => {
    if (status === 0) spawnSync('umount', ['-l', dir]);
    rmdirSync(dir);
  });
  if (status !== 0) {
    t.skip(`mount is not permitted: ${stderr.trim()}`);
    return undefined;
  }
  return join(dir, 'store');
}

/** Takes all the room there is, and returns the file that holds it. */
function fillDisk(dir: string): string {
  const filler = join(dir, 'filler');
  assert.throws(() => writeFileSync(filler, Buffer.alloc(8 * 2 ** 20)), { code: 'ENOSPC' });
  return filler;
}

/** About 60 kB that do not compress. */
function bigFlush(store: Store, bucket: number): CommitResult {
  const startUnixNs = noon + BigInt(bucket) * 10n * second;
  const stack = Array.from({ length: 100 }, () => randomBytes(400).toString('hex')).join(';');
  return writeFlush(store, { startUnixNs, rows: [{ series: series('a'), stack, count: 1 }] });
}

const window = windowOf(noon, 86_400 * 60);

test('old segments make room, and every flush is durable', async (t) => {
  const dir = smallDisk(t, 4096);
  if (dir === undefined) return;
  const log: string[] = [];
  const store = openStore(dir, { log: (line) => log.push(line) });
  const bucketsADay = 8640;
  for (let i = 0; i < 120; i++) {
    const result = bigFlush(store, Math.floor(i / 6) * bucketsADay + (i % 6));
    assert.deepEqual([result.isDurable, result.droppedFlushes], [true, 0], `flush ${i}`);
  }
  assert.ok(log.some((line) => line.includes('removed')));
  const request = { windows: [window], filter: {}, stream: 'cpu' };
  const answer = await store.query().aggregate(request);
  assert.ok(totalOf(answer.profile) >= 6 && totalOf(answer.profile) < 120);
  assert.equal(answer.coverage.completeness.brokenBlobs, 0);
  assert.deepEqual(await openFiles(dir).aggregate(request), answer);
  store.close();
});

test('without old segments: ballast, memory, counted loss; what was kept lands', async (t) => {
  const dir = smallDisk(t, 4096);
  if (dir === undefined) return;
  const log: string[] = [];
  const store = openStore(dir, { ballastBytes: 256 * 1024, log: (line) => log.push(line) });
  assert.ok(bigFlush(store, 0).isDurable);
  const filler = fillDisk(dir);
  const results = Array.from({ length: 20 }, (_, i) => bigFlush(store, 1 + i));
  assert.ok(log.some((line) => line.includes('ballast')));
  const durable = results.filter((r) => r.isDurable).length;
  assert.ok(durable >= 1 && durable < 14, `${durable} flushes lived off the ballast`);
  const waiting = 6;
  assert.equal(results.at(-1)!.droppedFlushes, 20 - durable - waiting);
  rmSync(filler);
  const last = bigFlush(store, 21);
  assert.equal(last.isDurable, true);
  const { profile, coverage } = await store
    .query()
    .aggregate({ windows: [window], filter: {}, stream: 'cpu' });
  assert.equal(totalOf(profile), 1 + durable + waiting + 1);
  assert.equal(coverage.completeness.missingBuckets, last.droppedFlushes);
  store.close();
});

test('flushes dropped inside a kept bucket are counted as lost there', async (t) => {
  const dir = smallDisk(t, 4096);
  if (dir === undefined) return;
  const store = openStore(dir);
  const rows = [{ series: series('a'), stack: 'f', count: 1 }];
  const delay = { stream: runq, rows: [{ key: [1, 'a', '/'], values: [1000] }] };
  const metrics = [
    { ...delay, counters: { captured: 1 } },
    { stream: faults, rows: [{ key: [0, 'sda'], values: [1] }] },
  ];
  const lengthNs = second / 5n;
  writeFlush(store, { startUnixNs: noon, lengthNs, rows, metrics });
  const filler = fillDisk(dir);
  let dropped = 0;
  for (let i = 1; i < 45; i++) {
    const stack = randomBytes(30_000).toString('hex');
    const startUnixNs = noon + (BigInt(i) * second) / 5n;
    const full = [{ series: series('a'), stack, count: 1 }];
    const flush = { startUnixNs, lengthNs, rows: full, metrics };
    dropped = writeFlush(store, flush).droppedFlushes;
  }
  assert.ok(dropped > 0);
  rmSync(filler);
  writeFlush(store, { startUnixNs: noon + 9n * second, lengthNs, rows, metrics });
  const { profile, coverage } = await store
    .query()
    .aggregate({ windows: [window], filter: {}, stream: 'cpu' });
  assert.equal(totalOf(profile), 46 - dropped);
  assert.equal(coverage.completeness.captured, 46 - dropped);
  assert.deepEqual(coverage.completeness.lost, { not_stored: dropped });
  const request = { window: windowOf(noon, 10), stepNs: 10n * second, filter: {} };
  const delays = await store.query().series({ ...request, stream: 'runq' });
  assert.equal(delays.kind === 'histogram' && delays.keys[0]!.values[0]!.count, 46 - dropped);
  assert.deepEqual(delays.counters, { captured: 46 - dropped, 'lost.not_stored': dropped });
  const counter = await store.query().series({ ...request, stream: 'faults' });
  assert.deepEqual(counter.keys[0]!.values, [46 - dropped]);
  assert.deepEqual(counter.counters, { 'lost.not_stored': dropped });
  store.close();
});

test('a store that cannot even begin says so once, and begins when there is room', async (t) => {
  const dir = smallDisk(t, 256);
  if (dir === undefined) return;
  const log: string[] = [];
  const store = openStore(dir, { log: (line) => log.push(line) });
  const filler = fillDisk(dir);
  const rows = [{ series: series('a'), stack: 'f', count: 1 }];
  const result = writeFlush(store, { startUnixNs: noon, rows });
  assert.deepEqual([result.isDurable, result.droppedFlushes], [false, 1]);
  assert.deepEqual(log.length, 1, log.join('\n'));
  rmSync(filler);
  assert.equal(writeFlush(store, { startUnixNs: noon + 10n * second, rows }).isDurable, true);
  store.close();
});
