// The socket with a query of its own behind it: answers, operating errors and bugs come over.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openQuery } from '../../../collector/serve/client.js';
import { QueryServer } from '../../../collector/serve/server.js';
import { OperatingError } from '../../../storage/model/errors.js';
import type { Query } from '../../../storage/model/query.js';

const dir = mkdtempSync(join(tmpdir(), 'fk-socket-'));
const path = join(dir, 'flamekeeper.sock');
const asked: unknown[] = [];
const query: Query = {
  aggregate: (request) => {
    asked.push(request);
    return Promise.reject(new OperatingError('empty-window', 'nothing there', 'look elsewhere'));
  },
  events: () => Promise.reject(new Error('a bug')),
  series: () => Promise.reject(new Error('a bug')),
  status: () => Promise.resolve({ dataDir: dir, sizeBytes: 2 ** 40, segments: [], quarantined: [], streams: [] }),
  close: () => undefined,
};
const logged: string[] = [];
const server = new QueryServer({ query, daemon: () => ({ pid: 5 }), log: (text) => logged.push(text) });
const window = { fromUnixNs: 1n, toUnixNs: 2n ** 61n };

before(async () => assert.equal(await server.listen(path, { mode: 0o660, group: '' }), undefined));
after(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

test('only owner and group may ask', () => {
  assert.equal(statSync(path).mode & 0o777, 0o660);
});

test('answers, operating errors and bugs come over', async () => {
  const client = await openQuery(dir);
  const status = await client.status();
  assert.deepEqual([status.sizeBytes, status.daemon], [2 ** 40, { pid: 5 }]);
  const request = { windows: [window], filter: { comm: ['x'] }, stream: 'cpu' };
  await assert.rejects(client.aggregate(request), { code: 'empty-window', message: 'nothing there', hint: 'look elsewhere' });
  assert.deepEqual(asked, [request]);
  await assert.rejects(client.events({ window, filter: {}, stream: 'exec', limit: 1 }), { code: 'daemon-unreachable' });
  assert.match(logged.join(), /a bug/);
  client.close();
});
