// Damage to stores with histograms, counters and gauges: the rest is read, what is gone is counted.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { OperatingError } from '../../storage/model/errors.js';
import type { Query, SeriesAnswer } from '../../storage/model/query.js';
import { openFiles } from '../../storage/query.js';
import type { Store } from '../../storage/store.js';
import { seedRandomTests } from '../support/random.js';
import { faults, noon, openStore, runq, second, temporaryDir, windowOf } from './support.js';
import { writeFlush } from './support.js';

seedRandomTests('storage-metric-faults');

const flushes = 100;
const keys = 20;
const request = { window: windowOf(noon, 86_400), stepNs: 10n * second, filter: {} };

/** One delay and 1 of a counter a key and flush; new keys all the time, as processes come. */
function fill(store: Store, count: number): void {
  for (let i = 0; i < count; i++) {
    const numbers = Array.from({ length: keys }, (_, k) => i + k);
    const metrics = [
      { stream: runq, rows: numbers.map((n) => ({ key: [n, `c${n}`, '/'], values: [n * 1000] })) },
      { stream: faults, rows: numbers.map((n) => ({ key: [n, 'sda'], values: [1] })) },
    ];
    writeFlush(store, { startUnixNs: noon + BigInt(i) * 10n * second, metrics });
  }
}

function segmentIn(dir: string): string {
  return join(dir, readdirSync(dir).find((name) => /^seg-.*\.db$/.test(name))!);
}

function change(dir: string, sql: string): void {
  const db = new Database(segmentIn(dir));
  assert.ok(db.prepare(sql).run().changes > 0, 'there is something to damage');
  db.close();
}

/** Delays, or the counter's growth, of the whole answer. */
function totalOf(answer: SeriesAnswer): number {
  let total = 0;
  if (answer.kind === 'histogram') {
    for (const { values } of answer.keys) for (const value of values) total += value?.count ?? 0;
  } else {
    for (const { values } of answer.keys) for (const value of values) total += value ?? 0;
  }
  return total;
}

async function both(query: Query): Promise<SeriesAnswer[]> {
  return Promise.all(['runq', 'faults'].map((stream) => query.series({ ...request, stream })));
}

test('one damaged blob is left out and counted, and its stream alone', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 5);
  store.close();
  change(dir, "UPDATE live SET data = CAST(data || x'00' AS BLOB) WHERE id = 2");
  const [delays, counter] = await both(openFiles(dir));
  assert.deepEqual([totalOf(delays!), totalOf(counter!)], [4 * keys, 5 * keys]);
  assert.equal(delays!.coverage.completeness.brokenBlobs, 1);
  assert.equal(delays!.coverage.completeness.missingBuckets, 1);
  assert.equal(delays!.coveredNs[2], 0);
  assert.equal(counter!.coverage.completeness.brokenBlobs, 0);
});

test('lost keys show as (lost), their values stay', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 5);
  store.close();
  change(dir, "UPDATE dict SET data = x'00' WHERE kind = 4 AND first > 0 AND id % 2 = 0");
  const [delays] = await both(openFiles(dir));
  assert.equal(totalOf(delays!), 5 * keys);
  assert.ok(delays!.coverage.completeness.brokenBlobs > 0);
  assert.ok(delays!.keys.some(({ key }) => key.join() === '-1,(lost),(lost)'));
});

test('any one page is destroyed: the rest is read, or one OperatingError is thrown', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, flushes);
  store.close();
  const image = readFileSync(segmentIn(dir));
  const whole = flushes * keys;
  const damage = fc.record({
    page: fc.integer({ min: 1, max: image.length / 4096 - 1 }),
    how: fc.constantFrom('zero', 'noise', 'flip'),
    seed: fc.nat(255),
  });
  const totals: number[] = [];
  const property = fc.asyncProperty(damage, async ({ page, how, seed }) => {
    const copy = temporaryDir(t);
    const damaged = Buffer.from(image);
    const bytes = damaged.subarray(page * 4096, page * 4096 + 4096);
    if (how === 'flip') bytes[seed * 16]! ^= 1 << (seed & 7);
    else bytes.forEach((_, i) => (bytes[i] = how === 'zero' ? 0 : (i * 167 + seed * 31) & 0xff));
    writeFileSync(join(copy, segmentIn(dir).split('/').at(-1)!), damaged);
    try {
      for (const answer of await both(openFiles(copy))) {
        const { missingBuckets, brokenBlobs } = answer.coverage.completeness;
        const total = totalOf(answer);
        assert.ok(total === whole || (total < whole && missingBuckets + brokenBlobs > 0));
        totals.push(total);
      }
    } catch (error) {
      assert.ok(error instanceof OperatingError, String(error));
      totals.push(0);
    }
    const opened = openStore(copy);
    fill(opened, 1);
    opened.close();
  });
  await fc.assert(property, { numRuns: 20 });
  const median = totals.sort((a, b) => a - b)[totals.length >> 1]!;
  assert.ok(median > 0.9 * whole, `half of the damaged stores keep less than ${median} of ${whole}`);
});
