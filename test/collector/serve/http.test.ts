// The HTTP server against callers who should not get in, or get anything out of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpOptions } from '../../../collector/serve/http.js';
import { HttpServer } from '../../../collector/serve/http.js';

const loopback: HttpOptions = {
  listen: '127.0.0.1:0',
  tokenFile: '',
  certificate: '',
  key: '',
  clientCa: '',
};

async function start(t: TestContext, more: Partial<HttpOptions> = {}): Promise<HttpServer> {
  const server = await HttpServer.start({ ...loopback, ...more }, (_, response) =>
    void response.end('figures\n'),
  );
  t.after(() => server.close());
  return server;
}

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'fk-http-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** All that the server says to these bytes until it ends the connection. */
async function say(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (part: string) => (answer += part));
  socket.on('error', () => undefined);
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return answer;
}

const statusOf = (answer: string) => answer.slice(0, 12).replace(/^HTTP\/1\.1 /, '');

test('one path, one method, and no names but those of this host', async (t) => {
  const { port } = await start(t);
  const ask = (line: string, host = `127.0.0.1:${port}`) =>
    say(port, `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  assert.match(await ask('GET /metrics'), /^HTTP\/1\.1 200 [^]*figures\n/);
  assert.match(await ask('GET /metrics?x=1', 'localhost'), /figures/);
  const refused = [
    ['GET /', '404'],
    ['GET /metrics/', '404'],
    ['GET //metrics', '404'],
    ['GET /../metrics', '404'],
    ['GET /%6detrics', '404'],
    ['GET /metrics%00', '404'],
    ['GET http://127.0.0.1/metrics', '404'],
    ['GET /etc/passwd', '404'],
    ['POST /metrics', '405'],
    ['DELETE /metrics', '405'],
  ] as const;
  for (const [line, status] of refused) {
    const answer = await ask(line);
    assert.equal(statusOf(answer), status, line);
    assert.ok(!answer.includes('figures'));
  }
  assert.equal(statusOf(await ask('GET /metrics', 'evil.example:80')), '403');
  assert.equal(statusOf(await ask('GET /metrics', '127.0.0.1.evil.example')), '403');
});

test('with a token, nothing is told to who has it not', async (t) => {
  const dir = folder(t);
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'correct-horse-battery\n');
  const server = await start(t, { listen: '0.0.0.0:0', tokenFile });
  const ask = (authorization: string, path = '/metrics') =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { authorization } });
  assert.equal((await ask('Bearer correct-horse-battery')).status, 200);
  for (const wrong of ['', 'Bearer', 'Bearer ', 'Bearer correct-horse-batterx', 'Basic Y29ycmVjdA==']) {
    assert.equal((await ask(wrong)).status, 401, wrong);
  }
  assert.equal((await ask('Bearer nope', '/nowhere')).status, 401);
  assert.equal(server.refused, 6);
  writeFileSync(tokenFile, 'short');
  await assert.rejects(start(t, { tokenFile }), { code: 'bad-config' });
});

test('other addresses, missing files and addresses that are none are refused at the start', async (t) => {
  const refused: Partial<HttpOptions>[] = [
    { listen: '0.0.0.0:0' },
    { listen: '[::]:0' },
    { listen: '127.0.0.1' },
    { listen: '127.0.0.1:70000' },
    { listen: '203.0.113.1:1', tokenFile: '/nowhere/token' },
    { certificate: '/nowhere/cert' },
    { certificate: '/nowhere/cert', key: '/nowhere/key' },
    { tokenFile: '/dev/zero' },
  ];
  for (const options of refused) {
    await assert.rejects(start(t, options), { code: 'bad-config' }, JSON.stringify(options));
  }
});

test('with a client certificate, callers without one of that authority get no answer', async (t) => {
  const dir = folder(t);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  for (const name of ['own', 'other']) {
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
      '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${name}.key`, '-out', `${name}.crt`);
  }
  const path = (name: string) => join(dir, name);
  const tls = { certificate: path('own.crt'), key: path('own.key'), clientCa: path('own.crt') };
  const { port } = await start(t, { listen: '0.0.0.0:0', ...tls });
  const ask = (name: string | undefined) =>
    new Promise<number | undefined>((resolve, reject) => {
      const own = name && { cert: readFileSync(path(`${name}.crt`)), key: readFileSync(path(`${name}.key`)) };
      const options = { port, host: '127.0.0.1', path: '/metrics', ca: readFileSync(path('own.crt')) };
      request({ ...options, ...own, agent: false }, ({ statusCode }) => resolve(statusCode))
        .once('error', reject)
        .end();
    });
  assert.equal(await ask('own'), 200);
  await assert.rejects(ask(undefined));
  await assert.rejects(ask('other'));
});

test('a header of 1 MB ends its connection; idle connections have a limit; others are answered', async (t) => {
  const server = await start(t);
  const { port } = server;
  const large = `GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(2 ** 20)}\r\n\r\n`;
  assert.ok(!(await say(port, large)).includes('figures'));
  assert.equal(await say(port, '\0\xff garbage\r\n\r\n'), '');

  const idle: Socket[] = [];
  let ended = 0;
  for (let i = 0; i < 1000; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).on('close', () => ended++);
    socket.resume();
    idle.push(socket);
    if (i % 50 === 49) await sleep(10);
  }
  t.after(() => idle.forEach((socket) => socket.destroy()));
  for (let i = 0; i < 100 && ended < 1000 - 64; i++) await sleep(50);
  assert.ok(ended >= 1000 - 64, `${ended} ended at once`);
  // Those that hold on are let go within the time for a request.
  const deadline = Date.now() + 30_000;
  while (ended < 1000 && Date.now() < deadline) await sleep(200);
  assert.equal(ended, 1000);
  assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
});
