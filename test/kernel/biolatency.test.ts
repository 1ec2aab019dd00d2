// Block latency on a loop device: counts against /sys/block/*/stat, times against the raw tracepoints
// as perf records them.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, rmdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { descriptor } from '../../bpf/probes/biolatency.js';
import { cgroupHierarchies } from '../../collector/process/cgroups.js';
import { skipWithoutFtrace } from '../support/ftrace.js';
import { compareCounts, countOf, diskStats, measureBesideTracer, measureDevice } from './block-support.js';
import { operations, parseRequest, settle } from './block-support.js';
import { hiddenSwitches, measure, quantilesOff, sumOf, type Measured } from './metric-support.js';
import { buildFixture, skipWithoutBpf, sleep } from './probe-support.js';

const skip =
  skipWithoutBpf || spawnSync('losetup', ['-f']).status === 0 ? skipWithoutBpf : 'needs a loop device';
const imageBytes = 256 << 20;
const blkio = '/sys/fs/cgroup/blkio';

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
      const { counted, expected } = await withLoop(scheduler, (loop) =>
        compareCounts(loop.name, flushingWrites, () => everything(loop)),
      );
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
    const measured = await measureDevice(loop.name, work);
    perf.kill('SIGINT');
    await once(perf, 'exit');
    return { ...measured, raw: eventsIn(perfData, loop.name) };
  } finally {
    perf.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

interface RawEvent {
  readonly ns: number;
  readonly event: string;
  readonly sector: string;
  readonly sectors: number;
}

/** The device's events of perf's record. */
function eventsIn(perfData: string, device: string): RawEvent[] {
  const script = ['script', '--ns', '-i', perfData, '-F', 'time,event,trace'];
  const { stdout: text } = spawnSync('perf', script, { encoding: 'utf8', maxBuffer: 1 << 28 });
  const line = /^\s*(\d+)\.(\d{9}):\s+block:block_rq_(\w+): (.*)$/gm;
  return [...text.matchAll(line)].flatMap(([, seconds, fraction, event, rest]) => {
    const request = parseRequest(device, rest!);
    if (request === undefined) return [];
    return [{ ns: Number(seconds) * 1e9 + Number(fraction), event: event!, ...request }];
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

/** perf and we look at the clock one after the other, at each tracepoint; the first look comes later
 *  than the second by up to this. A slot is as wide at 11 us. */
const apartNs = 1000;

/** How many slots each quantile of a phase lies from that of the raw tracepoints, nearer ones than
 *  `apartNs` counted as 0. */
function slotsOff(block: Measured, phase: string, rawNs: readonly number[]): number[] {
  const rows = block.rows.filter(
    ({ labels }) => labels['phase'] === phase && labels['operation'] !== 'flush',
  );
  const [ours, theirs] = [sumOf(rows, 'count'), rawNs.length];
  const off = quantilesOff(rows, rawNs, { apartNs });
  console.log(`${phase}: ${ours} requests, perf ${theirs}; slots off ${off.join(', ')}`);
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

test('what is merged on its way into the queue is one request, by its whole size', { skip: skip || skipWithoutFtrace }, async () => {
  const blockIo = buildFixture('block-io.c', '-O1');
  await withLoop('mq-deadline', async ({ name, path }) => {
    // In one submission: 1 grows at its back, 11 at its front, 21 closes a gap.
    const steps = ['b:1,2,11,10,20,22,21'];
    const { block, deltas, raw } = await measureBesideTracer(name, () => run(blockIo, [path, ...steps]));
    const completed = raw.filter(({ event, sectors }) => event === 'complete' && sectors > 0);
    const sizes = completed.map(({ sectors }) => (sectors > 8 ? '<=16K' : '<=4K'));
    console.log(`${deltas.write} requests of 7 writes, ${deltas.merged} merged: ${sizes.join(', ')}`);
    assert.ok(deltas.merged >= 2, 'some were merged');
    assert.equal(countOf(block, 'device', 'write'), deltas.write);
    assert.equal(deltas.write + deltas.merged, 7);
    for (const size of ['<=4K', '<=16K']) {
      const ours = block.rows.filter(({ labels }) => labels['size'] === size && labels['phase'] === 'device');
      assert.equal(sumOf(ours, 'count'), sizes.filter((each) => each === size).length, size);
    }
  });
});

test('block I/O goes to the cgroup that asked for it', {
  skip: skip || (existsSync(blkio) ? false : 'needs the blkio controller of cgroup v1'),
}, async () => {
  const blockIo = buildFixture('block-io.c', '-O1');
  const hierarchies = cgroupHierarchies();
  const folder = join(blkio, `fk-${process.pid}`);
  mkdirSync(folder);
  try {
    const id = statSync(folder, { bigint: true }).ino | (4n << 56n);
    await withLoop('none', async ({ name, path }) => {
      const asks = [`echo $$ > ${folder}/cgroup.procs`, `exec ${blockIo} ${path} r:50 w:50`].join('; ');
      const { block } = await measureDevice(name, () => run('sh', ['-c', asks]), {
        rodata: { fk_cgroup_hierarchies: [...hierarchies.ids] },
      });
      const counts = ['read', 'write'].map((operation) => {
        const { rows } = block;
        const ours = rows.filter(({ labels }) => labels['operation'] === operation);
        return [...new Set(ours.map(({ labels }) => labels['cgroup'])), sumOf(ours, 'count')];
      });
      assert.deepEqual(counts, [[String(id), 50], [String(id), 50]]);
    });
  } finally {
    rmdirSync(folder);
  }
});

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
