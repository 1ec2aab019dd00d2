// Block latency on a loop device: counts against /sys/block/*/stat, times against the raw tracepoints
// as perf records them.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { descriptor } from '../../bpf/probes/biolatency.js';
import { slotBoundsNs, slotOfNs } from '../../storage/model/histogram.js';
import { hiddenSwitches, measure, sumOf, type Measured } from './metric-support.js';
import { skipWithoutBpf, sleep } from './probe-support.js';

const skip =
  skipWithoutBpf || spawnSync('losetup', ['-f']).status === 0 ? skipWithoutBpf : 'needs a loop device';
const imageBytes = 256 << 20;

interface LoopDevice {
  readonly path: string;
  readonly name: string;
}

async function withLoop<T>(scheduler: string, work: (loop: LoopDevice) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-loop-'));
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, imageBytes);
  const path = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  const name = basename(path);
  try {
    writeFileSync(`/sys/block/${name}/queue/scheduler`, scheduler);
    await settle(name);
    return await work({ path, name });
  } finally {
    execFileSync('losetup', ['-d', path]);
    rmSync(folder, { recursive: true });
  }
}

interface DiskStats {
  readonly read: number;
  readonly write: number;
  readonly discard: number;
  readonly flush: number;
}

function diskStats(device: string): DiskStats {
  const text = readFileSync(`/sys/block/${device}/stat`, 'utf8');
  const columns = text.trim().split(/\s+/).map(Number);
  return { read: columns[0]!, write: columns[4]!, discard: columns[11]!, flush: columns[15]! };
}

/** Waits until its counts stand still: udev looks at every new device. */
async function settle(device: string): Promise<void> {
  for (let quiet = 0, before = ''; quiet < 5;) {
    await sleep(100);
    const now = JSON.stringify(diskStats(device));
    quiet = now === before ? quiet + 1 : 0;
    before = now;
  }
}

const fio = (path: string, ...options: string[]): string[] => [
  '--name=job', `--filename=${path}`, '--direct=1', '--bs=4k', '--output=/dev/null', ...options,
];

async function run(command: string, args: readonly string[]): Promise<void> {
  const [code] = (await once(spawn(command, args, { stdio: 'inherit' }), 'exit')) as [number];
  assert.equal(code, 0, `${command} ${args.join(' ')}`);
}

const psync = (path: string) => fio(path, '--ioengine=psync', '--rw=randrw', '--size=16m', '--fsync=64');
const libaio = (path: string) =>
  fio(path, '--ioengine=libaio', '--iodepth=32', '--rw=randrw', '--size=32m', '--bsrange=4k-64k');

/** The device's own rows and what its counts grew by. */
async function measureLoop(
  { name }: LoopDevice,
  work: () => Promise<unknown>,
): Promise<{ block: Measured; deltas: DiskStats }> {
  const before = diskStats(name);
  const [measured] = await measure(descriptor, [
    async () => {
      await work();
      await settle(name);
    },
  ]);
  const after = diskStats(name);
  const all = measured!.get('block')!;
  const deltas = {
    read: after.read - before.read,
    write: after.write - before.write,
    discard: after.discard - before.discard,
    flush: after.flush - before.flush,
  };
  return { block: { ...all, rows: all.rows.filter(({ labels }) => labels['device'] === name) }, deltas };
}

function countOf({ rows }: Measured, phase: string, operation: string): number {
  const wanted = rows.filter(({ labels }) => labels['phase'] === phase && labels['operation'] === operation);
  return sumOf(wanted, 'count');
}

const operations = ['read', 'write', 'discard', 'flush'] as const;

/** Every kind of request, some of which flush. */
async function everything({ path }: LoopDevice): Promise<void> {
  await run('fio', psync(path));
  await run('fio', libaio(path));
  await run('blkdiscard', ['-o', '0', '-l', '1M', path]);
  await run('blkdiscard', ['-o', '2M', '-l', '1M', path]);
  const dd = ['if=/dev/zero', `of=${path}`, 'bs=4k', `count=${flushingWrites}`, 'oflag=direct,dsync'];
  await run('dd', [...dd, 'status=none']);
}

/** Writes that ask for their own flush, after which they are completed a second time, empty. */
const flushingWrites = 20;

for (const scheduler of ['none', 'mq-deadline']) {
  test(`counts equal those of /sys/block/*/stat: ${scheduler}`, { skip }, async () => {
    // Where tasks of the host's own are out of sight, what is completed while they run is too.
    for (let attempt = 1; ; attempt++) {
      const hiddenBefore = hiddenSwitches();
      const { counted, expected } = await withLoop(scheduler, compareCounts);
      const hidden = hiddenSwitches() - hiddenBefore;
      console.log(`${JSON.stringify(counted)}, expected ${JSON.stringify(expected)}, hidden ${hidden}`);
      if (isDeepStrictEqual(counted, expected)) break;
      assert.ok(hidden > 0 && attempt < 6, 'equal counts');
      for (const op of operations) {
        assert.ok(Math.abs(counted[op] - expected[op]) <= Math.max(5, 0.02 * expected[op]), op);
      }
    }
  });
}

