// The double buffer under load: every system call of the host is counted, and drained, exactly once.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { DoubleBuffer, type Drained } from '../../bpf/double-buffer.js';
import * as wire from '../../bpf/generated/wire.js';
import { FLIP_PAUSE_MS } from '../../bpf/generations.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { compileBpf, loadFixture, requiredHook, skipReason } from '../support/bpf-fixture.js';

const skip = skipReason() ?? false;
const object = skip === false ? compileBpf('double-buffer') : '';
const maps = { counts: 'counts', stacks: 'stacks', stats: 'stats', clocks: 'clocks' };
const output = { kind: 'stack', ...maps } as const;
const hooks = [requiredHook('enter')];
const TEST_TYPE = 1;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Totals {
  weight: number;
  seen: bigint;
  captured: bigint;
  lost: bigint;
  drains: number;
  unknownStacks: number;
}

async function flipAndAdd(buffer: DoubleBuffer, totals: Totals, stacks: Set<bigint>[]): Promise<Drained> {
  const { retired } = buffer.flip();
  await pause(FLIP_PAUSE_MS + 1);
  const drained = buffer.drain(retired);
  const known = new Set(drained.stackHashes);
  stacks.unshift(known);
  stacks.length = Math.min(stacks.length, 2);
  const keys = new DataView(drained.keys.buffer, drained.keys.byteOffset, drained.keys.byteLength);
  for (let i = 0; i < drained.count; i++) {
    totals.weight += drained.weights[i]!;
    const hash = keys.getBigUint64(i * wire.FK_SAMPLE_KEY_SIZE + wire.FK_SAMPLE_KEY_USER_STACK_OFFSET, true);
    if (!stacks.some((generation) => generation.has(hash))) totals.unknownStacks++;
  }
  const stats = wire.decodeFkSampleStats(drained.stats, TEST_TYPE * wire.FK_SAMPLE_STATS_SIZE);
  totals.seen += stats.seen;
  totals.captured += stats.captured;
  totals.lost += stats.lost[wire.FkLost.FK_LOST_COUNT_MAP_FULL]!;
  totals.drains++;
  return drained;
}

/** Two processes that do little but system calls, for about a second. */
async function underLoad(probe: LoadedProbe, step: () => Promise<unknown>): Promise<void> {
  const load = Array.from({ length: 2 }, () => {
    const args = ['if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=300000'];
    return once(spawn('dd', args, { stdio: 'ignore' }), 'exit');
  });
  let isLoaded = true;
  void Promise.all(load).then(() => (isLoaded = false));
  probe.openGate();
  while (isLoaded) await step();
  Atomics.store(probe.globals.u32('fk_enabled'), 0, 0);
  await pause(FLIP_PAUSE_MS + 1);
  await step();
  await step();
}

const noTotals = (): Totals => ({ weight: 0, seen: 0n, captured: 0n, lost: 0n, drains: 0, unknownStacks: 0 });

test('what was counted is drained, exactly', { skip }, async () => {
  const probe = loadFixture(object, hooks, { maxEntries: { counts: 4096, stacks: 4096 } });
  const buffer = new DoubleBuffer(probe, output);
  const totals = noTotals();
  const stacks: Set<bigint>[] = [];
  await underLoad(probe, () => flipAndAdd(buffer, totals, stacks));
  const counted = probe.globals.u64('counted')[0]!;
  console.log(`${counted} counted, ${totals.weight} drained in ${totals.drains} drains`);
  assert.ok(counted > 500_000n);
  assert.equal(BigInt(totals.weight), counted);
  assert.equal(totals.captured, counted);
  assert.equal(totals.lost, 0n);
  assert.equal(totals.seen, counted);
  assert.equal(totals.unknownStacks, 0);
  buffer.close();
  probe.close();
});

test('what does not fit is refused, and counted so', { skip }, async () => {
  const probe = loadFixture(object, hooks, { maxEntries: { counts: 64, stacks: 4096 } });
  assert.deepEqual(probe.map('counts').innerMaps.map(({ maxEntries }) => maxEntries), [64, 64]);
  const buffer = new DoubleBuffer(probe, output);
  const totals = noTotals();
  let most = 0;
  await underLoad(probe, async () => {
    most = Math.max(most, (await flipAndAdd(buffer, totals, [])).count);
    await pause(20);
  });
  const { globals } = probe;
  console.log(`${totals.weight} drained, ${totals.lost} refused, at most ${most} keys`);
  assert.equal(most, 64);
  assert.ok(totals.lost > 0n);
  assert.equal(totals.lost, globals.u64('refused')[0]);
  assert.equal(BigInt(totals.weight), globals.u64('counted')[0]);
  assert.equal(totals.seen, totals.captured + totals.lost);
  buffer.close();
  probe.close();
});

test('flips count on, and only a retired generation is drained', { skip }, () => {
  const probe = loadFixture(object, hooks);
  const buffer = new DoubleBuffer(probe, output);
  const first = buffer.flip();
  const second = buffer.flip();
  assert.deepEqual([first.retired, second.retired, buffer.generation], [0, 1, 2]);
  assert.ok(second.flipKtimeNs > first.flipKtimeNs);
  assert.equal(probe.globals.u64('fk_flip_ktime_ns')[0], second.flipKtimeNs);
  assert.throws(() => buffer.drain(0), /retired/);
  assert.equal(buffer.drain(1).count, 0);
  buffer.close();
  probe.close();
});

test('clocks are shared with the kernel', { skip }, () => {
  const probe = loadFixture(object, hooks, { maxEntries: { clocks: 3 } });
  const buffer = new DoubleBuffer(probe, output);
  buffer.clocks.setBigUint64(2 * wire.FK_CLOCK_SIZE, 123n, true);
  const value = probe.map('clocks').lookup(new Uint8Array(Uint32Array.of(2).buffer));
  assert.equal(new DataView(value!.buffer).getBigUint64(0, true), 123n);
  assert.equal(wire.decodeFkClock(buffer.drain(1).clocks, 2 * wire.FK_CLOCK_SIZE).anchor_ktime_ns, 123n);
  buffer.close();
  probe.close();
});

test('another layout than that of the wire structs is refused', { skip }, () => {
  const probe = loadFixture(object, hooks);
  assert.throws(() => new DoubleBuffer(probe, { ...output, counts: 'stacks' }), /has keys of/);
  assert.throws(() => new DoubleBuffer(probe, { ...output, clocks: 'stats' }), /has keys of/);
  assert.throws(() => new DoubleBuffer(probe, { ...output, counts: 'clocks' }), /has a map 0 inside/);
  probe.close();
});
