// Block latency on this kernel: counts against a disk's own and the kernel's tracer, with requests that
// are merged or come back from the driver, and the cgroup that asked.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BlockEvent } from '../../kernel/block-support.js';
import { blockIo, compareCounts, countOf, measureBesideTracer, measureDevice } from '../../kernel/block-support.js';
import { quantilesOff, type Measured } from '../../kernel/metric-support.js';

const program = '/programs/block-io';
const run = blockIo(program);
/** As boot.ts gives it: few descriptors, so that large requests at once find no room. */
const disk = 'vda';
const flushingWrites = 20;
const steps = ['r:300', 'w:300', 'f:20', `s:${flushingWrites}`, 'd:5', 'b:0,1,2,3,8,10,9,20,19'];

/** Emulated, the tracer takes its time between its look at the clock and ours. */
const emulated = { apartNs: 50_000 };

const setScheduler = (device: string, name: string) =>
  writeFileSync(`/sys/block/${device}/queue/scheduler`, name);

for (const scheduler of ['none', 'mq-deadline']) {
  test(`block counts equal those of /sys/block/*/stat: ${scheduler}`, async (t) => {
    setScheduler(disk, scheduler);
    const { counted, expected } = await compareCounts(disk, flushingWrites, async () => run(disk, ...steps));
    t.diagnostic(`block, ${scheduler}: ${JSON.stringify(counted)}, expected ${JSON.stringify(expected)}`);
    assert.deepEqual(counted, expected);
  });

  test(`a request that the driver hands back waits again: ${scheduler}`, async (t) => {
    setScheduler(disk, scheduler);
    const { block, deltas, raw } = await measureBesideTracer(disk, async () => run(disk, 'v:32,12', 'v:32,12'));
    const requeues = raw.filter(({ event }) => event === 'requeue').length;
    const times = timesOf(raw);
    const off = (['queue', 'device'] as const).map((phase) => {
      return quantilesOff(ofPhase(block, phase), times[phase], emulated);
    });
    t.diagnostic(
      `requeued, ${scheduler}: ${requeues} times of ${deltas.write} requests, ${times.queue.length} ` +
        `of which waited; slots off ${off[0]!.join(' ')}, device ${off[1]!.join(' ')}`,
    );
    assert.ok(requeues > 0);
    assert.equal(block.counters['requeued'], requeues);
    assert.equal(countOf(block, 'device', 'write'), deltas.write);
    assert.equal(countOf(block, 'device', 'write'), times.device.length);
    assert.equal(countOf(block, 'queue', 'write'), times.queue.length);
    assert.ok(off.flat().every((slots) => Math.abs(slots) <= 1), 'every quantile within one slot');
    assert.equal(block.counters['lost.unknown_start'] ?? 0, 0);
    assert.equal(block.counters['lost.unknown_end'] ?? 0, 0);
  });
}

const ofPhase = ({ rows }: Measured, phase: string) => rows.filter(({ labels }) => labels['phase'] === phase);

/** Of requests with data, told apart by their sectors: the queue from the insert, else the first time
 *  that it came back, to the last issue. **Units**: ns. */
function timesOf(raw: readonly BlockEvent[]) {
  const waiting = new Map<string, number>();
  const issued = new Map<string, number>();
  const times = { queue: [] as number[], device: [] as number[] };
  for (const { us, event, sector, sectors } of raw) {
    if (sectors === 0) continue;
    if ((event === 'insert' || event === 'requeue') && !waiting.has(sector)) waiting.set(sector, us);
    if (event === 'issue') issued.set(sector, us);
    const issue = issued.get(sector);
    if (event !== 'complete' || issue === undefined) continue;
    times.device.push((us - issue) * 1000);
    const since = waiting.get(sector);
    if (since !== undefined) times.queue.push((issue - since) * 1000);
    waiting.delete(sector);
    issued.delete(sector);
  }
  return times;
}

/** nullb0 is there with the module. Newer kernels name a device by its folder. */
const slowDevice = 'nullb1';

/** A device of memory that takes 4 requests at a time and `completionMs` for each. */
async function withSlowDevice(completionMs: number, work: () => Promise<void>): Promise<void> {
  const folder = `/sys/kernel/config/nullb/${slowDevice}`;
  mkdirSync(folder);
  try {
    const settings = {
      irqmode: 2,
      completion_nsec: completionMs * 1e6,
      hw_queue_depth: 4,
      submit_queues: 1,
      size: 64,
      power: 1,
    };
    for (const [name, value] of Object.entries(settings)) writeFileSync(join(folder, name), String(value));
    await work();
  } finally {
    rmdirSync(folder);
  }
}

test('a request that is merged into another is gone, both ways', async (t) => {
  await withSlowDevice(400, async () => {
    const name = slowDevice;
    setScheduler(name, 'mq-deadline');
    writeFileSync(`/sys/block/${name}/queue/nr_requests`, '16');
    // Four keep the device busy, a fifth is tried and stays with the driver. In the queue 100 and 102
    // wait until 101 closes the gap between them; 201 grows at its front, 300 at its back.
    const held = ['b:10,20,30,40&', 'p:50&', 'b:50&'];
    const merging = ['b:100&', 'b:102&', 'b:101&', 'b:201&', 'b:200&', 'b:300&', 'b:301&'];
    const { block, deltas, raw } = await measureBesideTracer(name, async () => run(name, ...held, ...merging));
    const merges = raw.filter(({ event }) => event === 'merge').length;
    const sizes = ofPhase(block, 'device').map(({ labels, count }) => [labels['size'], count]);
    t.diagnostic(`merged: ${JSON.stringify(deltas)}, ${merges} of requests; sizes ${JSON.stringify(sizes)}`);
    assert.deepEqual([deltas.write, deltas.merged], [8, 4]);
    assert.equal(countOf(block, 'device', 'write'), 8);
    assert.equal(countOf(block, 'queue', 'write'), 8);
    assert.equal(block.counters['merged'], merges);
    assert.deepEqual(Object.fromEntries(sizes), { '<=4K': 5, '<=16K': 3 });
  });
});

test('block I/O goes to the cgroup that asked for it, where the kernel knows', async (t) => {
  const root = '/sys/fs/cgroup';
  const folder = join(root, 'asks');
  mkdirSync(folder);
  try {
    const inside = ['-c', `echo $$ > ${folder}/cgroup.procs; exec ${program} /dev/${disk} r:50 w:50`];
    const write = async () => void execFileSync('sh', inside);
    const unknown = await measureDevice(disk, write);
    writeFileSync(join(root, 'cgroup.subtree_control'), '+io');
    const known = await measureDevice(disk, write);
    const id = String(statSync(folder, { bigint: true }).ino);
    const counts = [unknown, known].map(({ block }) =>
      Object.fromEntries(ofPhase(block, 'device').map(({ labels, count }) => [`${labels['operation']} of ${labels['cgroup']}`, count])),
    );
    t.diagnostic(`issuer ${id}: ${JSON.stringify(counts)}`);
    assert.deepEqual(counts, [
      { 'read of 0': 50, 'write of 0': 50 },
      { [`read of ${id}`]: 50, [`write of ${id}`]: 50 },
    ]);
  } finally {
    writeFileSync(join(root, 'cgroup.subtree_control'), '-io');
    rmdirSync(folder);
  }
});
