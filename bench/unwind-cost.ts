// What the unwinder takes in the kernel: run time of the sampling program a sample and a frame, on stacks
// without frame pointers, beside bpf_get_stack on the same load; warm at 999 Hz, cold at 47 and 99. And the
// instructions that the verifier walks through.
//
//   node dist/bench/unwind-cost.js [--seconds 4] [--quick]

import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFdInfo } from '../bpf/fd-info.js';
import type { LoadedProbe } from '../bpf/loaded-probe.js';
import { closeFd } from '../ffi/libc.js';
import { enablePerfEvent, openPerfEvent, perfType, softwareEvent } from '../ffi/perf-event.js';
import { FkStackEnd } from '../bpf/generated/wire.js';
import { Sampler } from '../test/kernel/sampler-run.js';
import { TableServer } from '../test/kernel/table-server.js';
import { compileBpf, loadFixture } from '../test/support/bpf-fixture.js';
import { buildProgram } from '../test/support/programs.js';
import { enableBpfStats, startProgram } from './observe.js';
import { printFigure, printNote, printTitle, readOptions } from './support.js';

const warmHz = 999;
const coldHz = [47, 99];
const nsAFrame = 500;
/** At 40 frames. */
const usASample = 16;
const withoutFramePointers = ['-O2', '-fomit-frame-pointer', '-fno-optimize-sibling-calls', '-pthread'];
const pythonCode = `
def fall(n):
    return fall(n - 1) + 1 if n else sum(range(2000))
while True: fall(12)`;
const nodeCode = `
function fall(n) { return n ? fall(n - 1) + 1 : turn(); }
function turn() { let s = 0; for (let i = 0; i < 2000; i++) s += Math.sqrt(i); return s; }
for (;;) fall(20);`;

interface Load {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** Of the thread that works, among the process's: the last to start. */
  readonly hasThread?: boolean;
}

interface Cost {
  readonly runs: number;
  readonly ns: number;
}

const { seconds } = readOptions({ seconds: 4 }, { seconds: 2 });

function costOf(probe: LoadedProbe): Cost {
  const info = readFdInfo(probe.programs()[0]!.fd);
  return { runs: Number(info['run_cnt']), ns: Number(info['run_time_ns']) };
}

/** ns a run of a program, over the next seconds. */
async function nsARun(probe: LoadedProbe): Promise<Cost> {
  const before = costOf(probe);
  await sleep(seconds * 1000);
  const after = costOf(probe);
  return { runs: after.runs - before.runs, ns: (after.ns - before.ns) / (after.runs - before.runs) };
}

async function getStackCost(tid: number): Promise<{ ns: number; frames: number }> {
  const hook = { program: 'sample', attach: 'perf_event', isRequired: true } as const;
  const probe = loadFixture(compileBpf('get-stack'), [hook]);
  const attr = { type: perfType.software, config: softwareEvent.cpuClock, frequencyHz: warmHz } as const;
  const opened = openPerfEvent(attr, { cpu: -1, tid });
  if (!('fd' in opened)) throw new Error(`no event: ${opened.errno}`);
  try {
    probe.attachPerfEvent('sample', opened.fd);
    enablePerfEvent(opened.fd);
    probe.openGate();
    const { runs, ns } = await nsARun(probe);
    return { ns, frames: Number(probe.globals.u64('frames')[0]) / runs };
  } finally {
    closeFd(opened.fd);
    probe.close();
  }
}

async function unwindCost(
  tid: number,
  frequencyHz: number,
): Promise<Cost & { frames: number; complete: number }> {
  const sampler = new Sampler({ tid, frequencyHz });
  const server = new TableServer(sampler.probe);
  try {
    sampler.start();
    await sleep(1500);
    await sampler.take();
    const cost = await nsARun(sampler.probe);
    const { samples } = await sampler.take();
    let [weights, frames, complete] = [0, 0, 0];
    for (const { weight, user, kernel } of samples) {
      weights += weight;
      frames += weight * ((user?.n_words ?? 0) + (kernel?.n_words ?? 0));
      if (user?.end === FkStackEnd.FK_END_COMPLETE) complete += weight;
    }
    return { ...cost, frames: frames / weights, complete: complete / weights };
  } finally {
    server.close();
    sampler.close();
  }
}

function threadOf(pid: number, { hasThread = false }: Load): number {
  return hasThread ? Math.max(...readdirSync(`/proc/${pid}/task`).map(Number)) : pid;
}

/** A short stack's frames bear the sample's own cost: only a deep one's are held against the target. */
async function measure(load: Load, isDeep = false): Promise<void> {
  const child = startProgram(load.path, load.args, ['pipe', 'ignore', 'ignore']);
  await sleep(1000);
  const tid = threadOf(child.pid!, load);
  const kernel = await getStackCost(tid);
  const warm = await unwindCost(tid, warmHz);
  const [sampleTarget, frameTarget] = isDeep ? [{ atMost: usASample }, { atMost: nsAFrame }] : [];
  printFigure(`${load.name}: a sample, warm at ${warmHz} Hz`, warm.ns / 1000, 'us', sampleTarget);
  printFigure('  a frame', warm.ns / warm.frames, 'ns', frameTarget);
  printNote(`${warm.frames.toFixed(1)} frames, ${(warm.complete * 100).toFixed(1)} % complete, ${warm.runs} runs`);
  printNote(`bpf_get_stack alone ${(kernel.ns / 1000).toFixed(2)} us, ${kernel.frames.toFixed(1)} frames`);
  for (const hz of coldHz) {
    const cold = await unwindCost(tid, hz);
    printFigure(`  a sample, cold at ${hz} Hz`, cold.ns / 1000, 'us');
    printNote(`${cold.frames.toFixed(1)} frames, ${cold.runs} runs`);
  }
  child.kill('SIGKILL');
}

printTitle('unwind-cost', { seconds });
enableBpfStats();
const sampler = new Sampler();
const instructions = readFileSync(`/proc/self/fdinfo/${sampler.probe.programs()[0]!.fd}`, 'utf8');
sampler.close();
printFigure('instructions walked by the verifier', Number(/verified_insns:\s*(\d+)/.exec(instructions)?.[1]), '');
const deepLoop = buildProgram('deep-loop.c', 'deep-loop-no-fp', withoutFramePointers);
const shapes = buildProgram('known-shapes.c', 'known-shapes', withoutFramePointers);
const cpu = '1';
await measure({ name: 'C, 40 deep', path: deepLoop, args: [cpu, '38'], hasThread: true }, true);
await measure({ name: 'C, recursion', path: shapes, args: ['recursion'] });
await measure({ name: 'python3', path: 'python3', args: ['-c', pythonCode] });
await measure({ name: 'node', path: process.execPath, args: ['-e', nodeCode] });
process.exit();
