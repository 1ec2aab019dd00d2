// The daemon on this kernel, from its start to its end, against programs of which it is known
// what they do.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Completeness } from '../../../storage/model/completeness.js';
import { stackCompleteness, type StackCompleteness } from '../../../storage/model/stacks.js';
import { commandPath, TestDaemon } from '../../support/daemon.js';
import { leftBehind, unheldObjects } from '../../support/kernel-objects.js';
import { runProgram, runStorm, type StormChild } from '../../support/programs.js';

const run = promisify(execFile);
const frequencyHz = 47;
/** known-program.c with frame pointers and without; links to the latter have its tables, and
 *  names of their own. */
const [withPointers, withoutPointers] = ['/programs/known-fp', '/programs/known-nofp'];
const [toWarmUp, onCpu1] = ['/tmp/known-warm', '/tmp/known-cpu1'];
const storm = { path: '/programs/storm', count: 60, perSecond: 20, busyUs: 1000 };
const cpu1Online = '/sys/devices/system/cpu/cpu1/online';
const followMs = 240_000;
/** Questions cost the daemon time that it needs for its work here. */
const pollMs = 5000;
/** Emulated, tables take thirty times as long to build: with 5 % of a CPU, minutes. */
const environment = { FLAMEKEEPER_UNWIND_CPU_PERCENT: '100' };

/** From main on, leaf last: as known-program.c says. */
const knownPaths = [
  'main;round_of_work;share_10;spin',
  'main;round_of_work;share_20;spin',
  'main;round_of_work;share_70;left_30;shared_leaf;spin',
  'main;round_of_work;share_70;right_70;shared_leaf;spin',
];

test('the daemon', async (t) => {
  t.diagnostic(`kernel ${release()}`);
  for (const path of [toWarmUp, onCpu1]) symlinkSync(withoutPointers, path);
  const before = unheldObjects();
  // Already there when the daemon comes, so that its table is among the first to be asked for.
  const warm = spawn(toWarmUp, ['600'], { stdio: 'ignore' });
  t.after(() => warm.kill('SIGKILL'));
  const args = ['--frequency', String(frequencyHz)];
  const daemon = await TestDaemon.start(args, mkdtempSync('/tmp/fk-'), environment);
  try {
    t.diagnostic(`whole stacks after ${(await wholeStacks(daemon)).toFixed(1)} s`);
    warm.kill('SIGKILL');
    // Emulated on a busy host, a program's start takes half a second, too.
    const usedWithout = await secondsOf(withoutPointers, [], 10);
    const usedWith = await secondsOf(withPointers, [], 10);
    const children = await runStorm(storm.path, storm.count, storm.perSecond, storm.busyUs);
    await t.test('follows a CPU that goes and comes back', () => followHotplug(daemon));
    const usedOnCpu1 = await secondsOf('taskset', ['-c', '1', onCpu1], 10);
    await t.test('has lost nothing', (inner) => checkLosses(inner, daemon));
    await t.test('ends well and leaves nothing in the kernel', async () => {
      await daemon.stop();
      assert.deepEqual(await leftBehind(before), []);
    });
    const { completeness } = (await daemon.aggregate()).coverage;
    await t.test('accounts for every tick', (inner) => checkTicks(inner, completeness));
    const stacks = await foldedStacks(daemon, ['known-nofp', 'known-fp', 'known-cpu1']);
    await t.test('has the stacks of a program without frame pointers', async (inner) => {
      const own = stacks.filter(({ comm }) => comm === 'known-nofp');
      checkShare(inner, sum(own), { seconds: usedWithout, completeness });
      checkStacks(inner, own, '_start');
      await checkComplete(inner, daemon, 'known-nofp');
    });
    await t.test('has the stacks of a program with frame pointers', (inner) => {
      const own = stacks.filter(({ comm }) => comm === 'known-fp');
      checkShare(inner, sum(own), { seconds: usedWith, completeness });
      checkStacks(inner, own, 'main');
    });
    await t.test('has samples of the CPU that came back', (inner) => {
      const own = stacks.filter(({ comm }) => comm === 'known-cpu1');
      checkShare(inner, sum(own), { seconds: usedOnCpu1, completeness });
    });
    await t.test('told every exec and exit', (inner) => checkEvents(inner, daemon, children));
  } finally {
    t.diagnostic(`the daemon said:\n${daemon.stderr}`);
    daemon.remove();
  }
});

