// The daemon as a whole, against programs of which it is known what they do.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { functionLabel } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import { nodeSums, totalOf } from '../../storage/model/profile.js';
import { TestDaemon, withDaemon } from '../support/daemon.js';
import { buildKnownProgram, buildProgram, runForSeconds, runProgram, runStorm } from '../support/programs.js';
import { until } from '../support/wait.js';
import { skipWithoutBpf } from './probe-support.js';

/** Total of the frames with these labels from some frame down to the last one. */
function totalUnder(profile: Profile, path: readonly string[]): number {
  const { total } = nodeSums(profile);
  const label = (node: number) => functionLabel(profile.functions[profile.nodeFunctions[node]!]!);
  let sum = 0;
  for (let node = 1; node < profile.parents.length; node++) {
    let at = node;
    const fits = [...path].reverse().every((name) => {
      const isHere = at !== 0 && label(at) === name;
      at = profile.parents[at]!;
      return isHere;
    });
    if (fits) sum += total[node]!;
  }
  return sum;
}

function isNear(part: number, whole: number, percent: number, points: number): void {
  const actual = (part / whole) * 100;
  assert.ok(Math.abs(actual - percent) <= points, `${actual.toFixed(1)} % is ${percent} % within ${points} points`);
}

test('a known program has its known shares, at every level', { skip: skipWithoutBpf }, async () => {
  const program = buildKnownProgram('known-shares');
  await withDaemon(
    ['--frequency', '999'],
    async () => void (await runProgram(program, ['8'])),
    async (daemon) => {
      const { profile } = await daemon.aggregate({ comm: ['known-shares'] });
      const whole = totalUnder(profile, ['main', 'round_of_work']);
      assert.ok(whole >= 6000, `${whole} samples`);
      isNear(totalUnder(profile, ['round_of_work', 'share_10']), whole, 10, 2);
      isNear(totalUnder(profile, ['round_of_work', 'share_20']), whole, 20, 2);
      isNear(totalUnder(profile, ['round_of_work', 'share_70']), whole, 70, 2);
      const leaf = totalUnder(profile, ['shared_leaf']);
      isNear(totalUnder(profile, ['share_70', 'left_30', 'shared_leaf']), leaf, 30, 2);
      isNear(totalUnder(profile, ['share_70', 'right_70', 'shared_leaf']), leaf, 70, 2);
    },
  );
});

test('after an exec no sample carries a name of the image before', { skip: skipWithoutBpf }, async () => {
  const program = buildKnownProgram('known-exec');
  await withDaemon(
    ['--frequency', '999'],
    async () => void (await runProgram('/bin/bash', ['-c', `i=0; while ((i < 200000)); do ((i++)); done; exec ${program} 4`])),
    async (daemon) => {
      const { profile } = await daemon.aggregate({ comm: ['known-exec'] });
      const modules = new Set(profile.functions.filter(({ frameType }) => frameType === 'native').map(({ module }) => module.name));
      assert.ok(totalOf(profile) > 1000, `${totalOf(profile)} samples`);
      assert.ok(!modules.has('bash'), [...modules].join(' '));
      const before = (await daemon.aggregate({ comm: ['bash'] })).profile;
      const names = before.functions.map(({ name }) => name);
      assert.ok(totalOf(before) > 20);
      assert.ok(!names.includes('round_of_work'));
    },
  );
});

for (const frequency of [47, 999]) {
  test(`every tick of ${frequency} Hz is accounted for`, { skip: skipWithoutBpf }, async () => {
    const program = buildKnownProgram('known-ticks');
    await withDaemon(
      ['--frequency', String(frequency), '--interval', '1s'],
      async () => {
        await sleep(2000);
        await runProgram(program, ['3']);
      },
      async (daemon) => {
        const { coverage, profile } = await daemon.aggregate();
        const { expected, captured, idle, notFired, lost, unexplained } = coverage.completeness;
        const cpus = Number(/sampling (\d+) CPUs/.exec(daemon.stderr)![1]);
        const seconds = Number(coverage.toUnixNs - coverage.fromUnixNs) / 1e9;
        const due = frequency * cpus * seconds;
        assert.ok(Math.abs(expected - due) <= due * 0.002 + 2 * cpus, `${expected} expected, ${due} by the clock`);
        const said = JSON.stringify({ expected, captured, idle, notFired, lost });
        assert.ok(Math.abs(unexplained) <= expected * 0.002, said);
        assert.equal(totalOf(profile), captured, said);
      },
    );
  });
}

