// The sampling program against what is known about the sampled: accounts close exactly, stacks are a
// known program's, identity is what /proc says, and full maps lose nothing uncounted.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as wire from '../../bpf/generated/wire.js';
import { cpuSecondsOf, minorFaultsOf } from '../support/programs.js';
import { until } from '../support/wait.js';
import { buildFixture, skipWithoutBpf } from './probe-support.js';
import { faultType, framesOf, functionFinder, runSampler, withChild, type Sample } from './sampler-run.js';

const { FkFrameKind, FkLost, FkStackEnd, FkStackId } = wire;

function sum(numbers: readonly (number | bigint)[]): number {
  return numbers.reduce<number>((total, n) => total + Number(n), 0);
}

function weightOf(samples: readonly Sample[], type: number): number {
  return sum(samples.filter((s) => s.key.sample_type === type).map((s) => s.weight));
}

/** The same hash as the kernel's, from its definition. */
function contentHash({ n_words, end, words }: wire.FkStack): bigint {
  const mask = 2n ** 64n - 1n;
  let hash = (BigInt(n_words) << 8n) | BigInt(end);
  for (const word of words.slice(0, n_words)) {
    hash = ((hash ^ word) * 0x9e3779b97f4a7c15n) & mask;
    hash ^= hash >> 32n;
  }
  hash = ((hash ^ (hash >> 33n)) * 0xff51afd7ed558ccdn) & mask;
  hash = ((hash ^ (hash >> 33n)) * 0xc4ceb9fe1a85ec53n) & mask;
  hash ^= hash >> 33n;
  return hash < BigInt(FkStackId.FK_STACK_FIRST) ? hash + BigInt(FkStackId.FK_STACK_FIRST) : hash;
}

const knownFlags = ['-O0', '-fno-omit-frame-pointer', '-no-pie'];

