// What can go wrong with the directory: damage, another owner, other
// programs, newer versions, no rights.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { OperatingError } from '../../storage/model/errors.js';
import { checkValid, totalOf } from '../../storage/model/profile.js';
import { openFiles } from '../../storage/query.js';
import type { Store } from '../../storage/store.js';
import { seedRandomTests } from '../support/random.js';
import { noon, openStore, second, series, temporaryDir, windowOf, writeFlush } from './support.js';

seedRandomTests('storage-faults');

const request = { windows: [windowOf(noon - 3600n * second, 86_400)], filter: {}, stream: 'cpu' };

function fill(store: Store, flushes: number): void {
  for (let i = 0; i < flushes; i++) {
    const names = Array.from({ length: 30 }, (_, k) => `f${i}_${k}`);
    const rows = names.map((name) => ({
      series: series(`s${name}`),
      stack: `main;${name}`,
      count: 1,
    }));
    writeFlush(store, { startUnixNs: noon + BigInt(i) * 10n * second, rows });
  }
}

function segmentsIn(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => /^seg-.*\.db$/.test(name))
    .sort();
}

function change(path: string, sql: string): void {
  const db = new Database(path);
  db.exec(sql);
  db.close();
}

test('a second owner is refused, in this process and in another', (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  const refused = (error: unknown) =>
    error instanceof OperatingError && error.code === 'store-locked' && error.message.includes(dir);
  assert.throws(() => openStore(dir), refused);
  const module = pathToFileURL(join(import.meta.dirname, '../../storage/store.js')).href;
  const script = `
    import { Store } from '${module}';
    try {
      Store.open({ dir: ${JSON.stringify(dir)}, maxAgeMs: 1e9 });
    } catch (error) {
      process.stdout.write(error.code);
    }`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal(child.stdout, 'store-locked', child.stderr);
  store.close();
  openStore(dir).close();
});

test('a directory of another program is refused and not changed', async (t) => {
  for (const name of ['state.db', 'other.db', 'seg-20250101T000000Z-1.db']) {
    const dir = temporaryDir(t);
    change(join(dir, name), 'CREATE TABLE theirs(a)');
    const before = readFileSync(join(dir, name));
    assert.throws(() => openStore(dir), { code: 'store-foreign' }, name);
    if (name !== 'state.db') assert.throws(() => openFiles(dir), { code: 'store-foreign' }, name);
    assert.deepEqual(readdirSync(dir), [name]);
    assert.deepEqual(readFileSync(join(dir, name)), before);
  }
  const text = temporaryDir(t);
  writeFileSync(
    join(text, 'state.db'),
    'a text file, longer than the header of a database'.repeat(9),
  );
  assert.throws(() => openStore(text), { code: 'store-foreign' });
});

test('no data: an empty directory, none at all, a file in its place', async (t) => {
  const dir = temporaryDir(t);
  assert.throws(() => openFiles(dir), { code: 'no-data' });
  assert.throws(() => openFiles(join(dir, 'none')), { code: 'no-data' });
  writeFileSync(join(dir, 'file'), '');
  assert.throws(() => openFiles(join(dir, 'file')), { code: 'store-failed' });
  assert.throws(() => openStore(join(dir, 'file')), { code: 'store-failed' });
  const store = openStore(join(dir, 'new'));
  await assert.rejects(store.query().aggregate(request), { code: 'no-data' });
  store.close();
});

test('a segment of a newer version is left out and not changed; alone it is refused', async (t) => {
  const dir = temporaryDir(t);
  let store = openStore(dir);
  fill(store, 1);
  store.close();
  const [newer] = segmentsIn(dir);
  change(join(dir, newer!), 'PRAGMA user_version = 2');
  const before = readFileSync(join(dir, newer!));
  assert.throws(() => openFiles(dir), { code: 'store-newer' });
  const log: string[] = [];
  store = openStore(dir, { log: (line) => log.push(line) });
  fill(store, 2);
  assert.equal(totalOf((await store.query().aggregate(request)).profile), 60);
  store.close();
  assert.equal(log.filter((line) => line.includes('newer')).length, 1);
  assert.deepEqual(readFileSync(join(dir, newer!)), before);
  assert.equal(totalOf((await openFiles(dir).aggregate(request)).profile), 60);
  change(join(dir, 'state.db'), 'PRAGMA user_version = 9');
  assert.throws(() => openStore(dir), { code: 'store-newer' });
});

