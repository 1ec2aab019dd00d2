// The sampling program against what is known about the sampled: accounts close exactly, stacks are a
// known program's, identity is what /proc says, and full maps lose nothing uncounted.

import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { DoubleBuffer, FLIP_PAUSE_MS, type Drained } from '../../bpf/double-buffer.js';
import type { StackOutput } from '../../bpf/descriptor.js';
import * as wire from '../../bpf/generated/wire.js';
import { loadProbe } from '../../bpf/life.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { descriptor } from '../../bpf/probes/sampler.js';
import { closeFd } from '../../ffi/libc.js';
import {
  disablePerfEvent,
  enablePerfEvent,
  openPerfEvent,
  perfType,
  softwareEvent,
} from '../../ffi/perf-event.js';
import { buildFixture, objectPath, skipWithoutBpf, sleep } from './probe-support.js';

const frequencyHz = 999;
const periodNs = 1_000_000_000n / BigInt(frequencyHz);
const faultType = 3;
const { FkFrameKind, FkLost, FkStackEnd, FkStackId } = wire;
const output = descriptor.outputs[0] as StackOutput;

interface Sample {
  readonly key: wire.FkSampleKey;
  readonly weight: number;
  readonly kernel: wire.FkStack | undefined;
  readonly user: wire.FkStack | undefined;
}

interface Run {
  readonly clock: wire.FkSampleStats;
  readonly faults: wire.FkSampleStats;
  readonly samples: readonly Sample[];
  readonly stacks: ReadonlyMap<bigint, wire.FkStack>;
  /** Periods due between each CPU's anchor and the flip, and those between its last tick and the flip. */
  readonly due: bigint;
  readonly pending: bigint;
}

/** Loads the sampler, samples every CPU's clock and page faults while `work` runs, flips once, drains. */
async function runSampler(work: () => Promise<void>, maxEntries: Record<string, number> = {}): Promise<Run> {
  const probe = loadProbe({
    descriptor,
    objectPath: objectPath('sampler'),
    rodata: { fk_period_ns: periodNs },
    maxEntries: { clocks: cpus().length, ...maxEntries },
    verbosity: 0,
    log: (_level, line) => console.log(line),
  });
  const buffer = new DoubleBuffer(probe, output);
  const fds = [];
  try {
    probe.openGate();
    for (let cpu = 0; cpu < cpus().length; cpu++) fds.push(...openEvents(probe, buffer, cpu));
    await work();
    for (const fd of fds) disablePerfEvent(fd);
    const { retired, flipKtimeNs } = buffer.flip();
    await sleep(FLIP_PAUSE_MS + 1);
    return decodeRun(buffer.drain(retired), flipKtimeNs);
  } finally {
    for (const fd of fds) closeFd(fd);
    buffer.close();
    probe.close();
  }
}

function openEvents(probe: LoadedProbe, buffer: DoubleBuffer, cpu: number): number[] {
  const common = { type: perfType.software, flags: ['disabled'] } as const;
  const attrs = [
    { ...common, config: softwareEvent.cpuClock, frequencyHz },
    { ...common, config: softwareEvent.pageFaults, period: 1, wakeupEvents: faultType },
  ];
  const anchorAt = cpu * wire.FK_CLOCK_SIZE + wire.FK_CLOCK_ANCHOR_KTIME_NS_OFFSET;
  buffer.clocks.setBigUint64(anchorAt, process.hrtime.bigint(), true);
  return attrs.map((attr) => {
    const opened = openPerfEvent(attr, { cpu });
    assert.ok('fd' in opened, 'a software event can be opened');
    probe.attachPerfEvent('sample', opened.fd);
    enablePerfEvent(opened.fd);
    return opened.fd;
  });
}

function decodeRun(drained: Drained, flipKtimeNs: bigint): Run {
  const stackView = new DataView(drained.stacks.buffer, drained.stacks.byteOffset, drained.stacks.byteLength);
  const stacks = new Map<bigint, wire.FkStack>();
  for (let i = 0; i < drained.stackCount; i++) {
    stacks.set(drained.stackHashes[i]!, wire.decodeFkStack(stackView, i * wire.FK_STACK_SIZE));
  }
  const keyView = new DataView(drained.keys.buffer, drained.keys.byteOffset, drained.keys.byteLength);
  const samples = Array.from({ length: drained.count }, (_, i) => {
    const key = wire.decodeFkSampleKey(keyView, i * wire.FK_SAMPLE_KEY_SIZE);
    const weight = drained.weights[i]!;
    return { key, weight, kernel: stacks.get(key.kernel_stack), user: stacks.get(key.user_stack) };
  });
  let due = 0n;
  let pending = 0n;
  for (let at = 0; at < drained.clocks.byteLength; at += wire.FK_CLOCK_SIZE) {
    const clock = wire.decodeFkClock(drained.clocks, at);
    const dueAtFlip = (flipKtimeNs - clock.anchor_ktime_ns) / periodNs;
    due += dueAtFlip;
    pending += dueAtFlip - clock.due;
  }
  const statsOf = (type: number) => wire.decodeFkSampleStats(drained.stats, type * wire.FK_SAMPLE_STATS_SIZE);
  return { clock: statsOf(0), faults: statsOf(faultType), samples, stacks, due, pending };
}

