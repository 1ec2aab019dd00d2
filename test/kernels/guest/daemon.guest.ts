// The daemon on this kernel, from its start to its end, against programs of which it is known what they do.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Completeness } from '../../../storage/model/completeness.js';
import { commandPath, TestDaemon } from '../../support/daemon.js';
import { leftBehind, unheldObjects } from '../../support/kernel-objects.js';
import { runProgram, runStorm, type StormChild } from '../../support/programs.js';

const run = promisify(execFile);
const frequencyHz = 99;
const knownProgram = '/programs/known-guest';
const knownOnCpu1 = '/tmp/known-cpu1';
const knownSeconds = 4;
/** Emulated as it is, a flush takes its time. */
const interval = '5s';
const storm = { path: '/programs/storm', count: 60, perSecond: 20, busyUs: 1000 };
const cpu1Online = '/sys/devices/system/cpu/cpu1/online';
const followMs = 30_000;

/** From main on, leaf last: as known-program.c says. */
const knownPaths = [
  'main;round_of_work;share_10;spin',
  'main;round_of_work;share_20;spin',
  'main;round_of_work;share_70;left_30;shared_leaf;spin',
  'main;round_of_work;share_70;right_70;shared_leaf;spin',
];

test('the daemon', async (t) => {
  t.diagnostic(`kernel ${release()}`);
  copyFileSync(knownProgram, knownOnCpu1);
  const before = unheldObjects();
  const daemon = await TestDaemon.start(['--frequency', String(frequencyHz), '--interval', interval]);
  try {
    const used = Number(await runProgram(knownProgram, [String(knownSeconds)]));
    const children = await runStorm(storm.path, storm.count, storm.perSecond, storm.busyUs);
    await t.test('follows a CPU that goes and comes back', () => followHotplug(daemon));
    const usedOnCpu1 = Number(await runProgram('taskset', ['-c', '1', knownOnCpu1, '2']));
    await t.test('has lost nothing', (inner) => checkLosses(inner, daemon));
    await t.test('ends well and leaves nothing in the kernel', async () => {
      await daemon.stop();
      assert.deepEqual(await leftBehind(before), []);
    });
    const { completeness } = (await daemon.aggregate()).coverage;
    await t.test('accounts for every tick', (inner) => checkTicks(inner, completeness));
    await t.test('has the stacks of a known program', async (inner) => {
      const stacks = await foldedStacks(daemon, 'known-guest');
      checkShare(inner, sum(stacks), { seconds: used, completeness });
      checkStacks(inner, stacks);
    });
    await t.test('has samples of the CPU that came back', async (inner) => {
      const stacks = await foldedStacks(daemon, 'known-cpu1');
      checkShare(inner, sum(stacks), { seconds: usedOnCpu1, completeness });
    });
    await t.test('told every exec and exit', (inner) => checkEvents(inner, daemon, children));
  } finally {
    t.diagnostic(`the daemon said:\n${daemon.stderr}`);
    daemon.remove();
  }
});

async function followHotplug(daemon: TestDaemon): Promise<void> {
  writeFileSync(cpu1Online, '0');
  await said(daemon, /CPU 1 went offline/);
  writeFileSync(cpu1Online, '1');
  await said(daemon, /CPU 1 came online and is sampled/);
}

async function checkLosses(t: TestContext, daemon: TestDaemon): Promise<void> {
  const { stdout } = await flamekeeper(daemon, ['status', '--json']);
  const figures = (JSON.parse(stdout) as { daemon: Readonly<Record<string, string | number>> }).daemon;
  const losses = Object.entries(figures).filter(([name]) => name.startsWith('losses.'));
  const notes = Object.entries(figures).filter(([name]) => name.startsWith('notes.'));
  for (const [, note] of notes) t.diagnostic(`note: ${note}`);
  assert.ok(losses.length > 0);
  assert.deepEqual(losses.filter(([, value]) => value !== 0), []);
}

