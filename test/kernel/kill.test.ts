// kill -9 under load, at any time and in the middle of commits: what was acknowledged is stored once, and
// nothing of ours stays in the kernel. bench/kill.ts does the same sixty times.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { KilledDaemon } from '../support/kills.js';
import type { Death } from '../support/kills.js';
import { buildKnownProgram, buildProgram } from '../support/programs.js';
import { skipWithoutBpf } from './probe-support.js';

const args = ['--frequency', '199', '--interval', '200ms'];

test('six kills lose, double and leave behind nothing', { skip: skipWithoutBpf }, async (t) => {
  const known = buildKnownProgram('known-kills');
  const storm = buildProgram('storm.c', 'storm-kills', ['-O1']);
  const stall = buildProgram('stall-commit.c', 'stall-commit.so', ['-shared', '-fPIC']);
  const daemon = new KilledDaemon(args, stall);
  const load = [
    spawn(known, ['600'], { stdio: 'ignore' }),
    spawn(storm, ['1000000', '50', '1000', storm], { stdio: 'ignore' }),
  ];
  t.after(() => {
    for (const program of load) program.kill('SIGKILL');
    daemon.remove();
  });
  const deaths: Death[] = [];
  for (const n of [1, 2]) {
    deaths.push(await daemon.killAfter(700 * n));
    deaths.push(await daemon.killInside('write', 40 + 17 * n));
    deaths.push(await daemon.killInside('sync', 4 + n));
  }
  for (const { kernelObjects, perfEvents, lostOrDoubled, damaged, leftBehind } of deaths) {
    assert.ok(kernelObjects > 0 && perfEvents > 0, 'it had something in the kernel to leave behind');
    assert.deepEqual(lostOrDoubled, []);
    assert.deepEqual(damaged, []);
    assert.deepEqual(leftBehind, []);
  }
  assert.deepEqual(await daemon.finish(), [], 'the last daemon goes on with the same store');
  const acknowledged = deaths.reduce((sum, death) => sum + death.acknowledged, 0);
  assert.ok(acknowledged >= 10 && daemon.samples > 500, `${acknowledged} flushes, ${daemon.samples} samples`);
});