/** CPU time that the known program says it used. */
async function secondsOf(
  command: string,
  args: readonly string[],
  seconds: number,
): Promise<number> {
  return Number(await runProgram(command, [...args, String(seconds)]));
}

/** Waits for a flush that has whole stacks of the running program. Gives the seconds it took. */
async function wholeStacks(daemon: TestDaemon): Promise<number> {
  const startedMs = Date.now();
  for (;;) {
    await sleep(pollMs);
    // Before the first flush there is no data.
    const answer = await daemon.aggregate({ comm: ['known-warm'] }).catch(() => undefined);
    const stacks = answer === undefined ? undefined : stackCompleteness(answer.profile);
    if (stacks !== undefined && stacks.complete > 0) return (Date.now() - startedMs) / 1000;
    if (Date.now() < startedMs + followMs) continue;
    const { stdout } = await flamekeeper(daemon, ['status']);
    assert.fail(`the known program has no whole stack: ${JSON.stringify(stacks)}\n${stdout}`);
  }
}

async function followHotplug(daemon: TestDaemon): Promise<void> {
  writeFileSync(cpu1Online, '0');
  await said(daemon, /CPU 1 went offline/);
  writeFileSync(cpu1Online, '1');
  await said(daemon, /CPU 1 came online and is sampled/);
}

async function checkLosses(t: TestContext, daemon: TestDaemon): Promise<void> {
  const { stdout } = await flamekeeper(daemon, ['status', '--json']);
  const figures = (JSON.parse(stdout) as { daemon: Readonly<Record<string, string | number>> })
    .daemon;
  const losses = Object.entries(figures).filter(([name]) => name.startsWith('losses.'));
  const notes = Object.entries(figures).filter(([name]) => name.startsWith('notes.'));
  for (const [, note] of notes) t.diagnostic(`note: ${note}`);
  assert.ok(losses.length > 0);
  assert.deepEqual(
    losses.filter(([, value]) => value !== 0),
    [],
  );
}

function checkTicks(t: TestContext, completeness: Completeness): void {
  const { expected, captured, idle, notFired, lost, unexplained } = completeness;
  t.diagnostic(
    `ticks: ${JSON.stringify({ expected, captured, idle, notFired, lost, unexplained })}`,
  );
  // While tables are built, an emulated store may fall behind. What is measured comes after that.
  const { store_too_slow: _, ...otherLosses } = lost;
  assert.deepEqual(otherLosses, {});
  assert.ok(
    Math.abs(unexplained) <= expected * 0.01,
    `${unexplained} of ${expected} ticks are unexplained`,
  );
}

interface Share {
  /** CPU time used. */
  readonly seconds: number;
  readonly completeness: Completeness;
}

/** A tick may not fire when the host is busy: such ticks are counted, but not by whom they
 *  would have met. */
function checkShare(t: TestContext, samples: number, { seconds, completeness }: Share): void {
  const due = seconds * frequencyHz;
  const missing = completeness.notFired + (completeness.lost['store_too_slow'] ?? 0);
  const slack = 3 * Math.sqrt(due) + 10;
  t.diagnostic(`${samples} samples for ${seconds.toFixed(2)} s of CPU time, ${due.toFixed(0)} due`);
  assert.ok(
    samples >= Math.max(due - missing - slack, due / 4),
    `${samples} of ${due} due`,
  );
  assert.ok(samples <= due + slack, `${samples} of ${due} due`);
}

