// The socket between clients that are not what they should be: floods, silence, halves and garbage, while
// others ask and are answered.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setImmediate as afterLoop } from 'node:timers/promises';
import fc from 'fast-check';
import { openQuery } from '../../../collector/serve/client.js';
import { QueryServer } from '../../../collector/serve/server.js';
import type { Query, StatusAnswer } from '../../../storage/model/query.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('server');

const emptyStatus: StatusAnswer = { dataDir: '/d', sizeBytes: 0, segments: [], quarantined: [], streams: [] };
const statusLine = '{"v":1,"method":"status","params":{}}\n';

interface Served {
  readonly dir: string;
  readonly path: string;
  readonly server: QueryServer;
  /** How many questions reached the query. */
  readonly asked: () => number;
}

async function serve(t: TestContext): Promise<Served> {
  const dir = mkdtempSync(join(tmpdir(), 'fk-serve-'));
  let asked = 0;
  const status = async () => {
    asked++;
    return emptyStatus;
  };
  const query = { status } as Query;
  const server = new QueryServer({ query, daemon: () => ({ 'run.pid': 1 }), log: () => undefined });
  const path = join(dir, 'flamekeeper.sock');
  assert.equal(await server.listen(path, { mode: 0o600, group: '' }), undefined);
  t.after(() => {
    server.close();
    rmSync(dir, { recursive: true });
  });
  return { dir, path, asked: () => asked, server };
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path).on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function isAnswered(dir: string): Promise<void> {
  const query = await openQuery(dir);
  assert.deepEqual(await query.status(), { ...emptyStatus, daemon: { 'run.pid': 1 } });
  query.close();
}

test('clients that only hold on keep nobody out', async (t) => {
  const { dir, path } = await serve(t);
  const silent = await Promise.all(Array.from({ length: 200 }, () => open(path)));
  await isAnswered(dir);
  for (const socket of silent) socket.destroy();
});

test('who asks without end keeps nobody from asking, and takes the rest along on leaving', async (t) => {
  const { dir, path, asked } = await serve(t);
  const socket = await open(path);
  socket.write(statusLine.repeat(1500));
  await once(socket, 'data');
  await isAnswered(dir);
  socket.destroy();
  while (!socket.closed) await afterLoop();
  await isAnswered(dir);
  assert.ok(asked() < 1500, `${asked()} questions answered`);
});

test('whatever bytes come, the next client is answered', async (t) => {
  const { dir, path } = await serve(t);
  const lines = fc.json().map((json) => Buffer.from(`${json}\n`));
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 3000 }), lines);
  await fc.assert(
    fc.asyncProperty(bytes, async (data) => {
      const socket = await open(path);
      socket.end(data);
      await once(socket.resume(), 'close');
    }),
    { numRuns: 50 },
  );
  await isAnswered(dir);
});

test('a daemon that goes away is told to whoever asks it next', async (t) => {
  const { dir, server } = await serve(t);
  const query = await openQuery(dir);
  await query.status();
  server.close();
  await afterLoop();
  await assert.rejects(query.status(), { code: 'daemon-unreachable' });
  await assert.rejects(query.status(), { code: 'daemon-unreachable' });
});
