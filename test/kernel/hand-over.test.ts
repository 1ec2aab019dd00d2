// A runtime's own step takes the stack over at a code heap and gives it back, many times in one stack.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as wire from '../../bpf/generated/wire.js';
import { compileProbe } from '../support/bpf-fixture.js';
import { buildFixture, skipWithoutBpf, sleep } from './probe-support.js';
import { framesOf, functionFinder, Sampler, type Sample } from './sampler-run.js';
import { TableServer } from './table-server.js';

const { FkStackEnd } = wire;
const flags = ['-O2', '-fomit-frame-pointer', '-fno-optimize-sibling-calls', '-no-pie'];
/** The only one in test/fixtures/runtimes. */
const slotsRuntime = 1;
const whole = `spin c_step ${'heap heap c_step heap c_step '.repeat(4)}by_heap main `;

test('native code and a runtime without frame pointers take turns', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('code-heap.c', ...flags);
  const sampler = new Sampler({ path: await compileProbe('sampler', 'test/fixtures/runtimes') });
  const server = new TableServer(sampler.probe);
  const child = spawn(program, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const [start, limit] = line.split(' ').map((word) => BigInt(`0x${word}`)) as [bigint, bigint];
    const nameInProgram = functionFinder(program);
    const nameOf = (address: bigint) =>
      address >= start && address < limit ? 'heap' : nameInProgram(address);
    const chainOf = (sample: Sample) => framesOf(sample.user)
      .map((word, i) => nameOf(i === 0 ? word : word - 1n))
      .filter((name) => name !== 'outside' && name !== '_start')
      .map((name) => `${name} `)
      .join('');
    const take = async () => {
      await sampler.take();
      await sleep(1500);
      return (await sampler.take()).samples.filter((s) => s.key.incarnation.tgid === child.pid);
    };
    sampler.start();
    await sleep(500);
    const before = await take();
    const isComplete = (s: Sample) => s.user?.end === FkStackEnd.FK_END_COMPLETE;
    assert.ok(before.length > 10 && !before.some((s) => isComplete(s) && chainOf(s) === whole),
      'without the runtime no stack crosses the heap');

    enterHeap(sampler, before[0]!.key.incarnation, { start, limit });
    const after = await take();
    const complete = after.filter(isComplete);
    assert.ok(after.length > 10 && complete.length >= 0.99 * after.length,
      `${complete.length} of ${after.length} complete`);
    for (const sample of complete) {
      const chain = chainOf(sample);
      assert.ok(whole.endsWith(chain) && chain.endsWith('main '), chain);
    }
    assert.ok(complete.some((s) => chainOf(s) === whole), 'some from the innermost function');
    assert.ok(complete.some((s) => chainOf(s).startsWith('heap ')), 'some from the heap itself');
  } finally {
    child.kill('SIGKILL');
    server.close();
    sampler.close();
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