test('a known program: accounts, shares, stacks, identity', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('known-program.c', ...knownFlags);
  let tgid = 0;
  let startTicks = 0;
  const run = await runSampler(() => withChild(program, ['60'], async (child) => {
    tgid = child.pid!;
    await until(() => cpuSecondsOf(tgid) >= 2, 'the program runs');
    startTicks = Number(readFileSync(`/proc/${tgid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[19]);
  }));
  const { clock } = run;
  assert.equal(clock.seen, clock.captured + clock.idle + BigInt(sum(clock.lost)), 'every tick has a fate');
  assert.equal(weightOf(run.samples, 0), Number(clock.captured_weight), 'drained = counted in the kernel');
  const told = clock.captured + clock.idle + clock.not_fired + BigInt(sum(clock.lost)) + run.pending;
  assert.equal(told, run.due, 'every due period has a fate');

  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid && s.key.sample_type === 0 && s.user);
  const total = weightOf(own, 0);
  assert.ok(total > 100, `${total} samples of the program`);
  for (const { key } of own) {
    assert.equal(key.tid, tgid);
    assert.equal(key.uid, 0);
    const { start_boot_ns } = key.incarnation;
    assert.ok(Math.abs(Number(start_boot_ns) / 1e7 - startTicks) < 2, 'starts when /proc says');
  }

  const nameOf = functionFinder(program);
  const chainOf = ({ user }: Sample) => framesOf(user)
    .map((word, i) => nameOf(i === 0 ? word : word - 1n))
    .filter((name) => name !== 'outside');
  const isBelow = (sample: Sample, ...callers: string[]) => {
    return callers.every((name) => chainOf(sample).includes(name));
  };
  const share = (...callers: string[]) => weightOf(own.filter((s) => isBelow(s, ...callers)), 0) / total;
  const expected: [number, ...string[]][] = [
    [0.1, 'share_10'], [0.2, 'share_20'], [0.7, 'share_70'], [0.21, 'left_30', 'shared_leaf'],
    [0.49, 'right_70', 'shared_leaf'], [1, 'main', 'round_of_work'],
  ];
  for (const [p, ...callers] of expected) {
    const tolerance = 5 * Math.sqrt((p * (1 - p)) / total) + 0.02;
    const measured = share(...callers);
    assert.ok(Math.abs(measured - p) < tolerance, `${callers.join(' <- ')}: ${measured} for ${p}`);
  }
  const whole = ['spin', 'shared_leaf', 'right_70', 'share_70', 'round_of_work', 'main'];
  assert.ok(own.some((s) => chainOf(s).join() === whole.join()), 'leaf first, no frame left out');
  assert.ok(!own.some((s) => s.user?.end === FkStackEnd.FK_END_COMPLETE), 'without a table none is called complete');
});

test('stacks are kept under the hash of their content', { skip: skipWithoutBpf }, async () => {
  const run = await runSampler(async () => {
    for (let i = 0; i < 40; i++) execFileSync('ls', ['-lR', '/usr/include/linux']);
  });
  assert.ok(run.stacks.size > 50, `${run.stacks.size} stacks`);
  for (const [hash, stack] of run.stacks) assert.equal(contentHash(stack), hash);
  for (const { key, kernel, user } of run.samples) {
    const isKept = (id: bigint) => id < FkStackId.FK_STACK_FIRST || run.stacks.has(id);
    assert.ok(isKept(key.kernel_stack) && isKept(key.user_stack), 'a count comes with its stacks');
    assert.ok(framesOf(kernel).every((word) => Number(word >> 56n) === FkFrameKind.FK_FRAME_KERNEL));
    assert.ok(framesOf(user).every((word) => Number(word >> 56n) === FkFrameKind.FK_FRAME_USER));
  }
  assert.ok(run.samples.some((s) => s.kernel && s.user), 'kernel mode has the user stack that led there');
});

test('page faults go through the same program, one by one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('touch-pages.c', '-O0');
  const pages = 5000;
  let tgid = 0;
  const run = await runSampler(() => withChild(program, [String(pages)], async (child) => {
    tgid = child.pid!;
    await until(() => minorFaultsOf(tgid) >= pages, 'all pages are touched');
  }));
  assert.equal(weightOf(run.samples, faultType), Number(run.faults.captured_weight));
  assert.equal(run.faults.seen, run.faults.captured + BigInt(sum(run.faults.lost)));
  const own = weightOf(run.samples.filter((s) => s.key.incarnation.tgid === tgid), faultType);
  assert.ok(own >= pages && own < pages + 1000, `${own} faults for ${pages} pages`);
});

test('a 32-bit process is said to be one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('spin-32bit.S', '-m32', '-nostdlib', '-static');
  let tgid = 0;
  const run = await runSampler(() => withChild(program, [], async (child) => {
    tgid = child.pid!;
    await until(() => cpuSecondsOf(tgid) >= 0.5, 'the program runs');
  }));
  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid && s.key.sample_type === 0);
  const end = weightOf(own.filter((s) => s.key.user_stack === BigInt(1 + FkStackEnd.FK_END_32BIT)), 0);
  assert.ok(end > 50 && end / weightOf(own, 0) > 0.9, `${end} of ${weightOf(own, 0)} samples`);
});

test('an exec starts another incarnation of the same tgid and start', { skip: skipWithoutBpf }, async () => {
  let tgid = 0;
  const script = 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec sha256sum /dev/zero';
  const run = await runSampler(() => withChild('/bin/sh', ['-c', script], async (child) => {
    tgid = child.pid!;
    const isExecuted = () => readFileSync(`/proc/${tgid}/comm`, 'utf8') === 'sha256sum\n';
    await until(isExecuted, 'the shell executes the other program');
    const atExec = cpuSecondsOf(tgid);
    await until(() => cpuSecondsOf(tgid) >= atExec + 0.2, 'the other program runs');
  }));
  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid);
  const execIds = [...new Set(own.map((s) => s.key.incarnation.exec_id))].sort((a, b) => a - b);
  assert.ok(execIds.length >= 2, `exec ids ${execIds.join()}`);
  assert.equal(new Set(own.map((s) => s.key.incarnation.start_boot_ns)).size, 1);
});

test('in an exec no frame of the old image comes under the new one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('exit-now.S', '-nostdlib', '-static', '-no-pie');
  const tgids = new Set<number>();
  const run = await runSampler(async () => {
    for (let i = 0; i < 100; i++) {
      await withChild('/bin/sh', ['-c', `exec ${program}`], async (child) => {
        tgids.add(child.pid!);
        await once(child, 'exit');
      });
    }
  });
  const own = run.samples.filter((s) => tgids.has(s.key.incarnation.tgid));
  const forkedId = Math.min(...own.map((s) => s.key.incarnation.exec_id));
  const replaced = own.filter((s) => s.key.incarnation.exec_id === forkedId + 2);
  const faults = weightOf(replaced, faultType);
  assert.ok(faults >= 100, `${faults} page faults after the exec`);
  const inExec = replaced.filter((s) => s.key.user_stack === BigInt(1 + FkStackEnd.FK_END_NO_REGISTERS));
  assert.ok(inExec.length > 0, 'some are taken before the new image runs');
  for (const { user } of replaced) assert.ok(framesOf(user).every((word) => word < 1n << 24n));
});

test('full maps: what is lost is counted, what is cut says so', { skip: skipWithoutBpf }, async () => {
  const work = async () => {
    for (let i = 0; i < 10; i++) execFileSync('ls', ['-lR', '/usr/include/linux']);
  };
  const fewKeys = await runSampler(work, { counts: 16 });
  const { clock, faults } = fewKeys;
  assert.ok(clock.lost[FkLost.FK_LOST_COUNT_MAP_FULL]! + faults.lost[FkLost.FK_LOST_COUNT_MAP_FULL]! > 0n);
  assert.equal(clock.seen, clock.captured + clock.idle + BigInt(sum(clock.lost)));
  assert.equal(weightOf(fewKeys.samples, 0), Number(clock.captured));

  const fewStacks = await runSampler(work, { stacks: 8 });
  assert.ok(fewStacks.stacks.size <= 8);
  const cut = BigInt(1 + FkStackEnd.FK_END_STACK_MAP_FULL);
  assert.ok(fewStacks.samples.some((s) => s.key.user_stack === cut));
  assert.equal(weightOf(fewStacks.samples, 0), Number(fewStacks.clock.captured), 'only the stack is lost');
});
