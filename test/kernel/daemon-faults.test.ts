// The daemon where the world is unkind: signals and foreign clients. What it says and how it ends is looked
// at, and that nothing it had is lost.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { TestDaemon } from '../support/daemon.js';
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
