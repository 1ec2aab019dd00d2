// series() over the socket: what a daemon answers equals what the files say, and what it refuses.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openQuery } from '../../../collector/serve/client.js';
import { decodeRequest, encodeRequest, PROTOCOL_VERSION } from '../../../collector/serve/protocol.js';
import { QueryServer } from '../../../collector/serve/server.js';
import type { SeriesRequest } from '../../../storage/model/query.js';
import { openFiles } from '../../../storage/query.js';
import { faults, load, noon, openStore, runq, second, windowOf } from '../../storage/support.js';
import { writeFlush } from '../../storage/support.js';

test('the daemon and its files give equal answers and equal refusals', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'fk-series-'));
  const store = openStore(dir);
  const server = new QueryServer({ query: store.query(), daemon: () => ({}), log: () => undefined });
  t.after(() => {
    server.close();
    store.close();
    rmSync(dir, { recursive: true });
  });
  for (let i = 0; i < 40; i++) {
    const keys = [i % 3, i % 7];
    const metrics = [
      { stream: runq, rows: keys.map((k) => ({ key: [k, `c${k}`, '/a'], values: [i, 1e6 * i] })) },
      { stream: faults, rows: keys.map((k) => ({ key: [k, 'sda'], values: [2 ** i] })) },
      { stream: load, rows: keys.map((k) => ({ key: [`d${k}`], values: [i / 8] })) },
    ];
    writeFlush(store, { startUnixNs: noon + BigInt(i) * 3n * second, lengthNs: 3n * second, metrics });
  }
  const path = join(dir, 'flamekeeper.sock');
  assert.equal(await server.listen(path, { mode: 0o600, group: '' }), undefined);
  const [daemon, files] = [await openQuery(dir), openFiles(dir)];
  const base = { window: windowOf(noon, 120), stepNs: 10n * second, filter: {} };
  const requests: SeriesRequest[] = [
    { ...base, stream: 'runq' },
    { ...base, stream: 'runq', by: [], stepNs: 60n * second },
    { ...base, stream: 'runq', filter: { pid: [1], comm: ['c1'] }, by: ['comm'] },
    { ...base, stream: 'faults' },
    { ...base, stream: 'faults', filter: { device: ['sda'] }, by: ['device'] },
    { ...base, stream: 'load' },
  ];
  for (const request of requests) {
    const answer = await daemon.series(request);
    assert.deepEqual(answer, await files.series(request));
    assert.ok(answer.keys.length > 0 && answer.coverage.buckets === 12);
  }
  const refused: SeriesRequest[] = [
    { ...base, stream: 'load', filter: { pid: [1] } },
    { ...base, stream: 'load', stepNs: 1n },
    { ...base, stream: 'load', window: windowOf(noon + 600n * second, 10) },
    { ...base, stream: 'none' },
  ];
  for (const request of refused) {
    const error = await files.series(request).then(() => assert.fail(), (e: Error) => e);
    await assert.rejects(daemon.series(request), { ...error, message: error.message });
  }
  daemon.close();
});

test('a request comes back as it was; what is none is refused', () => {
  const params = {
    window: { fromUnixNs: 1n, toUnixNs: 2n ** 62n },
    stepNs: 10n * second,
    filter: { device: ['sda'] },
    stream: 'runq',
    by: ['pid'],
  };
  const request = { v: PROTOCOL_VERSION, method: 'series' as const, params };
  assert.deepEqual(decodeRequest(encodeRequest(request).trim()), request);
  const bad = [{ stepNs: 10 }, { by: 'pid' }, { by: [1] }, { filter: { disk: ['a'] } }, { more: 1 }];
  for (const part of bad) {
    const line = encodeRequest({ ...request, params: { ...params, ...part } as never });
    assert.equal(typeof decodeRequest(line.trim()), 'string', JSON.stringify(part));
  }
});
