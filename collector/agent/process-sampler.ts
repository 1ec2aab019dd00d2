// Fresh stacks of one process, for a command that looks closer than the daemon: a sampler of its own,
// on that process's threads only, with the unwind tables that these stacks need. Everything happens
// in this thread and ends with close().

import { setTimeout as sleep } from 'node:timers/promises';
import type { StackOutput, UnwindOutput } from '../../bpf/descriptor.js';
import { DoubleBuffer } from '../../bpf/double-buffer.js';
import type { Drained } from '../../bpf/double-buffer.js';
import * as wire from '../../bpf/generated/wire.js';
import { FLIP_PAUSE_MS } from '../../bpf/generations.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { Config } from '../../config/load.js';
import { closeFd } from '../../ffi/libc.js';
import { enablePerfEvent, openPerfEvent, perfType, softwareEvent } from '../../ffi/perf-event.js';
import { assert } from '../../storage/model/errors.js';
import { possibleCpuCount } from '../host/cpus.js';
import { UnwindFiles } from '../host/unwind-files.js';
import { answerQuestion } from '../unwind/file-tables.js';
import { findProbes, loadProbes } from './probes.js';

/** A prime; the process is looked at for a moment only. */
const FREQUENCY_HZ = 997;
const SWITCH_TYPE = 1;
const MAX_THREADS = 512;
const MAP_ENTRIES = 4096;
const ROUND_MS = 100;
const READ_MS = 5;

export interface FreshStack {
  readonly tid: number;
  readonly weight: number;
  readonly user: StackEnd | undefined;
  readonly kernel: StackEnd | undefined;
}

/** Leaf first; addresses signed, exact. */
export interface StackEnd {
  readonly words: readonly number[];
  /** enum fk_stack_end. */
  readonly end: number;
}

export class ProcessSampler {
  readonly #tgid: number;
  readonly #probe: LoadedProbe;
  readonly #buffer: DoubleBuffer;
  readonly #files: UnwindFiles;
  readonly #timer: NodeJS.Timeout;
  readonly #fds: number[] = [];

