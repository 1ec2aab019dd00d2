// Stacks against gdb's, frame for frame: a C program without frame pointers is stopped from inside
// a sample. `npm run bench:truth` does it with more programs, and more often.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { FkStackEnd } from '../../bpf/generated/wire.js';
import { stackEndText } from '../../collector/pipeline/stack-ends.js';
import { skipReason } from '../support/bpf-fixture.js';
import { buildProgram } from '../support/programs.js';
import { stopOften, type Stop, type TruthOptions } from '../support/truth.js';

const skip = skipReason() ?? false;
const stopsOfEach = 30;
const flags = ['-O2', '-fomit-frame-pointer', '-pthread'];

async function stopsOf(
  mode: string, count: number, options: Partial<TruthOptions> = {},
): Promise<Stop[]> {
  const child = spawn(buildProgram('truth-stacks.c', `truth-${mode}`, flags), [mode]);
  try {
    await once(child, 'spawn');
    return (await stopOften(child.pid!, count, options)).stops;
  } finally {
    child.kill('SIGKILL');
  }
}

function describe({ sample, walk }: Stop): string {
  const ours = sample.pcs.map((pc) => pc.toString(16)).join(' ');
  const truth = walk.pcs.map((pc, i) => `${pc.toString(16)} ${walk.names[i]}`).join(' ');
  return `ours: ${ours} (${stackEndText(sample.end)}); gdb's: ${truth}`;
}

for (const mode of ['recursion', 'signals', 'threads']) {
  test(`${mode}: every frame is gdb's`, { skip }, async () => {
    const stops = await stopsOf(mode, stopsOfEach);
    const compared = stops.filter(({ verdict }) => !['moved', 'no-truth'].includes(verdict));
    assert.ok(compared.length >= stopsOfEach - 3, `${compared.length} stops were comparable`);
    for (const stop of compared) {
      assert.equal(stop.verdict, 'identical', describe(stop));
      assert.equal(stop.sample.end, FkStackEnd.FK_END_COMPLETE, describe(stop));
    }
    const depths = new Set(compared.map(({ sample }) => sample.pcs.length));
    assert.ok(depths.size > 3, `stacks of ${[...depths].join()} frames`);
  });
}

test('below code that says nothing of its frames no wrong stack is whole', { skip }, async () => {
  const stops = await stopsOf('gap', stopsOfEach);
  const through = stops.filter(({ walk, verdict }) => {
    return verdict !== 'moved' && walk.names[0] === 'bare';
  });
  assert.ok(through.length > 5, `${through.length} stops in it`);
  const different = through.filter(({ verdict }) => verdict === 'different');
  for (const stop of different) assert.equal(stop.sample.end, FkStackEnd.FK_END_GAP, describe(stop));
});

test('without tables the comparison finds wrong stacks, which say so', { skip }, async () => {
  const stops = await stopsOf('recursion', 10, { answer: 'none' });
  const different = stops.filter(({ verdict }) => verdict === 'different');
  assert.ok(different.length >= 8, `${different.length} of 10`);
  for (const stop of different) {
    assert.notEqual(stop.sample.end, FkStackEnd.FK_END_COMPLETE, describe(stop));
  }
});