test('what a newer version or another program wrote is not removed for its age', async (t) => {
  const dir = temporaryDir(t);
  let store = openStore(dir);
  fill(store, 1);
  store.close();
  const [newer] = segmentsIn(dir);
  const foreign = 'seg-20200101T000000Z-0.db';
  copyFileSync(join(dir, newer!), join(dir, foreign));
  change(join(dir, newer!), 'PRAGMA user_version = 2');
  change(join(dir, foreign), 'PRAGMA application_id = 7');
  const nowMs = Number(noon / 1_000_000n) + 9 * 86_400_000;
  store = openStore(dir, { maxAgeMs: 86_400_000, now: () => nowMs });
  for (let day = 7; day < 9; day++) {
    const startUnixNs = noon + BigInt(day) * 86_400n * second;
    writeFlush(store, { startUnixNs, rows: [{ series: series('a'), stack: 'f', count: 1 }] });
  }
  store.close();
  assert.deepEqual(segmentsIn(dir).slice(0, 2), [foreign, newer]);
});

test('a broken newest segment goes to quarantine, a new one is begun', async (t) => {
  const dir = temporaryDir(t);
  let store = openStore(dir);
  fill(store, 3);
  store.close();
  const [broken] = segmentsIn(dir);
  writeFileSync(join(dir, broken!), 'no longer a database '.repeat(999));
  const log: string[] = [];
  store = openStore(dir, { log: (line) => log.push(line) });
  assert.deepEqual(segmentsIn(dir), []);
  fill(store, 1);
  const status = await store.query().status();
  assert.deepEqual(status.quarantined, [broken]);
  assert.match(status.segments[0]!.name, /-2\.db$/, 'numbers are not used again');
  assert.match(log[0]!, /quarantine/);
  store.close();
});

test('a half made segment is cleaned away', (t) => {
  const dir = temporaryDir(t);
  openStore(dir).close();
  writeFileSync(join(dir, 'seg-20250101T000000Z-1.db.tmp'), 'x');
  openStore(dir).close();
  assert.deepEqual(readdirSync(dir), ['state.db']);
});

test('one damaged blob is left out and counted', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 5);
  store.close();
  const path = join(dir, segmentsIn(dir)[0]!);
  change(
    path,
    `UPDATE live SET data = CAST(substr(data, 1, 60) || x'aabb' || substr(data, 63) AS BLOB)
    WHERE id = 2`,
  );
  const { profile, coverage } = await openFiles(dir).aggregate(request);
  assert.equal(totalOf(profile), 120);
  assert.equal(coverage.buckets, 4);
  assert.equal(coverage.completeness.brokenBlobs, 1);
  assert.equal(coverage.completeness.missingBuckets, 1);
});

test('a lost dictionary chunk shows as (lost), and the segment is not gone on with', async (t) => {
  const dir = temporaryDir(t);
  let store = openStore(dir);
  fill(store, 3);
  store.close();
  const [segment] = segmentsIn(dir);
  change(
    join(dir, segment!),
    `UPDATE dict SET data = x'00' WHERE kind = 1 AND first > 1 AND first < 40`,
  );
  const { profile, coverage } = await openFiles(dir).aggregate(request);
  checkValid(profile);
  assert.equal(totalOf(profile), 90, 'the counts are kept');
  assert.equal(coverage.completeness.brokenBlobs, 1);
  assert.ok(profile.functions.some(({ name }) => name === '(lost)'));
  store = openStore(dir);
  fill(store, 1);
  assert.equal(segmentsIn(dir).length, 2);
  store.close();
});

