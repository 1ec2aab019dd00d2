// The daemon's process killed while it catches up: from its own cursor, every point arrives all the same.
//
//   store    |0 ................ 359|      gap      | the daemons' own buckets
//   arrives   0 1 ... k     kill -9     k+1 ... 359   (k again at most, if its answer was not noted)

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { faults, openStore, runq, writeFlush } from '../storage/support.js';
import { TestDaemon } from '../support/daemon.js';
import { OtlpReceiver } from '../support/otlp-receiver.js';
import type { ReceivedHistogram, ReceivedPoint } from '../support/otlp-receiver.js';
import { bucketNs } from '../support/push.js';
import { until } from '../support/wait.js';
import { skipWithoutBpf } from './probe-support.js';

const buckets = 360;
const names = ['flamekeeper.faults', 'flamekeeper.runq.latency'];

/** What the store of before holds of bucket i: i + 1 faults, a wait of i + 1 us by a process of its own. */
function expectedTexts(first: number): string[] {
  return Array.from({ length: buckets }, (_, i) => {
    const end = BigInt(first + i + 1) * bucketNs;
    return [`${end - bucketNs} ${end} faults ${i + 1}`, `${end - bucketNs} ${end} runq 1 ${(i + 1) / 1e6}`];
  }).flat();
}

function textOf({ name, startUnixNs, endUnixNs, value }: ReceivedPoint): string {
  const { count, sum } = value as ReceivedHistogram;
  const own = typeof value === 'number' ? `faults ${value}` : `runq ${count} ${sum}`;
  assert.ok(names.includes(name));
  return `${startUnixNs} ${endUnixNs} ${own}`;
}

test('a daemon killed while it catches up: every point once, in order, with its own time', {
  skip: skipWithoutBpf,
  timeout: 300_000,
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'fk-push-kill-'));
  const first = Math.floor(Date.now() / 10_000) - buckets - 30;
  const store = openStore(dir);
  for (let i = 0; i < buckets; i++) {
    writeFlush(store, {
      startUnixNs: BigInt(first + i) * bucketNs,
      lengthNs: bucketNs,
      metrics: [
        { stream: faults, rows: [{ key: [0, 'old'], values: [i + 1] }] },
        { stream: runq, rows: [{ key: [i, 'old', ''], values: [1000 * (i + 1)] }] },
      ],
    });
  }
  store.state.set({ 'otlp.next': first });
  store.close();
  const receiver = await OtlpReceiver.start('http/protobuf');
  t.after(() => receiver.close());
  const headers = join(dir, '..', `${basename(dir)}.headers`);
  writeFileSync(headers, 'X-Tenant=one two\n');
  t.after(() => rmSync(headers));
  const environment = {
    FLAMEKEEPER_EXPORT_OTLP_HEADERS_FILE: headers,
    FLAMEKEEPER_EXPORT_OTLP_COMPRESSION: 'gzip',
    FLAMEKEEPER_EXPORT_OTLP_ENDPOINT: receiver.url,
    FLAMEKEEPER_EXPORT_OTLP_TEMPORALITY: 'delta',
    FLAMEKEEPER_EXPORT_OTLP_CATCH_UP: '20',
    FLAMEKEEPER_EXPORT_PROCESSES: 'true',
  };
  const start = () => TestDaemon.start(['--interval', '1s'], dir, environment);
  /** Requests with what the store of before held. */
  const old = () =>
    receiver.requests
      .map((points) => points.filter(({ attributes: a }) => a['system.device'] === 'old' || a['process.executable.name'] === 'old'))
      .filter((points) => points.length > 0);

  const killed = await start();
  t.after(() => killed.remove());
  await until(() => old().length >= 120, 'it catches up');
  killed.process.kill('SIGKILL');
  await once(killed.process, 'exit');
  assert.ok(old().length < buckets, 'it is killed in the middle');
  const next = await start();
  t.after(() => next.remove());
  await until(() => old().length >= buckets, 'caught up');
  const query = await next.query();
  let lagSeconds = Infinity;
  for (let i = 0; i < 600 && lagSeconds > 20; i++) {
    const { daemon } = await query.status();
    lagSeconds = Number(daemon!['push.lagSeconds']);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const { daemon } = await query.status();
  query.close();
  await next.stop();

  const requests = old().map((points) => points.map(textOf).sort().join('\n'));
  const repeats = requests.filter((text, i) => requests.indexOf(text) !== i);
  assert.ok(repeats.length <= 1, `${repeats.length} came twice`);
  for (const text of repeats) assert.equal(requests.lastIndexOf(text) - requests.indexOf(text), 1, text);
  assert.ok(Number(daemon!['push.resends']) >= repeats.length);
  assert.deepEqual([...new Set(requests)].join('\n').split('\n'), expectedTexts(first));
  assert.equal(daemon!['push.refusedPoints'], 0);
  for (const sent of receiver.headers) {
    assert.deepEqual([sent['x-tenant'], sent['content-encoding']], ['one two', 'gzip']);
  }
  assert.equal(daemon!['push.skippedBuckets'], 0);
});
