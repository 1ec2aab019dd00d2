// The daemon where the world is unkind: signals and foreign clients. What it says and how it ends is looked
// at, and that nothing it had is lost.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandPath, TestDaemon } from '../support/daemon.js';
import { until } from '../support/wait.js';
import { skipWithoutBpf } from './probe-support.js';

async function endedBy(...signals: readonly NodeJS.Signals[]): Promise<void> {
  const daemon = await TestDaemon.start([]);
  try {
    const exited = once(daemon.process, 'exit', { signal: AbortSignal.timeout(60_000) });
    for (const signal of signals) daemon.process.kill(signal);
    assert.deepEqual(await exited, [0, null], `${signals}: it said: ${daemon.stderr}`);
    const { coverage } = await daemon.aggregate();
    assert.equal(coverage.buckets, 1, `${signals}: the last flush is stored`);
  } finally {
    daemon.remove();
  }
}

test('each signal that asks for the end brings a last flush and exit code 0', { skip: skipWithoutBpf }, async () => {
  await endedBy('SIGINT');
  await endedBy('SIGTERM');
  await endedBy('SIGHUP');
});

test('a Ctrl-C that npm passes on beside the terminal is one', { skip: skipWithoutBpf }, async () => {
  await endedBy('SIGINT', 'SIGINT');
});

test('a follower goes on when the daemon was started anew, and ends on Ctrl-C', { skip: skipWithoutBpf }, async () => {
  let daemon = await TestDaemon.start(['--interval', '200ms']);
  spawnSync('/bin/true');
  await until(async () => (await daemon.events('exec')).length > 0, 'the first events are stored');
  const args = [commandPath, 'events', 'exec', '--follow', '--json', '--from', '-1m', '--data', daemon.dir];
  const follower = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  follower.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const sees = async (pid: number) => {
    for (let polls = 0; polls < 300 && !text.includes(`"pid":${pid},`); polls++) await sleep(100);
    assert.equal(text.split(`"pid":${pid},`).length, 2, `process ${pid} is told once`);
  };
  try {
    await sees(spawnSync('/bin/true').pid);
    await daemon.stop();
    daemon = await TestDaemon.start(['--interval', '200ms'], daemon.dir);
    await sees(spawnSync('/bin/true').pid);
    const exited = once(follower, 'exit', { signal: AbortSignal.timeout(30_000) });
    follower.kill('SIGINT');
    assert.deepEqual(await exited, [0, null]);
  } finally {
    follower.kill('SIGKILL');
    daemon.remove();
  }
});
