// kill -9 in the middle of commits: what was acknowledged is there, once, and nothing is damaged.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { mergeHistograms } from '../../storage/model/histogram.js';
import { totalOf } from '../../storage/model/profile.js';
import { openFiles } from '../../storage/query.js';
import { noon, openStore, second, temporaryDir, windowOf } from './support.js';

const kills = 15;
const window = windowOf(noon, 86_400 * 30);

/** Numbers of the flushes that a writer acknowledged before it was killed. */
async function writeUntilKilled(dir: string, first: number, lifeMs: number): Promise<number[]> {
  const script = join(import.meta.dirname, 'writer-child.js');
  const child = spawn(process.execPath, [script, dir, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const acknowledged: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (acknowledged.length === 0) void sleep(lifeMs).then(() => child.kill('SIGKILL'));
    acknowledged.push(Number(line));
  }
  return acknowledged;
}

async function pidsIn(dir: string): Promise<number[]> {
  const query = openFiles(dir);
  const pids: number[] = [];
  for (let cursor: string | undefined, isComplete = false; !isComplete;) {
    const more = cursor === undefined ? {} : { cursor };
    const page = await query.events({ window, filter: {}, stream: 'exec', limit: 1000, ...more });
    pids.push(...page.events.map(({ values }) => Number(values['pid'])));
    ({ cursor, isComplete } = page);
  }
  return pids;
}

/** Delays, their sum, and the counter, of the whole store. */
async function metricsIn(dir: string): Promise<number[]> {
  const query = openFiles(dir);
  const request = { window, stepNs: 86_400n * second, filter: {}, by: [] };
  const [delays, counter] = await Promise.all(
    ['runq', 'faults'].map((stream) => query.series({ ...request, stream })),
  );
  assert.ok(delays?.kind === 'histogram' && counter?.kind === 'counter');
  const histogram = mergeHistograms(delays.keys[0]!.values.flatMap((value) => value ?? []));
  const counted = counter.keys[0]!.values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  return [histogram.count, histogram.sumNs, counted];
}

test(`${kills} kills: no acknowledged flush is lost or doubled`, async (t) => {
  const dir = temporaryDir(t);
  const acknowledged: number[] = [];
  let next = 0;
  for (let k = 0; k < kills; k++) {
    acknowledged.push(...(await writeUntilKilled(dir, next, 20 + ((k * 37) % 150))));
    const pids = await pidsIn(dir);
    assert.equal(new Set(pids).size, pids.length, 'none doubled');
    const kept = new Set(pids);
    assert.deepEqual(
      acknowledged.filter((i) => !kept.has(i)),
      [],
      'none lost',
    );
    assert.ok(
      pids.length <= acknowledged.length + k + 1,
      'at most the flush being acknowledged is there besides',
    );
    next = Math.max(...pids) + 1;
    const { profile, coverage } = await openFiles(dir).aggregate({
      windows: [window],
      filter: {},
      stream: 'cpu',
    });
    assert.equal(
      totalOf(profile),
      pids.length,
      'samples and events of a flush stand or fall together',
    );
    assert.equal(coverage.completeness.brokenBlobs, 0);
    const sumOfPids = pids.reduce((sum, pid) => sum + pid, 0);
    assert.deepEqual(await metricsIn(dir), [pids.length, sumOfPids, pids.length], 'metrics too');
  }
  openStore(dir).close();
  const segments = readdirSync(dir).filter((name) => /^seg-.*\.db$/.test(name));
  assert.ok(segments.length > 1, 'rotations were among them');
  for (const name of segments) {
    const db = new Database(join(dir, name), { readonly: true });
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    db.close();
  }
  assert.deepEqual(
    readdirSync(dir).filter((name) => /-(wal|shm)$/.test(name)),
    [],
  );
  t.diagnostic(`${acknowledged.length} acknowledged flushes, ${segments.length} segments`);
});
