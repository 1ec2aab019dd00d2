// `flamekeeper explain` from outside, on programs whose stacks are known.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { commandPath } from '../support/daemon.js';
import { buildFixture, skipWithoutBpf as skip } from './probe-support.js';

interface Frame {
  readonly address: string;
  readonly mapping: string;
  readonly fileOffset?: number;
  readonly function: string;
  readonly rule: string;
}

function explain(pid: number, ...args: readonly string[]) {
  const all = [commandPath, 'explain', '--pid', String(pid), ...args];
  return spawnSync(process.execPath, all, { encoding: 'utf8' });
}

/** Of a program that runs meanwhile. */
function framesOf(program: string, args: readonly string[]): { end: string; frames: Frame[]; text: string } {
  const child = spawn(program, args, { stdio: 'ignore' });
  try {
    const { stdout, stderr, status } = explain(child.pid!, '--json', '--timeout', '20s');
    assert.equal(status, 0, stderr);
    const found = JSON.parse(stdout) as { end: string; frames: (Frame & { kind: string })[] };
    // On a busy host it is often a stack that was about to wait, in the kernel.
    const frames = found.frames.filter(({ kind }) => kind === 'user');
    return { end: found.end, frames, text: explain(child.pid!, '--timeout', '20s').stdout };
  } finally {
    child.kill('SIGKILL');
  }
}

test('a whole stack: functions, rules in words, up to the outermost frame', { skip }, () => {
  const program = buildFixture('known-shapes.c', '-O2', '-fomit-frame-pointer', '-pthread');
  const { end, frames, text } = framesOf(program, ['recursion']);
  assert.equal(end, 'complete');
  const functions = frames.map((frame) => frame.function);
  const deep = functions.filter((name) => name === 'deep').length;
  const start = functions.indexOf('deep');
  assert.ok(deep >= 1 && deep <= 20, functions.join(' '));
  assert.deepEqual(functions.slice(start, start + deep), Array(deep).fill('deep'));
  assert.equal(functions.at(-1), '_start');
  assert.ok(functions.includes('main'));
  assert.equal(frames.at(-1)!.rule, 'outermost frame');
  assert.ok(frames.slice(0, -1).every(({ rule }) => rule.startsWith('CFA ')), JSON.stringify(frames));
  assert.equal(frames.find((frame) => frame.function === 'main')!.mapping, program);
  assert.match(text, /^known-shapes\[\d+\]: [\d,]+ stacks, complete [\d,]+\none of thread \d+, leaf first; it ends: complete$/m);
  assert.match(text, /^ *\d+ +0x[\da-f]+ +_start +outermost frame +.*\+0x[\da-f]+$/m);
});

test('a cut stack: where nothing is known', { skip }, () => {
  const flags = ['-O1', '-fomit-frame-pointer', '-fno-asynchronous-unwind-tables', '-pthread'];
  const { end, frames } = framesOf(buildFixture('known-shapes.c', ...flags), ['recursion']);
  assert.equal(end, 'gap in unwind information');
  assert.equal(frames[0]!.rule, 'nothing known');
});

test('a process that sleeps, and one that is not there', { skip }, () => {
  const child = spawn('sleep', ['60']);
  try {
    const asleep = explain(child.pid!, '--timeout', '300ms');
    assert.equal(asleep.status, 1);
    assert.match(asleep.stderr, /process \d+ did not run for 0\.3 s\n {2}It sleeps/);
  } finally {
    child.kill('SIGKILL');
  }
  const absent = explain(2 ** 22 + 1);
  assert.equal(absent.status, 2);
  assert.match(absent.stderr, /there is no process 4194305/);
  assert.equal(explain(1, '--timeout', '1h').status, 2);
});