/** What perf saw of the device meanwhile. perf comes first, so that at each event its clock is read
 *  before our program has taken any time. */
async function measureBesidePerf(loop: LoopDevice, events: readonly string[], work: () => Promise<unknown>) {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-perf-'));
  const perfData = join(folder, 'perf.data');
  const names = events.map((event) => `block:block_rq_${event}`).join(',');
  const record = ['record', '-q', '-a', '-m', '4096', '-k', 'mono', '-e', names, '-o', perfData];
  const perf = spawn('perf', record, { stdio: 'inherit' });
  try {
    await sleep(1500);
    const measured = await measureLoop(loop, work);
    perf.kill('SIGINT');
    await once(perf, 'exit');
    return { ...measured, raw: eventsIn(perfData, loop.name) };
  } finally {
    perf.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** Ours, and the kernel's less the empty flushes, which are not issued. */
async function compareCounts(loop: LoopDevice): Promise<{ counted: DiskStats; expected: DiskStats }> {
  const { block, deltas, raw } = await measureBesidePerf(loop, ['complete'], () => everything(loop));
  const empty = raw.filter(({ kind, sectors }) => kind.startsWith('W') && sectors === 0);
  for (const row of block.rows) {
    assert.equal([...row.slots.values()].reduce((sum, count) => sum + count, 0), row.count);
  }
  assert.ok(deltas.discard >= 2 && deltas.flush > 0 && empty.length > flushingWrites);
  const isQueued = countOf(block, 'queue', 'read') > 0;
  const scheduler = readFileSync(`/sys/block/${loop.name}/queue/scheduler`, 'utf8');
  assert.equal(isQueued, !scheduler.includes('[none]'), 'without a scheduler nothing is inserted');
  const counted = {
    read: countOf(block, 'device', 'read'),
    write: countOf(block, 'device', 'write'),
    discard: countOf(block, 'device', 'discard'),
    flush: countOf(block, 'device', 'flush'),
  };
  return { counted, expected: { ...deltas, write: deltas.write - (empty.length - flushingWrites) } };
}

interface RawEvent {
  readonly ns: number;
  readonly event: string;
  /** perf's letters: R, W, D, FF, with S for synchronous. */
  readonly kind: string;
  readonly sector: string;
  readonly sectors: number;
}

/** The device's events of perf's record. */
function eventsIn(perfData: string, device: string): RawEvent[] {
  const script = ['script', '--ns', '-i', perfData, '-F', 'time,event,trace'];
  const { stdout: text } = spawnSync('perf', script, { encoding: 'utf8', maxBuffer: 1 << 28 });
  const [major, minor] = readFileSync(`/sys/block/${device}/dev`, 'utf8').trim().split(':');
  const line = /^\s*(\d+)\.(\d{9}):\s+block:block_rq_(\w+): (\d+),(\d+) (\w+) .*?\(.*?\) (\d+) \+ (\d+) /;
  return text.split('\n').flatMap((each) => {
    const [, seconds, fraction, event, ofMajor, ofMinor, kind, sector, sectors] = line.exec(each) ?? [];
    if (ofMajor !== major || ofMinor !== minor) return [];
    const ns = Number(seconds) * 1e9 + Number(fraction);
    return [{ ns, event: event!, kind: kind!, sector: sector!, sectors: Number(sectors) }];
  });
}

interface RawTimes {
  readonly queueNs: number[];
  readonly deviceNs: number[];
}

/** Requests with data, told apart by their sectors. */
function rawTimes(events: readonly RawEvent[]): RawTimes {
  const inserted = new Map<string, number>();
  const issued = new Map<string, number>();
  const times: RawTimes = { queueNs: [], deviceNs: [] };
  for (const { ns, event, sector, sectors } of events) {
    if (sectors === 0) continue;
    if (event === 'insert') inserted.set(sector, ns);
    if (event === 'issue') {
      issued.set(sector, ns);
      const start = inserted.get(sector);
      if (start !== undefined) times.queueNs.push(ns - start);
      inserted.delete(sector);
    }
    const start = issued.get(sector);
    if (event === 'complete' && start !== undefined) {
      times.deviceNs.push(ns - start);
      issued.delete(sector);
    }
  }
  return times;
}

function slotAtRank(rows: Measured['rows'], share: number): number {
  const counts = new Map<number, number>();
  for (const { slots } of rows) {
    for (const [slot, count] of slots) counts.set(slot, (counts.get(slot) ?? 0) + count);
  }
  const sorted = [...counts].sort(([a], [b]) => a - b);
  let rank = Math.ceil(share * sorted.reduce((sum, [, count]) => sum + count, 0));
  for (const [slot, count] of sorted) {
    rank -= count;
    if (rank <= 0) return slot;
  }
  throw new Error('no delays');
}

/** A quantile with fewer requests above it is one of a few stragglers. */
const minAbove = 10;

/** perf and we look at the clock one after the other, at each tracepoint; the first look comes later
 *  than the second by up to this. A slot is as wide at 11 us. */
const apartNs = 1000;

/** How many slots each quantile of a phase lies from that of the raw tracepoints, nearer ones than
 *  `apartNs` counted as 0. */
function slotsOff(block: Measured, phase: string, rawNs: readonly number[]): number[] {
  const delays = rawNs.toSorted((a, b) => a - b);
  const rows = block.rows.filter(
    ({ labels }) => labels['phase'] === phase && labels['operation'] !== 'flush',
  );
  const [ours, theirs] = [sumOf(rows, 'count'), delays.length];
  const shares = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999].filter((share) => (1 - share) * theirs >= minAbove);
  const off = shares.map((share) => {
    const delayNs = delays[Math.ceil(share * theirs) - 1]!;
    const slot = slotAtRank(rows, share);
    const { lowerNs, upperNs } = slotBoundsNs(slot);
    const isNear = delayNs >= lowerNs - apartNs && delayNs <= upperNs + apartNs;
    return isNear ? 0 : slot - slotOfNs(delayNs);
  });
  console.log(`${phase}: ${ours} requests, perf ${theirs}; slots off ${off.join(', ')} at ${shares.join(', ')}`);
  if (ours !== theirs) console.log(JSON.stringify(block.counters));
  assert.ok(Math.abs(ours - theirs) <= ours / 100, 'perf saw the same requests');
  return off;
}

for (const [name, options] of [['psync 4k', psync], ['libaio, 32 at once', libaio]] as const) {
  test(`quantiles are those of the raw tracepoints: ${name}`, { skip }, async () => {
    await withLoop('mq-deadline', async (loop) => {
      // On a busy host interrupts come between perf's look at the clock and ours.
      for (let attempt = 1; ; attempt++) {
        const events = ['insert', 'issue', 'complete'];
        const job = () => run('fio', options(loop.path));
        const { block, raw } = await measureBesidePerf(loop, events, job);
        const { queueNs, deviceNs } = rawTimes(raw);
        const off = [...slotsOff(block, 'queue', queueNs), ...slotsOff(block, 'device', deviceNs)];
        if (off.every((slots) => Math.abs(slots) <= 1)) break;
        assert.ok(attempt < 6, 'every quantile within one slot');
      }
    });
  });
}

test('requests that find no room under way are counted', { skip }, async () => {
  await withLoop('none', async (loop) => {
    const before = diskStats(loop.name);
    const [measured] = await measure(
      descriptor,
      [() => run('fio', libaio(loop.path))],
      { maxEntries: { in_flight: 4 } },
    );
    const after = diskStats(loop.name);
    const { counters, rows } = measured!.get('block')!;
    const requests = after.read - before.read + after.write - before.write;
    console.log(`${requests} requests: ${JSON.stringify(counters)}`);
    assert.ok(counters['lost.in_flight_full']! > 0);
    const ours = rows.filter(({ labels }) => labels['device'] === loop.name && labels['phase'] === 'device');
    assert.ok(sumOf(ours, 'count') + counters['lost.unknown_start']! >= requests);
  });
});

test('the check agrees, and tells of devices that make no requests', { skip }, async () => {
  await withLoop('none', async (loop) => {
    const intervals = await measure(descriptor, [
      () => sleep(100),
      () => sleep(100),
      () => run('fio', psync(loop.path)).then(() => settle(loop.name)),
    ]);
    const { counters } = intervals[2]!.get('block')!;
    const [kernel, ours] = [counters['check.requests.kernel']!, counters['check.requests.ours']!];
    console.log(`kernel ${kernel}, ours ${ours}`);
    assert.ok(kernel > 4000);
    assert.ok(Math.abs(ours / kernel - 1) < 0.01);
  });
  const stat = (writes: number) => `1 0 8 0 ${writes} 0 8 0 0 0 0 0 0 0 0 0 0\n`;
  const files = (writes: number) =>
    new Map([
      ['/sys/block/vda/stat', stat(writes)],
      ['/sys/block/vda/mq/0/nr_tags', '128\n'],
      ['/sys/block/dm-0/stat', stat(writes)],
    ]);
  const interval = {
    stats: { empty_flushes: 2 },
    fields: ['device', 'phase', 'operation'],
    keys: [['vda', 'device', 'write'], ['vda', 'queue', 'write'], ['vda', 'device', 'other']],
    counts: Float64Array.of(5, 5, 3),
    sumsNs: Float64Array.of(9, 9, 9),
  };
  assert.deepEqual(descriptor.checks![0]!.compare(files(10), files(17), interval), {
    kernel: 7,
    ours: 7,
    more: { 'unmeasured.dm-0': 7 },
  });
});
