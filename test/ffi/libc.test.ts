// libc through koffi: clocks against node's own, a process that becomes another,
// systemd's socket, errno by name.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { CallError, errnoName } from '../../ffi/errno.js';
import {
  clockOffsets,
  closeFd,
  drainUevents,
  execve,
  openUeventSocket,
  raiseMemlock,
  sendSdNotify,
} from '../../ffi/libc.js';
import { MemoryMap, pageSizeBytes } from '../../ffi/memory-map.js';
import { libcFunction, optionalLibcFunction } from '../../ffi/native.js';
import { cleanMappings, dropOwnText, trimHeap } from '../../ffi/own-memory.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('libc');

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-libc-'));
after(() => rmSync(folder, { recursive: true }));

test('clock offsets agree with node and with each other', () => {
  const { bootMinusMonotonicNs, unixMinusMonotonicNs } = clockOffsets();
  const unixMs = Number((process.hrtime.bigint() + unixMinusMonotonicNs) / 1_000_000n);
  assert.ok(Math.abs(unixMs - Date.now()) < 60_000);
  assert.ok(bootMinusMonotonicNs > -1_000_000n);
});

test('execve replaces the process, with arguments and environment', () => {
  const module = new URL('../../ffi/libc.js', import.meta.url).href;
  const second =
    'console.log(process.pid, process.execArgv.join(), process.env.MARK, process.argv[1])';
  const first = `import { execve } from ${JSON.stringify(module)};
    console.log(process.pid);
    const script = ${JSON.stringify(second)};
    const args = [process.execPath, '--max-semi-space-size=1', '-e', script, 'ü "x"'];
    execve(process.execPath, args, { MARK: 'käse', PATH: process.env.PATH });`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', first], {
    encoding: 'utf8',
  });
  const [before, after] = stdout.trim().split('\n');
  assert.match(after ?? '', new RegExp(`^${before} --max-semi-space-size=1.* käse ü "x"$`));
  assert.equal(execve('/nowhere/at/all', ['x'], {}), 'ENOENT');
});

test('systemd is told, by path and by abstract name', () => {
  const socket = libcFunction('socket', 'int', ['int', 'int', 'int']);
  const bind = libcFunction('bind', 'int', ['int', 'void *', 'uint32_t']);
  const recv = libcFunction('recv', 'long', ['int', 'void *', 'size_t', 'int']);
  for (const name of [join(folder, 'notify'), `@flamekeeper-test-${process.pid}`]) {
    const fd = socket(1, 2 | 0o4000, 0) as number;
    const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(name)]);
    if (name.startsWith('@')) address[2] = 0;
    assert.equal(bind(fd, address, address.length), 0);
    process.env['NOTIFY_SOCKET'] = name;
    assert.equal(sendSdNotify('READY=1\nSTATUS=ok'), true);
    const text = Buffer.alloc(100);
    assert.equal(
      text.toString('utf8', 0, recv(fd, text, text.length, 0) as number),
      'READY=1\nSTATUS=ok',
    );
    closeFd(fd);
  }
  for (const bad of ['', 'relative', `/${'x'.repeat(200)}`, join(folder, 'nobody')]) {
    process.env['NOTIFY_SOCKET'] = bad;
    assert.equal(sendSdNotify('READY=1'), false);
  }
  delete process.env['NOTIFY_SOCKET'];
  assert.equal(sendSdNotify('READY=1'), false);
});

test('the uevent socket opens and is empty', () => {
  const opened = openUeventSocket();
  if ('errno' in opened) return assert.equal(opened.errno, 'EPERM');
  assert.equal(typeof drainUevents(opened.fd), 'boolean');
  assert.equal(drainUevents(opened.fd), false);
  closeFd(opened.fd);
});

test('limits and memory are asked for without harm', () => {
  const memlock = raiseMemlock();
  assert.ok('ok' in memlock || memlock.errno === 'EPERM');
  trimHeap();
  const before = process.memoryUsage.rss();
  const dropped = dropOwnText();
  console.log(
    `${(before / 1e6).toFixed(1)} MB resident, ${(dropped / 1e6).toFixed(1)} MB of it dropped`,
  );
  assert.equal(optionalLibcFunction('no_such_function', 'int', []), undefined);
  const request = { lengthBytes: pageSizeBytes, offsetBytes: 0, isWritable: false };
  const isBadFd = (error: unknown): boolean =>
    error instanceof CallError && error.errno === 'EBADF';
  assert.throws(() => new MemoryMap(987_654, request), isBadFd);
});

test('mappings with pages of their own are not dropped', () => {
  const block = (range: string, permissions: string, path: string, own: number) =>
    `${range} ${permissions} 00000000 fe:00 1 ${' '.repeat(10)}${path}\n` +
    `Rss:     8 kB\nPrivate_Dirty: 0 kB\nAnonymous: ${own} kB\n`;
  const smaps = [
    block('1000-3000', 'r-xp', '/n', 0),
    block('3000-4000', 'r-xp', '/n', 4),
    block('4000-5000', 'rw-p', '/n', 0),
    block('5000-6000', 'r-xp', '/other', 0),
    block('6000-7000', 'r--p', '/n', 0),
  ].join('');
  assert.deepEqual(cleanMappings(smaps, '/n'), [
    { start: 0x1000n, lengthBytes: 0x2000, residentBytes: 8192 },
    { start: 0x6000n, lengthBytes: 0x1000, residentBytes: 8192 },
  ]);
  fc.assert(fc.property(fc.string(), (text) => void cleanMappings(text, '/n')));
});

test('errno by name', () => {
  const names = [2, -2, 524, 0, 4000].map(errnoName);
  assert.deepEqual(names, ['ENOENT', 'ENOENT', 'ENOTSUPP', 'errno 0', 'errno 4000']);
  const numbers = fc.oneof(fc.integer(), fc.double());
  fc.assert(fc.property(numbers, (value) => assert.equal(typeof errnoName(value), 'string')));
});
