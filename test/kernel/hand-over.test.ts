// A runtime's own step takes the stack over at a code heap and gives it back, many times in one stack.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as wire from '../../bpf/generated/wire.js';
import { compileProbe } from '../support/bpf-fixture.js';
import { buildFixture, skipWithoutBpf } from './probe-support.js';
import { functionFinder, type Sample, type Sampler } from './sampler-run.js';
import { chainOf, Unwinding, withoutFramePointers } from './unwinding.js';

const { FkStackEnd } = wire;
/** The only one in test/fixtures/runtimes. */
const slotsRuntime = 1;
const whole = `spin c_step ${'heap heap c_step heap c_step '.repeat(4)}by_heap main `;

test('native code and a runtime without frame pointers take turns', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('code-heap.c', ...withoutFramePointers);
  const unwinding = new Unwinding({ path: await compileProbe('sampler', 'test/fixtures/runtimes') });
  const child = spawn(program, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const [start, limit] = line.split(' ').map((word) => BigInt(`0x${word}`)) as [bigint, bigint];
    const nameInProgram = functionFinder(program);
    const nameOf = (address: bigint) =>
      address >= start && address < limit ? 'heap' : nameInProgram(address);
    const chain = (sample: Sample) => chainOf(sample, nameOf);
    await unwinding.warm(() => child.pid!);
    const before = await unwinding.sample(child.pid!);
    const hasNoFp = before.filter(({ user }) => user?.end === FkStackEnd.FK_END_JIT_NO_FP);
    assert.ok(hasNoFp.length > 0.5 * before.length, `${hasNoFp.length} of ${before.length} end in the heap`);
    assert.ok(!before.some((sample) => chain(sample) === whole));

    enterHeap(unwinding.sampler, before[0]!.key.incarnation, { start, limit });
    const after = await unwinding.sample(child.pid!, 1500);
    const complete = after.filter(({ user }) => user?.end === FkStackEnd.FK_END_COMPLETE);
    assert.ok(after.length > 10 && complete.length >= 0.99 * after.length,
      `${complete.length} of ${after.length} complete`);
    for (const sample of complete) {
      assert.ok(whole.endsWith(chain(sample)) && chain(sample).endsWith('main '), chain(sample));
    }
    assert.ok(complete.some((sample) => chain(sample) === whole), 'some from the innermost function');
    assert.ok(complete.some((sample) => chain(sample).startsWith('heap ')), 'some from the heap itself');
  } finally {
    child.kill('SIGKILL');
    unwinding.close();
  }
});

function enterHeap(
  sampler: Sampler,
  incarnation: wire.FkIncarnation,
  { start, limit }: { start: bigint; limit: bigint },
): void {
  const none = { start: 0n, limit: 0n, cookie: 0n, runtime: 0, pad: 0 };
  const range = { ...none, start, limit, runtime: slotsRuntime };
  const ranges = [range, ...Array.from({ length: wire.FkLimit.FK_CODE_RANGES - 1 }, () => none)];
  const key = new Uint8Array(wire.FK_INCARNATION_SIZE);
  const value = new Uint8Array(wire.FK_CODE_HEAPS_SIZE);
  wire.encodeFkIncarnation(new DataView(key.buffer), 0, incarnation);
  wire.encodeFkCodeHeaps(new DataView(value.buffer), 0, { n_ranges: 1, pad: 0, ranges });
  sampler.probe.map('code_heaps').update(key, value);
}