  private constructor(
    tgid: number,
    probe: LoadedProbe,
    outputs: { readonly stack: StackOutput; readonly unwind: UnwindOutput },
    config: Config,
  ) {
    this.#tgid = tgid;
    this.#probe = probe;
    this.#buffer = new DoubleBuffer(probe, outputs.stack);
    this.#files = new UnwindFiles(probe, outputs.unwind, {
      limits: { ...config.unwind, cpuShare: 1, burstMs: 60_000 },
      findMapping: () => undefined,
      ask: (question) =>
        setImmediate(() =>
          this.#files.answered(answerQuestion(question, config.unwind.maxFileBytes)),
        ),
    });
    this.#timer = setInterval(() => this.#files.read(), READ_MS);
  }

  /** **Errors**: what loadProbe throws. Threads that end meanwhile are left out. */
  static async start(
    tgid: number,
    tids: readonly number[],
    config: Config,
    verbosity: number,
  ): Promise<ProcessSampler> {
    const files = (await findProbes()).filter(({ descriptor }) =>
      descriptor.outputs.some(({ kind }) => kind === 'unwind'),
    );
    const facts = {
      periodNs: BigInt(Math.floor(1e9 / FREQUENCY_HZ)),
      cgroupHierarchies: [0, 0, 0, 0],
      possibleCpus: possibleCpuCount(),
      countMapEntries: MAP_ENTRIES,
      stackMapEntries: MAP_ENTRIES,
      unwindFiles: config.unwind.maxFiles,
    };
    const log = (_: string, line: string) => void process.stderr.write(`${line}\n`);
    const [loaded] = loadProbes(files, { ...config, probes: {} }, facts, { verbosity, log });
    assert(loaded !== undefined, 'there is a probe that unwinds');
    const { descriptor } = loaded.file;
    const stack = descriptor.outputs.find((each): each is StackOutput => each.kind === 'stack');
    const unwind = descriptor.outputs.find((each): each is UnwindOutput => each.kind === 'unwind');
    const program = descriptor.hooks.find(({ attach }) => attach === 'perf_event')?.program;
    assert(stack !== undefined && unwind !== undefined && program !== undefined, 'it takes stacks');
    const sampler = new ProcessSampler(tgid, loaded.probe, { stack, unwind }, config);
    try {
      sampler.#attach(tids.slice(0, MAX_THREADS), program);
      return sampler;
    } catch (error) {
      sampler.close();
      throw error;
    }
  }

  /** The stacks of a round in which no file was met for the first time, or of the last one that had
   *  any when the time is over; none when the process did not run. */
  async take(timeoutMs: number): Promise<FreshStack[]> {
    const endMs = performance.now() + timeoutMs;
    let stacks: FreshStack[] = [];
    let known = -1;
    while (performance.now() < endMs) {
      const isSettled = this.#files.pending === 0 && this.#files.figures.files === known;
      known = this.#files.figures.files;
      await sleep(ROUND_MS);
      const fresh = await this.#drain();
      if (fresh.length > 0) stacks = fresh;
      const isNothingNew = this.#files.pending === 0 && this.#files.figures.files === known;
      if (fresh.length > 0 && isSettled && isNothingNew) break;
    }
    return stacks;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const fd of this.#fds) closeFd(fd);
    this.#files.close();
    this.#buffer.close();
    this.#probe.close();
  }

  /** The clock, and the moments at which the thread goes to sleep: most threads do little else. */
  #attach(tids: readonly number[], program: string): void {
    const common = { type: perfType.software, flags: ['disabled'] } as const;
    const attrs = [
      { ...common, config: softwareEvent.cpuClock, frequencyHz: FREQUENCY_HZ },
      { ...common, config: softwareEvent.contextSwitches, period: 1, wakeupEvents: SWITCH_TYPE },
    ];
    for (const tid of tids) {
      for (const attr of attrs) {
        const opened = openPerfEvent(attr, { cpu: -1, tid });
        if (!('fd' in opened)) continue;
        this.#fds.push(opened.fd);
        this.#probe.attachPerfEvent(program, opened.fd);
      }
    }
    this.#probe.openGate();
    for (const fd of this.#fds) enablePerfEvent(fd);
  }

  async #drain(): Promise<FreshStack[]> {
    const { retired } = this.#buffer.flip();
    await sleep(FLIP_PAUSE_MS + 1);
    return decode(this.#buffer.drain(retired)).filter(({ tgid }) => tgid === this.#tgid);
  }
}

function decode(drained: Drained): (FreshStack & { readonly tgid: number })[] {
  const stackView = viewOf(drained.stacks);
  const stacks = new Map<bigint, StackEnd>();
  for (let i = 0; i < drained.stackCount; i++) {
    const { words, n_words, end } = wire.decodeFkStack(stackView, i * wire.FK_STACK_SIZE);
    const addresses = words.slice(0, n_words).map((word) => Number(BigInt.asIntN(64, word)));
    stacks.set(drained.stackHashes[i]!, { words: addresses, end });
  }
  const stackOf = (hash: bigint): StackEnd | undefined => {
    if (hash === BigInt(wire.FkStackId.FK_STACK_NONE)) return undefined;
    if (hash < BigInt(wire.FkStackId.FK_STACK_FIRST)) return { words: [], end: Number(hash) - 1 };
    return stacks.get(hash) ?? { words: [], end: wire.FkStackEnd.FK_END_STACK_MAP_FULL };
  };
  const keyView = viewOf(drained.keys);
  return Array.from({ length: drained.count }, (_, i) => {
    const key = wire.decodeFkSampleKey(keyView, i * wire.FK_SAMPLE_KEY_SIZE);
    return {
      tgid: key.incarnation.tgid,
      tid: key.tid,
      weight: drained.weights[i]!,
      user: stackOf(key.user_stack),
      kernel: stackOf(key.kernel_stack),
    };
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
