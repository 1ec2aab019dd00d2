// Strangers at the daemon's HTTP port: they get nothing, and a busy program is sampled all the while.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { totalOf } from '../../storage/model/profile.js';
import { TestDaemon } from '../support/daemon.js';
import { buildKnownProgram } from '../support/programs.js';
import { skipWithoutBpf } from './probe-support.js';

const frequency = 999;
const token = 'the-token-of-this-test';
const ticksPerSecond = 100;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** utime and stime. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** What the server says to these bytes until it ends the connection, or 5 s have passed. */
async function say(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (part: string) => (answer += part));
  socket.on('error', () => undefined);
  socket.setTimeout(5000, () => socket.destroy());
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return answer;
}

function holdConnections(t: TestContext, port: number, count: number): void {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    sockets.push(socket);
  }
  t.after(() => sockets.forEach((socket) => socket.destroy()));
}

const statuses = ['', '401', '401', '401', '404', '404', '404', '404', ''];

/** Answers to one round of requests that no one should send; alone they get `statuses`. */
async function attack(port: number): Promise<string[]> {
  const get = (path: string, more = '') =>
    say(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${more}\r\n`);
  const own = `Authorization: Bearer ${token}\r\n`;
  return Promise.all([
    get('/metrics', `X: ${'x'.repeat(2 ** 20)}\r\n${own}`),
    get('/metrics'),
    get('/metrics', 'Authorization: Bearer the-token-of-this-tesu\r\n'),
    get('/metrics', `Authorization: Bearer ${'t'.repeat(10_000)}\r\n`),
    get('/../metrics', own),
    get('/metrics/../../etc/passwd', own),
    get('/%2e%2e/%6detrics', own),
    get('//metrics', own),
    say(port, '\0\xff\x16\x03\x01 garbage\r\n\r\n'),
  ]);
}

test('whatever comes at the HTTP port, nothing is told and sampling goes on', {
  skip: skipWithoutBpf,
  timeout: 240_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fk-attack-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'token'), token);
  const port = await freePort();
  const daemon = await TestDaemon.start(['--frequency', String(frequency)], undefined, {
    FLAMEKEEPER_HTTP_LISTEN: `127.0.0.1:${port}`,
    FLAMEKEEPER_HTTP_TOKEN_FILE: join(folder, 'token'),
  });
  t.after(() => daemon.remove());
  const busy = spawn(buildKnownProgram('attack-busy'), ['1000'], { stdio: 'ignore' });
  t.after(() => busy.kill('SIGKILL'));

  const answers: string[] = [];
  for (let round = 0; round < 8; round++) {
    const told = await attack(port);
    assert.deepEqual(told.map((answer) => answer.slice(9, 12)), statuses);
    answers.push(...told);
  }
  holdConnections(t, port, 1000);
  for (let round = 0; round < 10; round++) {
    answers.push(...(await attack(port)));
    await sleep(300);
  }
  const usedSeconds = cpuSeconds(busy.pid!);
  busy.kill('SIGKILL');
  for (const answer of answers) {
    assert.ok(!answer.includes('flamekeeper_') && !answer.includes('root:'), answer.slice(0, 200));
    assert.match(answer, /^(?:$|HTTP\/1\.1 (?:401|404) )/);
  }
  const query = await daemon.query();
  const { daemon: figures } = await query.status();
  query.close();
  assert.ok(Number(figures!['prometheus.refused']) >= 900, 'who was turned away is counted');
  await daemon.stop();

  const { profile, coverage } = await daemon.aggregate({ comm: ['attack-busy'] });
  const { expected, captured, idle, notFired, lost, unexplained } = coverage.completeness;
  const said = JSON.stringify({ expected, captured, idle, notFired, lost });
  const lostAll = Object.values(lost).reduce((sum, count) => sum + count, 0);
  assert.ok(lostAll <= expected * 0.001, said);
  assert.ok(Math.abs(unexplained) <= expected * 0.002, said);
  const samples = totalOf(profile);
  const due = usedSeconds * frequency;
  // The program goes on for the moment between being read and killed.
  const tolerance = 3 * Math.sqrt(due) + 0.03 * frequency;
  assert.ok(Math.abs(samples - due) <= tolerance, `${samples} samples, ${due} due; ${said}`);
});
