// The sampling program, loaded and drained by hand: for tests of what it counts.

import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { DoubleBuffer, type Drained } from '../../bpf/double-buffer.js';
import { FLIP_PAUSE_MS } from '../../bpf/generations.js';
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
import { objectPath, sleep } from './probe-support.js';

const testFrequencyHz = 999;
const periodNs = 1_000_000_000n / BigInt(testFrequencyHz);
export const faultType = 3;
const output = descriptor.outputs[0] as StackOutput;

export interface Sample {
  readonly key: wire.FkSampleKey;
  readonly weight: number;
  readonly kernel: wire.FkStack | undefined;
  readonly user: wire.FkStack | undefined;
}

export interface Run {
  readonly clock: wire.FkSampleStats;
  readonly faults: wire.FkSampleStats;
  readonly samples: readonly Sample[];
  readonly stacks: ReadonlyMap<bigint, wire.FkStack>;
  /** Periods due between each CPU's anchor and the flip, and those between its last tick and the flip. */
  readonly due: bigint;
  readonly pending: bigint;
}

export interface SamplerOptions {
  readonly maxEntries?: Record<string, number>;
  readonly path?: string;
  /** Page faults, besides the clock. */
  readonly hasFaults?: boolean;
  /** One thread alone, on any CPU; then the accounts of periods mean nothing. */
  readonly tid?: number;
  readonly frequencyHz?: number;
}

/** Samples every CPU, or one thread, from its start on. */
export class Sampler {
  readonly probe: LoadedProbe;
  readonly #options: SamplerOptions;
  readonly #buffer: DoubleBuffer;
  readonly #fds: number[] = [];

  constructor(options: SamplerOptions = {}) {
    this.#options = options;
    const { maxEntries = {}, path } = options;
    this.probe = loadProbe({
      descriptor,
      objectPath: path ?? objectPath('sampler'),
      rodata: { fk_period_ns: periodNs },
      maxEntries: { clocks: cpus().length, ...maxEntries },
      verbosity: 0,
      log: (_level, line) => console.log(line),
    });
    this.#buffer = new DoubleBuffer(this.probe, output);
  }

  start(): void {
    this.probe.openGate();
    if (this.#options.tid !== undefined) return this.#openEvents(-1);
    for (let cpu = 0; cpu < cpus().length; cpu++) {
      const anchorAt = cpu * wire.FK_CLOCK_SIZE + wire.FK_CLOCK_ANCHOR_KTIME_NS_OFFSET;
      this.#buffer.clocks.setBigUint64(anchorAt, process.hrtime.bigint(), true);
      this.#openEvents(cpu);
    }
  }

  stop(): void {
    for (const fd of this.#fds) disablePerfEvent(fd);
  }

  /** What was counted since the last time. */
  async take(): Promise<Run> {
    const { retired, flipKtimeNs } = this.#buffer.flip();
    await sleep(FLIP_PAUSE_MS + 1);
    return decodeRun(this.#buffer.drain(retired), flipKtimeNs);
  }

  close(): void {
    for (const fd of this.#fds) closeFd(fd);
    this.#buffer.close();
    this.probe.close();
  }

  #openEvents(cpu: number): void {
    const common = { type: perfType.software, flags: ['disabled'] } as const;
    const { tid, hasFaults = false, frequencyHz = testFrequencyHz } = this.#options;
    const clock = { ...common, config: softwareEvent.cpuClock, frequencyHz };
    const faults = {
      ...common, config: softwareEvent.pageFaults, period: 1, wakeupEvents: faultType,
    };
    const attrs = hasFaults ? [clock, faults] : [clock];
    for (const attr of attrs) {
      const opened = openPerfEvent(attr, tid === undefined ? { cpu } : { cpu, tid });
      assert.ok('fd' in opened, 'a software event can be opened');
      this.#fds.push(opened.fd);
      this.probe.attachPerfEvent('sample', opened.fd);
      enablePerfEvent(opened.fd);
    }
  }
}

/** Loads the sampler, samples clock and page faults while `work` runs, flips once, drains. */
export async function runSampler(
  work: () => Promise<void>,
  maxEntries: Record<string, number> = {},
): Promise<Run> {
  const sampler = new Sampler({ maxEntries, hasFaults: true });
  try {
    sampler.start();
    await work();
    sampler.stop();
    return await sampler.take();
  } finally {
    sampler.close();
  }
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

export function framesOf(stack: wire.FkStack | undefined): readonly bigint[] {
  return stack?.words.slice(0, stack.n_words) ?? [];
}

/** Spawns, gives the child to `use`, kills it; ends when it has ended. */
export async function withChild(
  path: string,
  args: readonly string[],
  use: (child: ChildProcess) => Promise<void>,
): Promise<void> {
  const child = spawn(path, args, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await use(child);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** Functions of a program linked without -pie: name of the one an address lies in. */
export function functionFinder(path: string): (address: bigint) => string {
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