function checkTicks(t: TestContext, completeness: Completeness): void {
  const { expected, captured, idle, notFired, lost, unexplained } = completeness;
  t.diagnostic(`ticks: ${JSON.stringify({ expected, captured, idle, notFired, lost, unexplained })}`);
  assert.deepEqual({ ...lost }, {});
  assert.ok(Math.abs(unexplained) <= expected * 0.01, `${unexplained} of ${expected} ticks are unexplained`);
}

interface Share {
  /** CPU time used. */
  readonly seconds: number;
  readonly completeness: Completeness;
}

/** A tick may not fire when the host is busy: such ticks are counted, but not by whom they would have met. */
function checkShare(t: TestContext, samples: number, { seconds, completeness }: Share): void {
  const due = seconds * frequencyHz;
  const slack = 3 * Math.sqrt(due) + 10;
  t.diagnostic(`${samples} samples for ${seconds.toFixed(2)} s of CPU time, ${due.toFixed(0)} due`);
  assert.ok(samples >= Math.max(due - completeness.notFired - slack, due / 4), `${samples} of ${due} due`);
  assert.ok(samples <= due + slack, `${samples} of ${due} due`);
}

function checkStacks(t: TestContext, stacks: readonly FoldedStack[]): void {
  const inWork = stacks.filter(({ names }) => names.includes('spin'));
  const known = inWork.filter(({ names }) => knownPaths.some((path) => names.join(';').endsWith(`;${path}`)));
  t.diagnostic(`stacks of spin that are whole: ${sum(known)} of ${sum(inWork)}`);
  assert.ok(sum(inWork) >= sum(stacks) * 0.9, `${sum(inWork)} of ${sum(stacks)} samples are in spin`);
  // Before a function has set up its frame, the frame pointer hides its caller.
  assert.ok(sum(known) >= sum(inWork) * 0.97, `${sum(known)} of ${sum(inWork)} samples in spin`);
}

async function checkEvents(t: TestContext, daemon: TestDaemon, children: readonly StormChild[]): Promise<void> {
  const ours = async (stream: string) =>
    (await daemon.events(stream)).filter(({ values }) => values['executable'] === storm.path);
  const exits = new Map((await ours('exit')).map(({ values }) => [values['pid'], values]));
  const execs = (await ours('exec')).length;
  t.diagnostic(`storm: ${execs} execs and ${exits.size} exits told of ${children.length + 1}`);
  assert.deepEqual([execs, exits.size], [children.length + 1, children.length + 1]);
  for (const { pid, code, signal } of children) {
    assert.deepEqual([exits.get(pid)?.['code'], exits.get(pid)?.['signal']], [code, signal], `exit of ${pid}`);
  }
}

interface FoldedStack {
  /** Root first; kernel frames, which an interrupt adds, left out. */
  readonly names: readonly string[];
  readonly samples: number;
}

async function foldedStacks(daemon: TestDaemon, comm: string): Promise<FoldedStack[]> {
  const { stdout } = await flamekeeper(daemon, ['flame', '--comm', comm]);
  return stdout.trim().split('\n').map((line) => {
    const [, names = '', samples] = /^(.*) (\d+)$/.exec(line) ?? [];
    return { names: names.split(';').filter((name) => !name.endsWith('_[k]')), samples: Number(samples) };
  });
}

const sum = (stacks: readonly FoldedStack[]) => stacks.reduce((total, { samples }) => total + samples, 0);

function flamekeeper(daemon: TestDaemon, [command = '', ...args]: readonly string[]): Promise<{ stdout: string }> {
  return run(process.execPath, [commandPath, command, '--data', daemon.dir, ...args]);
}

async function said(daemon: TestDaemon, what: RegExp): Promise<void> {
  for (const untilMs = Date.now() + followMs; !what.test(daemon.stderr); await sleep(100))
    assert.ok(Date.now() < untilMs, `the daemon says ${what}`);
}