function sum(numbers: readonly (number | bigint)[]): number {
  return numbers.reduce<number>((total, n) => total + Number(n), 0);
}

function weightOf(samples: readonly Sample[], type: number): number {
  return sum(samples.filter((s) => s.key.sample_type === type).map((s) => s.weight));
}

function framesOf(stack: wire.FkStack | undefined): readonly bigint[] {
  return stack?.words.slice(0, stack.n_words) ?? [];
}

/** Spawns, gives the child to `use`, kills it; ends when it has ended. */
async function withChild(path: string, args: readonly string[], use: (child: ChildProcess) => Promise<void>) {
  const child = spawn(path, args, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await use(child);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** The same hash as the kernel's, from its definition. */
function contentHash({ n_words, end, words }: wire.FkStack): bigint {
  const mask = 2n ** 64n - 1n;
  let hash = (BigInt(n_words) << 8n) | BigInt(end);
  for (const word of words.slice(0, n_words)) {
    hash = ((hash ^ word) * 0x9e3779b97f4a7c15n) & mask;
    hash ^= hash >> 32n;
  }
  hash = ((hash ^ (hash >> 33n)) * 0xff51afd7ed558ccdn) & mask;
  hash = ((hash ^ (hash >> 33n)) * 0xc4ceb9fe1a85ec53n) & mask;
  hash ^= hash >> 33n;
  return hash < BigInt(FkStackId.FK_STACK_FIRST) ? hash + BigInt(FkStackId.FK_STACK_FIRST) : hash;
}

/** Functions of a program linked without -pie: name of the one an address lies in. */
function functionFinder(path: string): (address: bigint) => string {
  const symbols = execFileSync('nm', ['-n', path], { encoding: 'utf8' }).split('\n')
    .map((line) => /^([0-9a-f]+) [tT] (\w+)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ address: BigInt(`0x${match[1]}`), name: match[2]! }));
  const end = symbols.find((s) => s.name === '_fini')!.address;
  return (address) => {
    const symbol = address > end ? undefined : symbols.findLast((s) => s.address <= address);
    return symbol?.name ?? 'outside';
  };
}

const knownFlags = ['-O0', '-fno-omit-frame-pointer', '-no-pie'];