/** From `root` to spin a stack is as the program's source says. */
function checkStacks(t: TestContext, stacks: readonly FoldedStack[], root: string): void {
  const inWork = stacks.filter(({ names }) => names.includes('spin'));
  const known = inWork.filter(
    ({ names }) =>
      names.includes(root) && knownPaths.some((path) => names.join(';').endsWith(`;${path}`)),
  );
  t.diagnostic(`stacks of spin that are known from ${root} on: ${sum(known)} of ${sum(inWork)}`);
  const others = stacks.filter(({ names }) => !names.includes('spin'));
  const texts = others.map(({ names, samples }) => `${names.slice(-3).join(';')} ${samples}`);
  assert.ok(
    sum(inWork) >= sum(stacks) * 0.9,
    `${sum(inWork)} of ${sum(stacks)} samples are in spin; others: ${texts.join(', ')}`,
  );
  assert.ok(sum(known) >= sum(inWork) * 0.99, `${sum(known)} of ${sum(inWork)} samples in spin`);
}

/** At a program's start the dynamic linker's table may still be missing. */
async function checkComplete(t: TestContext, daemon: TestDaemon, comm: string): Promise<void> {
  const { stdout } = await flamekeeper(daemon, ['top', '--json', '--comm', comm]);
  const { complete, cut } = (JSON.parse(stdout) as { stacks: StackCompleteness }).stacks;
  t.diagnostic(`stacks of ${comm}: ${complete} complete, cut ${JSON.stringify(cut)}`);
  const cuts = Object.values(cut).reduce((total, count) => total + count, 0);
  assert.ok(
    complete >= (complete + cuts) * 0.95,
    `${complete} of ${complete + cuts} stacks are complete`,
  );
}

async function checkEvents(
  t: TestContext,
  daemon: TestDaemon,
  children: readonly StormChild[],
): Promise<void> {
  const ours = async (stream: string) =>
    (await daemon.events(stream)).filter(({ values }) => values['executable'] === storm.path);
  const exits = new Map((await ours('exit')).map(({ values }) => [values['pid'], values]));
  const execs = (await ours('exec')).length;
  t.diagnostic(`storm: ${execs} execs and ${exits.size} exits told of ${children.length + 1}`);
  assert.deepEqual([execs, exits.size], [children.length + 1, children.length + 1]);
  for (const { pid, code, signal } of children) {
    assert.deepEqual(
      [exits.get(pid)?.['code'], exits.get(pid)?.['signal']],
      [code, signal],
      `exit of ${pid}`,
    );
  }
}

interface FoldedStack {
  readonly comm: string;
  /** Root first; kernel frames, which an interrupt adds, left out. */
  readonly names: readonly string[];
  readonly samples: number;
}

async function foldedStacks(daemon: TestDaemon, comms: readonly string[]): Promise<FoldedStack[]> {
  const { stdout } = await flamekeeper(daemon, [
    'flame',
    ...comms.flatMap((comm) => ['--comm', comm]),
  ]);
  return [...stdout.matchAll(/^(.*) (\d+)$/gm)].map(([, text = '', samples]) => {
    const [comm = '', ...names] = text.split(';').filter((name) => !name.endsWith('_[k]'));
    return { comm, names, samples: Number(samples) };
  });
}

const sum = (stacks: readonly FoldedStack[]) =>
  stacks.reduce((total, { samples }) => total + samples, 0);

function flamekeeper(
  daemon: TestDaemon,
  [command = '', ...args]: readonly string[],
): Promise<{ stdout: string }> {
  return run(process.execPath, [commandPath, command, '--data', daemon.dir, ...args]);
}

async function said(daemon: TestDaemon, what: RegExp): Promise<void> {
  for (const untilMs = Date.now() + followMs; !what.test(daemon.stderr); await sleep(100))
    assert.ok(Date.now() < untilMs, `the daemon says ${what}`);
}