test('CPU time is what the kernel says', { skip: skipWithoutBpf }, async () => {
  const program = buildKnownProgram('known-third');
  let usedSeconds = 0;
  await withDaemon(
    ['--frequency', '999'],
    async () => {
      const bursts = Array.from({ length: 20 }, () => `${program} 0.1; sleep 0.2`).join('; ');
      const printed = await runProgram('/bin/sh', ['-c', bursts]);
      usedSeconds = printed.trim().split('\n').reduce((sum, line) => sum + Number(line), 0);
    },
    async (daemon) => {
      const { profile } = await daemon.aggregate({ comm: ['known-third'] });
      const samples = totalOf(profile);
      const expected = usedSeconds * 999;
      const tolerance = 3 * Math.sqrt(expected) + 20;
      assert.ok(Math.abs(samples - expected) <= tolerance, `${samples} samples for ${usedSeconds} s`);
      assert.ok(Math.abs(totalOf(profile, 1) / 1e9 - samples / 999) < 0.01, 'cpu/nanoseconds is samples times the period');
    },
  );
});

test('in a storm every exec and exit is told, with its duration and its code', { skip: skipWithoutBpf }, async () => {
  const program = buildProgram('storm.c', 'storm-events', ['-O1']);
  let children: Awaited<ReturnType<typeof runStorm>> = [];
  await withDaemon(
    ['--frequency', '99', '--interval', '1s'],
    async () => void (children = await runStorm(program, 900, 300, 1000)),
    async (daemon) => {
      const isOurs = ({ values }: { values: Readonly<Record<string, string | number>> }) => values['executable'] === program;
      const execs = (await daemon.events('exec')).filter(isOurs);
      const exits = new Map((await daemon.events('exit')).filter(isOurs).map((event) => [event.values['pid'], event.values]));
      assert.equal(execs.length, children.length + 1, 'every child and the storm itself');
      assert.equal(exits.size, children.length + 1);
      for (const child of children) {
        const exit = exits.get(child.pid);
        assert.ok(exit !== undefined, `the exit of ${child.pid}`);
        assert.deepEqual([exit['code'], exit['signal']], [child.code, child.signal]);
        const missingNs = child.durationNs - Number(exit['duration']);
        assert.ok(missingNs > -1e6 && missingNs < 200e6, `${exit['duration']} of ${child.durationNs} ns`);
      }
    },
  );
});

test('the daemon and the files give equal answers', { skip: skipWithoutBpf }, async () => {
  const program = buildKnownProgram('known-answers');
  const daemon = await TestDaemon.start(['--frequency', '99', '--interval', '200ms']);
  try {
    await runProgram(program, ['1']);
    // The flush that tells of its exit has all of its samples.
    const hasEnded = async () => (await daemon.events('exit')).some(({ values }) => values['executable'] === program);
    await until(hasEnded, 'the end of the program is stored');
    const filter = { comm: ['known-answers'] };
    const live = await daemon.aggregate(filter);
    await daemon.stop();
    const kept = await daemon.aggregate(filter);
    assert.ok(totalOf(live.profile) > 50);
    assert.deepEqual(live.profile, kept.profile);
  } finally {
    daemon.remove();
  }
});

test('other perf events are sample types of their own', { skip: skipWithoutBpf }, async () => {
  const program = buildProgram('touch-pages.c', 'touch-pages', ['-O0', '-fno-omit-frame-pointer']);
  const config = 'test/fixtures/sampling-events.yaml';
  assert.match(readFileSync(config, 'utf8'), /page-faults/);
  await withDaemon(
    ['--config', config],
    () => runForSeconds(program, ['2000'], 1),
    async (daemon) => {
      const { profile } = await daemon.aggregate({ comm: ['touch-pages'] }, 'page-faults');
      assert.deepEqual(profile.valueTypes, [{ type: 'page-faults', unit: 'count' }]);
      assert.ok(totalOf(profile) >= 2000, `${totalOf(profile)} faults`);
    },
  );
});