test('any one page is destroyed: the rest is read, or one OperatingError is thrown', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 200);
  store.close();
  const [segment] = segmentsIn(dir);
  const image = readFileSync(join(dir, segment!));
  const pages = image.length / 4096;
  const damage = fc.record({
    page: fc.integer({ min: 1, max: pages - 1 }),
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
    writeFileSync(join(copy, segment!), damaged);
    try {
      const { profile, coverage } = await openFiles(copy).aggregate(request);
      checkValid(profile);
      const total = totalOf(profile);
      assert.ok(total <= 6000, 'damage adds nothing');
      assert.ok(
        total === 6000 ||
          coverage.completeness.missingBuckets > 0 ||
          coverage.completeness.brokenBlobs > 0,
      );
      totals.push(total);
    } catch (error) {
      assert.ok(error instanceof OperatingError, String(error));
      totals.push(0);
    }
    const opened = openStore(copy);
    fill(opened, 1);
    opened.close();
  });
  await fc.assert(property, { numRuns: 60 });
  const median = totals.sort((a, b) => a - b)[totals.length >> 1]!;
  assert.ok(
    median > 0.9 * 6000,
    `half of the damaged stores keep less than ${median} of 6000 samples`,
  );
});

test('the last page of rows is destroyed: those before it are read', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 200);
  store.close();
  const path = join(dir, segmentsIn(dir)[0]!);
  const db = new Database(path);
  const leaves = db.prepare(
    `SELECT pageno FROM dbstat WHERE name = 'live' AND pagetype = 'leaf' ORDER BY path DESC`,
  );
  const page = leaves.pluck().get() as number;
  db.close();
  const image = readFileSync(path);
  writeFileSync(path, image.fill(0, (page - 1) * 4096, page * 4096));
  const files = openFiles(dir);
  const { profile, coverage } = await files.aggregate(request);
  assert.ok(totalOf(profile) > 0.9 * 6000 && totalOf(profile) < 6000);
  assert.ok(coverage.completeness.brokenBlobs > 0);
  const status = await files.status();
  assert.equal(status.segments[0]!.buckets, coverage.buckets);
  openStore(dir).close();
  assert.equal(readdirSync(join(dir, 'quarantine')).length, 1);
});

test('reading writes nothing: closed, copied while open, left by a killed daemon', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 3);
  const killed = temporaryDir(t);
  for (const name of readdirSync(dir)) copyFileSync(join(dir, name), join(killed, name));
  const walOnly = temporaryDir(t);
  copyFileSync(join(dir, segmentsIn(dir)[0]!), join(walOnly, segmentsIn(dir)[0]!));
  const open = readdirSync(dir);
  const answer = await openFiles(dir).aggregate(request);
  assert.deepEqual(readdirSync(dir), open, 'beside a daemon');
  store.close();
  for (const [copy, total] of [
    [dir, 90],
    [killed, 90],
    [walOnly, 0],
  ] as const) {
    const before = readdirSync(copy);
    if (total === 0) await assert.rejects(openFiles(copy).aggregate(request), { code: 'usage' });
    else assert.deepEqual(await openFiles(copy).aggregate(request), answer);
    assert.deepEqual(readdirSync(copy), before);
  }
  const recovered = openStore(killed);
  assert.deepEqual(await recovered.query().aggregate(request), answer);
  recovered.close();
});

test('a journal that a killed daemon left is rolled back in a copy, not in place', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  fill(store, 3);
  store.close();
  const answer = await openFiles(dir).aggregate(request);
  const [segment] = segmentsIn(dir);
  const killed = temporaryDir(t);
  const db = new Database(join(dir, segment!));
  db.pragma('cache_size = 1');
  db.exec('BEGIN; UPDATE live SET data = zeroblob(20000); UPDATE dict SET data = zeroblob(20000)');
  for (const end of ['', '-journal']) {
    copyFileSync(join(dir, segment! + end), join(killed, segment! + end));
  }
  db.close();
  const before = readFileSync(join(killed, segment!));
  assert.deepEqual(await openFiles(killed).aggregate(request), answer);
  assert.deepEqual(readFileSync(join(killed, segment!)), before);
  assert.equal(readdirSync(killed).length, 2);
  openStore(killed).close();
  assert.deepEqual(readdirSync(killed), [segment, 'state.db']);
  assert.deepEqual(await openFiles(killed).aggregate(request), answer);
});

test('a directory that cannot be made is one clear error', (t) => {
  const dir = temporaryDir(t);
  mkdirSync(join(dir, 'a'));
  writeFileSync(join(dir, 'a', 'b'), '');
  assert.throws(() => openStore(join(dir, 'a', 'b', 'c')), {
    code: 'store-failed',
    message: /cannot be used/,
  });
  assert.throws(() => openStore('/proc/none/c'), {
    code: 'store-failed',
    message: /cannot be used/,
  });
});