test('a known program: accounts, shares, stacks, identity', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('known-program.c', ...knownFlags);
  let tgid = 0;
  let startTicks = 0;
  const run = await runSampler(() => withChild(program, ['60'], async (child) => {
    tgid = child.pid!;
    await sleep(3000);
    startTicks = Number(readFileSync(`/proc/${tgid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[19]);
  }));
  const { clock } = run;
  assert.equal(clock.seen, clock.captured + clock.idle + BigInt(sum(clock.lost)), 'every tick has a fate');
  assert.equal(weightOf(run.samples, 0), Number(clock.captured_weight), 'drained = counted in the kernel');
  const told = clock.captured + clock.idle + clock.not_fired + run.pending;
  assert.equal(told, run.due, 'every due period has a fate');

  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid && s.key.sample_type === 0 && s.user);
  const total = weightOf(own, 0);
  assert.ok(total > 300, `${total} samples of the program`);
  for (const { key } of own) {
    assert.equal(key.tid, tgid);
    assert.equal(key.uid, 0);
    const { start_boot_ns } = key.incarnation;
    assert.ok(Math.abs(Number(start_boot_ns) / 1e7 - startTicks) < 2, 'starts when /proc says');
  }

  const nameOf = functionFinder(program);
  const chainOf = ({ user }: Sample) => framesOf(user)
    .map((word, i) => nameOf(i === 0 ? word : word - 1n))
    .filter((name) => name !== 'outside');
  const isBelow = (sample: Sample, ...callers: string[]) => {
    return callers.every((name) => chainOf(sample).includes(name));
  };
  const share = (...callers: string[]) => weightOf(own.filter((s) => isBelow(s, ...callers)), 0) / total;
  const expected: [number, ...string[]][] = [
    [0.1, 'share_10'], [0.2, 'share_20'], [0.7, 'share_70'], [0.21, 'left_30', 'shared_leaf'],
    [0.49, 'right_70', 'shared_leaf'], [1, 'main', 'round_of_work'],
  ];
  for (const [p, ...callers] of expected) {
    const tolerance = 5 * Math.sqrt((p * (1 - p)) / total) + 0.02;
    const measured = share(...callers);
    assert.ok(Math.abs(measured - p) < tolerance, `${callers.join(' <- ')}: ${measured} for ${p}`);
  }
  const whole = ['spin', 'shared_leaf', 'right_70', 'share_70', 'round_of_work', 'main'];
  assert.ok(own.some((s) => chainOf(s).join() === whole.join()), 'leaf first, no frame left out');
});

test('stacks are kept under the hash of their content', { skip: skipWithoutBpf }, async () => {
  const run = await runSampler(async () => {
    for (let i = 0; i < 40; i++) execFileSync('ls', ['-lR', '/usr/include/linux']);
  });
  assert.ok(run.stacks.size > 50, `${run.stacks.size} stacks`);
  for (const [hash, stack] of run.stacks) assert.equal(contentHash(stack), hash);
  for (const { key, kernel, user } of run.samples) {
    const isKept = (id: bigint) => id < FkStackId.FK_STACK_FIRST || run.stacks.has(id);
    assert.ok(isKept(key.kernel_stack) && isKept(key.user_stack), 'a count comes with its stacks');
    assert.ok(framesOf(kernel).every((word) => Number(word >> 56n) === FkFrameKind.FK_FRAME_KERNEL));
    assert.ok(framesOf(user).every((word) => Number(word >> 56n) === FkFrameKind.FK_FRAME_USER));
  }
  assert.ok(run.samples.some((s) => s.kernel && s.user), 'kernel mode has the user stack that led there');
});

test('page faults go through the same program, one by one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('touch-pages.c', '-O0');
  const pages = 5000;
  let tgid = 0;
  const run = await runSampler(() => withChild(program, [String(pages)], async (child) => {
    tgid = child.pid!;
    await sleep(1000);
  }));
  assert.equal(weightOf(run.samples, faultType), Number(run.faults.captured_weight));
  assert.equal(run.faults.seen, run.faults.captured + BigInt(sum(run.faults.lost)));
  const own = weightOf(run.samples.filter((s) => s.key.incarnation.tgid === tgid), faultType);
  assert.ok(own >= pages && own < pages + 1000, `${own} faults for ${pages} pages`);
});

test('a 32-bit process is said to be one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('spin-32bit.S', '-m32', '-nostdlib', '-static');
  let tgid = 0;
  const run = await runSampler(() => withChild(program, [], async (child) => {
    tgid = child.pid!;
    await sleep(500);
  }));
  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid && s.key.sample_type === 0);
  const end = weightOf(own.filter((s) => s.key.user_stack === BigInt(1 + FkStackEnd.FK_END_32BIT)), 0);
  assert.ok(end > 50 && end / weightOf(own, 0) > 0.9, `${end} of ${weightOf(own, 0)} samples`);
});

test('an exec starts another incarnation of the same tgid and start', { skip: skipWithoutBpf }, async () => {
  let tgid = 0;
  const script = 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec sha256sum /dev/zero';
  const run = await runSampler(() => withChild('/bin/sh', ['-c', script], async (child) => {
    tgid = child.pid!;
    await sleep(1500);
  }));
  const own = run.samples.filter((s) => s.key.incarnation.tgid === tgid);
  const execIds = [...new Set(own.map((s) => s.key.incarnation.exec_id))].sort((a, b) => a - b);
  assert.ok(execIds.length >= 2, `exec ids ${execIds.join()}`);
  assert.equal(new Set(own.map((s) => s.key.incarnation.start_boot_ns)).size, 1);
});

test('in an exec no frame of the old image comes under the new one', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('exit-now.S', '-nostdlib', '-static', '-no-pie');
  const tgids = new Set<number>();
  const run = await runSampler(async () => {
    for (let i = 0; i < 100; i++) {
      await withChild('/bin/sh', ['-c', `exec ${program}`], async (child) => {
        tgids.add(child.pid!);
        await once(child, 'exit');
      });
    }
  });
  const own = run.samples.filter((s) => tgids.has(s.key.incarnation.tgid));
  const forkedId = Math.min(...own.map((s) => s.key.incarnation.exec_id));
  const replaced = own.filter((s) => s.key.incarnation.exec_id === forkedId + 2);
  const faults = weightOf(replaced, faultType);
  assert.ok(faults >= 100, `${faults} page faults after the exec`);
  const inExec = replaced.filter((s) => s.key.user_stack === BigInt(1 + FkStackEnd.FK_END_NO_REGISTERS));
  assert.ok(inExec.length > 0, 'some are taken before the new image runs');
  for (const { user } of replaced) assert.ok(framesOf(user).every((word) => word < 1n << 24n));
});

test('full maps: what is lost is counted, what is cut says so', { skip: skipWithoutBpf }, async () => {
  const work = async () => {
    for (let i = 0; i < 10; i++) execFileSync('ls', ['-lR', '/usr/include/linux']);
  };
  const fewKeys = await runSampler(work, { counts: 16 });
  const { clock, faults } = fewKeys;
  assert.ok(clock.lost[FkLost.FK_LOST_COUNT_MAP_FULL]! + faults.lost[FkLost.FK_LOST_COUNT_MAP_FULL]! > 0n);
  assert.equal(clock.seen, clock.captured + clock.idle + BigInt(sum(clock.lost)));
  assert.equal(weightOf(fewKeys.samples, 0), Number(clock.captured));

  const fewStacks = await runSampler(work, { stacks: 8 });
  assert.ok(fewStacks.stacks.size <= 8);
  const cut = BigInt(1 + FkStackEnd.FK_END_STACK_MAP_FULL);
  assert.ok(fewStacks.samples.some((s) => s.key.user_stack === cut));
  assert.equal(weightOf(fewStacks.samples, 0), Number(fewStacks.clock.captured), 'only the stack is lost');
});
