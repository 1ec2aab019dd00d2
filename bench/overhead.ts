// What sampling takes from the programs it samples: turns per CPU second of a pinned thread, 36 frames
// deep, with nothing, with `perf record -g` and with us at the same rate; and with us where it keeps no
// frame pointers, which perf -g cannot follow. Each measured stretch stands between two without anything:
//
//   frame pointers                          none
//   nothing | perf | nothing | ours | nothing; nothing | ours | nothing; nothing | perf | ...
//                                           loss = 1 - measured / mean of both neighbours
//
// And the time that the BPF program itself takes.
//
//   node dist/bench/overhead.js [--rounds 30] [--seconds 2] [--quick]

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildProgram } from '../test/support/programs.js';
import { enableBpfStats, ended, samplingRuns, startDaemon, startProgram } from './observe.js';
import {
  atEnd,
  medianInterval,
  printFigure,
  printNote,
  printTitle,
  readOptions,
  type Target,
} from './support.js';

const hz = 999;
const frames = 36;
/** A profiler's start is over by then. */
const settleMs = 700;
const bpfRates = [19, 47, 99, 999];
/** perf record -g takes 15 to 25, the leanest peer 24 to 33. */
const mostUs = 28;

const { rounds, seconds } = readOptions({ rounds: 30, seconds: 2 }, { rounds: 6, seconds: 1 });
const flags = ['-O1', '-fno-optimize-sibling-calls', '-pthread'];
const framedPath = buildProgram('deep-loop.c', 'deep-loop', [...flags, '-fno-omit-frame-pointer']);
const barePath = buildProgram('deep-loop.c', 'deep-loop-bare', [...flags, '-fomit-frame-pointer']);
const folder = mkdtempSync(join(tmpdir(), 'fk-bench-'));
atEnd(() => rmSync(folder, { recursive: true, force: true }));

class DeepLoop {
  readonly #child;
  readonly #lines;

  constructor(path: string, cpu: number) {
    this.#child = startProgram(path, [String(cpu), String(frames)], ['pipe', 'pipe', 'ignore']);
    this.#lines = createInterface({ input: this.#child.stdout! });
  }

  /** Another loop may have the CPU. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** Turns a CPU second over the next `seconds`. */
  async rate(): Promise<number> {
    const before = await this.#read();
    await sleep(seconds * 1000);
    const after = await this.#read();
    return ((after.turns - before.turns) / (after.cpuNs - before.cpuNs)) * 1e9;
  }

  async #read(): Promise<{ turns: number; cpuNs: number }> {
    this.#child.stdin!.write('\n');
    const [line] = (await once(this.#lines, 'line')) as [string];
    const [turns, cpuNs] = line.split(' ').map(Number) as [number, number];
    return { turns, cpuNs };
  }
}

async function withPerf<T>(work: () => Promise<T>): Promise<T> {
  const args = ['record', '-F', String(hz), '-a', '-g', '-q', '-o', join(folder, 'perf.data')];
  const perf = startProgram('perf', args);
  await sleep(settleMs);
  const result = await work();
  // Its file is not wanted, and what it does at its end is no part of this.
  await ended(perf, 'SIGKILL');
  return result;
}

async function withUs<T>(work: () => Promise<T>): Promise<T> {
  const daemon = await startDaemon(['--frequency', String(hz)]);
  await sleep(settleMs);
  const result = await work();
  await daemon.stop();
  daemon.remove();
  return result;
}

interface Losses {
  readonly perf: number[];
  readonly ours: number[];
  readonly bare: number[];
}

/** us a sample: the part of each CPU second that is lost, over the samples in it. */
async function lossUs(): Promise<Losses> {
  const cpu = cpus().length - 1;
  const framed = new DeepLoop(framedPath, cpu);
  const bare = new DeepLoop(barePath, cpu);
  const losses: Losses = { perf: [], ours: [], bare: [] };
  for (let round = 0; round < rounds; round++) {
    bare.pause();
    framed.resume();
    await measure(framed, [
      [losses.perf, withPerf],
      [losses.ours, withUs],
    ]);
    framed.pause();
    bare.resume();
    await measure(bare, [[losses.bare, withUs]]);
  }
  return losses;
}

type With = (work: () => Promise<number>) => Promise<number>;

async function measure(loop: DeepLoop, all: readonly (readonly [number[], With])[]): Promise<void> {
  let before = await loop.rate();
  for (const [losses, withIt] of all) {
    const measured = await withIt(() => loop.rate());
    const after = await loop.rate();
    losses.push(((1 - measured / ((before + after) / 2)) * 1e6) / hz);
    before = after;
  }
}

async function bpfRunTimes(): Promise<void> {
  enableBpfStats();
  for (let cpu = 0; cpu < cpus().length; cpu++) new DeepLoop(barePath, cpu);
  for (const rate of bpfRates) {
    const daemon = await startDaemon(['--frequency', String(rate)]);
    const before = samplingRuns(daemon.pid);
    await sleep(Math.max(5, 3 * seconds) * 1000);
    const after = samplingRuns(daemon.pid);
    await daemon.stop();
    daemon.remove();
    const runs = after.runs - before.runs;
    printFigure(`BPF run time a sample at ${rate} Hz`, (after.ns - before.ns) / runs / 1000, 'us');
    printNote(`${runs} runs`);
  }
}

printTitle('overhead', { rounds, seconds });
const losses = await lossUs();
const perf = printLoss(`perf record -F ${hz} -a -g`, losses.perf);
const ours = printLoss(`ours at ${hz} Hz`, losses.ours);
printFigure('  more than perf', ours - perf, 'us', { atMost: 5 });
const paired = medianInterval(losses.ours.map((us, round) => us - losses.perf[round]!));
printNote(
  `round by round ${paired.median.toFixed(1)}, ${paired.low.toFixed(1)} to ${paired.high.toFixed(1)}`,
);
printLoss(`ours at ${hz} Hz, no frame pointers`, losses.bare, { atMost: mostUs });
await bpfRunTimes();
process.exit();

/** Gives the median. */
function printLoss(name: string, values: readonly number[], target?: Target): number {
  const { median, low, high } = medianInterval(values);
  printFigure(`work lost a sample, ${name}`, median, 'us', target);
  printNote(`95 % interval of the median ${low.toFixed(1)} to ${high.toFixed(1)}`);
  return median;
}
