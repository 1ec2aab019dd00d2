// What sampling takes from the programs it samples: turns per CPU second of a pinned thread, 36 frames
// deep, with nothing, with `perf record -g` and with us at the same rate. Each measured stretch stands
// between two without anything:
//
//   nothing | perf | nothing | ours | nothing | perf | ...      loss = 1 - measured / mean of both neighbours
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
import { atEnd, medianInterval, printFigure, printNote, printTitle, readOptions } from './support.js';

const hz = 999;
const frames = 36;
/** A profiler's start is over by then. */
const settleMs = 700;
const bpfRates = [19, 47, 99, 999];

const { rounds, seconds } = readOptions({ rounds: 30, seconds: 2 }, { rounds: 6, seconds: 1 });
const flags = ['-O1', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls', '-pthread'];
const loopPath = buildProgram('deep-loop.c', 'deep-loop', flags);
const folder = mkdtempSync(join(tmpdir(), 'fk-bench-'));
atEnd(() => rmSync(folder, { recursive: true, force: true }));

class DeepLoop {
  readonly #child;
  readonly #lines;

  constructor(cpu: number) {
    this.#child = startProgram(loopPath, [String(cpu), String(frames)], ['pipe', 'pipe', 'ignore']);
    this.#lines = createInterface({ input: this.#child.stdout! });
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

/** us a sample: the part of each CPU second that is lost, over the samples in it. */
async function lossUs(): Promise<{ perf: number[]; ours: number[] }> {
  const loop = new DeepLoop(cpus().length - 1);
  const losses: { perf: number[]; ours: number[] } = { perf: [], ours: [] };
  await loop.rate();
  let before = await loop.rate();
  for (let round = 0; round < rounds; round++) {
    for (const [name, withIt] of [
      ['perf', withPerf],
      ['ours', withUs],
    ] as const) {
      const measured = await withIt(() => loop.rate());
      const after = await loop.rate();
      losses[name].push(((1 - measured / ((before + after) / 2)) * 1e6) / hz);
      before = after;
    }
  }
  return losses;
}

async function bpfRunTimes(): Promise<void> {
  enableBpfStats();
  for (let cpu = 0; cpu < cpus().length; cpu++) new DeepLoop(cpu);
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
const perf = medianInterval(losses.perf);
const ours = medianInterval(losses.ours);
printFigure(`work lost a sample, perf record -F ${hz} -a -g`, perf.median, 'us');
printNote(`95 % interval of the median ${perf.low.toFixed(1)} to ${perf.high.toFixed(1)}`);
printFigure(`work lost a sample, ours at ${hz} Hz`, ours.median, 'us');
printNote(`95 % interval of the median ${ours.low.toFixed(1)} to ${ours.high.toFixed(1)}`);
printFigure('  more than perf', ours.median - perf.median, 'us', { atMost: 5 });
const paired = medianInterval(losses.ours.map((us, round) => us - losses.perf[round]!));
printNote(
  `round by round ${paired.median.toFixed(1)}, ${paired.low.toFixed(1)} to ${paired.high.toFixed(1)}`,
);
await bpfRunTimes();
process.exit();
