// The unwinder in the kernel against programs without frame pointers: each stack that it calls complete
// must have the shape that the program is known to have, and nearly all must be complete.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { stackEndText } from '../../collector/pipeline/stack-ends.js';
import { buildFixture, skipWithoutBpf } from './probe-support.js';
import { framesOf, functionFinder, withChild } from './sampler-run.js';
import {
  assertVerdicts,
  chainOf,
  recursion,
  Unwinding,
  verdicts,
  withoutFramePointers,
} from './unwinding.js';

/** Functions of the program, leaf first; what lies outside it has no name. */
const shapes: Readonly<Record<string, string>> = {
  recursion,
  alloca: '(spin (varying ){5}by_alloca |(varying ){0,5}by_alloca |)main ',
  realign: '(spin (realigned ){3}by_realign |(realigned ){0,3}by_realign |)main ',
  qsort: '((compare )?by_qsort )?main ',
  syscalls: '(by_syscall )?main ',
  signals: `((spin )?on_signal )?${recursion}`,
  altstack: `((spin )?on_signal )?${recursion}`,
  threads: '((spin )?task )?thread_main (main )?',
  fork: recursion,
  exec: recursion,
};

let unwinding: Unwinding;
before(() => {
  if (skipWithoutBpf === false) unwinding = new Unwinding();
});
after(() => unwinding?.close());

/** Of a process: itself, or its only child. */
function workingTgid(tgid: number): number {
  const children = readFileSync(`/proc/${tgid}/task/${tgid}/children`, 'utf8').trim();
  return children === '' ? tgid : Number(children);
}

for (const [shape, grammar] of Object.entries(shapes)) {
  test(`without frame pointers: ${shape}`, { skip: skipWithoutBpf }, async () => {
    const program = buildFixture('known-shapes.c', ...withoutFramePointers);
    const nameOf = functionFinder(program);
    await withChild(program, [shape], async (child) => {
      await unwinding.warm(() => workingTgid(child.pid!));
      const tgid = workingTgid(child.pid!);
      try {
        const samples = await unwinding.sample(tgid);
        assertVerdicts(verdicts(samples, (sample) => chainOf(sample, nameOf), grammar));
        if (shape !== 'syscalls') return;
        const inKernel = samples.filter(({ kernel }) => kernel !== undefined);
        assert.ok(inKernel.length > samples.length / 2, `${inKernel.length} of ${samples.length} in the kernel`);
      } finally {
        if (tgid !== child.pid) process.kill(tgid, 'SIGKILL');
      }
    });
  });
}

test('a stack deeper than 127 frames says that it is cut', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('known-shapes.c', ...withoutFramePointers);
  await withChild(program, ['depth'], async (child) => {
    await unwinding.warm(() => child.pid!);
    const samples = await unwinding.sample(child.pid!);
    const cut = samples.filter(({ user }) => user && stackEndText(user.end) === 'deeper than 127 frames');
    // A shallower stack is another one each time, the deep ones are few.
    const [deep, all] = [cut, samples].map((list) => list.reduce((sum, s) => sum + s.weight, 0));
    assert.ok(deep! > 0.3 * all!, `${deep} of ${all}`);
    for (const { user } of cut) assert.equal(framesOf(user).length, 127);
  });
});

test('a file that says nothing of its frames gives no complete stack', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('no-information.S', '-nostdlib', '-static');
  await withChild(program, [], async (child) => {
    await unwinding.warm(() => child.pid!);
    const samples = await unwinding.sample(child.pid!);
    assert.ok(samples.length > 0);
    for (const { user } of samples) assert.equal(user && stackEndText(user.end), 'no unwind information');
  });
});
