// The truth about a stack, from outside: a program is stopped from inside a sample of it
// (test/fixtures/truth.bpf.c), and gdb, which holds it all the time, walks the same registers
// (test/fixtures/walk-stops.py). Programs that gdb cannot walk are sampled without a stop.

import { spawn, type ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchBuffer } from '../../bpf/map.js';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { defaultFileLimits } from '../../collector/unwind/build-table.js';
import { answerQuestion } from '../../collector/unwind/file-tables.js';
import { closeFd } from '../../ffi/libc.js';
import { enablePerfEvent, openPerfEvent, perfType, softwareEvent } from '../../ffi/perf-event.js';
import { compileBpf, loadFixture } from './bpf-fixture.js';
import { LocalUnwindFiles } from './unwind.js';

const frequencyHz = 499;
/** Ticks to let pass before a stop, at most: so that stops are not all one tick after the last. */
const maxSkippedTicks = 4;
const ANSWER_MS = 60_000;
const STOP_AGAIN_MS = 2_000;
const MAX_MISSES = 3;
/** struct truth_sample. */
const at = { pc: 8, sp: 16, tgid: 24, tid: 28, isKernelMode: 32, stack: 40 };

/** Addresses are exact as Numbers. */
export interface TruthSample {
  readonly pc: number;
  readonly sp: number;
  readonly tgid: number;
  readonly tid: number;
  readonly isKernelMode: boolean;
  readonly end: number;
  /** Leaf first; return addresses behind it. */
  readonly pcs: readonly number[];
}

export interface TruthOptions {
  /** So many are kept until they are taken. */
  readonly samples: number;
  /** Another process whose stacks are walked and kept; it is never stopped. */
  readonly neighbour?: number;
  /** Where tables come from; without them there are only frame pointers. */
  readonly answer?: typeof answerQuestion | 'none';
  /** So long stacks are walked before it is asked whether all files have their tables. */
  readonly warmMs?: number;
}

/** The sampler's unwinder, pointed at one process, whose stacks it walks from now on. */
export class TruthProbe {
  readonly #probe: LoadedProbe;
  readonly #tables?: LocalUnwindFiles;
  readonly #fds: number[] = [];

  constructor(tgid: number, { samples, neighbour = 0, answer = answerQuestion }: TruthOptions) {
    this.#probe = loadFixture(
      compileBpf('truth'),
      [{ program: 'truth', attach: 'perf_event', isRequired: true }],
      { maxEntries: { truth_samples: samples, clocks: cpus().length } },
    );
    if (answer !== 'none') this.#tables = serveFiles(this.#probe, answer);
    this.#probe.globals.u32('truth_tgids').set([tgid, neighbour]);
    for (let cpu = 0; cpu < cpus().length; cpu++) {
      const attr = { type: perfType.software, config: softwareEvent.cpuClock, frequencyHz };
      const opened = openPerfEvent({ ...attr, flags: ['disabled'] }, { cpu });
      if ('errno' in opened) throw new Error(`no cpu-clock event: ${opened.errno}`);
      this.#fds.push(opened.fd);
      this.#probe.attachPerfEvent('truth', opened.fd);
      enablePerfEvent(opened.fd);
    }
    this.#probe.openGate();
  }

  /** Resolves when all files that stacks go through have their tables. */
  async settle(): Promise<void> {
    await this.#tables?.settle();
    this.take();
  }

  /** A sample soon stops its thread; none does so after it until this is called again. */
  stopOnce(): void {
    this.take();
    this.#global('truth_skip', Math.floor(Math.random() * (maxSkippedTicks + 1)));
    this.#global('truth_stops', 1);
  }

  /** What was kept. */
  take(): TruthSample[] {
    const map = this.#probe.map('truth_samples');
    const { count, values } = map.drainBatch(new BatchBuffer(map));
    const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
    return Array.from({ length: count }, (_, i) => decode(view, i * map.valueSize));
  }

  close(): void {
    for (const fd of this.#fds) closeFd(fd);
    this.#tables?.close();
    this.#probe.close();
  }

  #global(name: string, value: number): void {
    Atomics.store(this.#probe.globals.u32(name), 0, value);
  }
}

function serveFiles(probe: LoadedProbe, answer: typeof answerQuestion): LocalUnwindFiles {
  const files = new LocalUnwindFiles(probe, {
    ask: (question) =>
      setImmediate(() => files.files.answered(answer(question, defaultFileLimits.maxBytes))),
  });
  return files;
}

function decode(view: DataView, offset: number): TruthSample {
  const stack = wire.decodeFkStack(view, offset + at.stack);
  return {
    pc: Number(view.getBigUint64(offset + at.pc, true)),
    sp: Number(view.getBigUint64(offset + at.sp, true)),
    tgid: view.getUint32(offset + at.tgid, true),
    tid: view.getUint32(offset + at.tid, true),
    isKernelMode: view.getUint32(offset + at.isKernelMode, true) !== 0,
    end: stack.end,
    pcs: stack.words.slice(0, stack.n_words).map(Number),
  };
}

/** What gdb found at a stop. `why` its walk ended, in its words. */
export interface Walk {
  readonly stopped: string;
  readonly tid: number;
  readonly sp: number;
  readonly pcs: readonly number[];
  readonly names: readonly string[];
  readonly why: string;
}

/** gdb with a process that it runs from stop to stop. */
export class Debugger {
  readonly #gdb: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: ((line: string) => void)[] = [];
  #said = '';

  /** Resolves when gdb holds the process. */
  static async attach(tgid: number): Promise<Debugger> {
    const debugger_ = new Debugger(tgid);
    await debugger_.#answer();
    return debugger_;
  }

  private constructor(tgid: number) {
    const commands = [
      'set pagination off',
      'set confirm off',
      'set debuginfod enabled off',
      'set print thread-events off',
      'set backtrace past-main on',
      'set backtrace past-entry on',
      'set print inferior-events off',
      `attach ${tgid}`,
      'handle all nostop noprint pass',
      'handle SIGSTOP stop print nopass',
    ];
    const args = ['-nx', '-q', '-batch', ...commands.flatMap((command) => ['-ex', command])];
    this.#gdb = spawn('gdb', [...args, '-x', 'test/fixtures/walk-stops.py'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    this.#gdb.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2000);
    });
    this.#gdb.stdin!.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#gdb.stdout! });
    this.#lines.on('line', (line) => {
      if (line.startsWith('=')) this.#waiting.shift()?.(line.slice(1));
    });
  }

  /** Lets the process run to its next SIGSTOP. **Errors**: it ended. */
  async go(): Promise<Walk> {
    this.#gdb.stdin!.write('go\n');
    const walk = JSON.parse(await this.#answer()) as Walk & { readonly error?: string };
    if (walk.stopped === 'SIGSTOP') return walk;
    throw new Error(`gdb: ${walk.error ?? walk.stopped}; ${this.#said}`);
  }

  /** Ends gdb, and the process with it. */
  async end(): Promise<void> {
    if (this.#gdb.exitCode !== null || this.#gdb.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#gdb.once('exit', resolve));
    this.#gdb.stdin!.end('end\n');
    const timer = setTimeout(() => this.#gdb.kill('SIGKILL'), ANSWER_MS);
    await ended;
    clearTimeout(timer);
  }

  #answer(): Promise<string> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`gdb does not answer: ${this.#said}`));
      const timer = setTimeout(fail, ANSWER_MS);
      this.#gdb.once('exit', fail);
      this.#waiting.push((line) => {
        clearTimeout(timer);
        this.#gdb.off('exit', fail);
        resolve(line);
      });
    });
  }
}

/** How one sample compares with gdb's walk. Two of them say that there is nothing to compare with.
 *  `moved`: the registers are not those of the sample any more. `no-truth`: gdb does not find the
 *  outermost frame either, as while libgcc swaps a frame for the one that catches an exception. */
export type Verdict = 'identical' | 'different' | 'moved' | 'no-truth';

export interface Stop {
  readonly sample: TruthSample;
  readonly walk: Walk;
  readonly verdict: Verdict;
}

/** gdb goes on where we stop for depth: only what we can hold is compared. */
export function compare(sample: TruthSample, walk: Walk): Verdict {
  if (walk.pcs[0] !== sample.pc || walk.sp !== sample.sp) return 'moved';
  const truth = walk.pcs.slice(0, wire.FkLimit.FK_STACK_WORDS);
  const isSame = truth.length === sample.pcs.length && truth.every((pc, i) => pc === sample.pcs[i]);
  if (isSame) return 'identical';
  return walk.why === 'outermost' ? 'different' : 'no-truth';
}

/** Stops a process so often; ends it. */
export async function stopOften(
  tgid: number,
  stops: number,
  options: Partial<TruthOptions> = {},
): Promise<{ stops: Stop[]; neighbours: TruthSample[] }> {
  const truth = new TruthProbe(tgid, { samples: 1, ...options });
  try {
    await sleep(options.warmMs ?? 0);
    await truth.settle();
    const gdb = await Debugger.attach(tgid);
    try {
      const found: Stop[] = [];
      const neighbours: TruthSample[] = [];
      let misses = 0;
      while (found.length < stops) {
        truth.stopOnce();
        // gdb takes a SIGSTOP for its own when it stops threads itself, as for a new library.
        const again = setInterval(() => truth.stopOnce(), STOP_AGAIN_MS);
        const walk = await gdb.go().finally(() => clearInterval(again));
        const samples = truth.take();
        const sample = samples.find((each) => each.tgid === tgid);
        if (sample?.tid !== walk.tid) {
          if (++misses <= MAX_MISSES) continue;
          throw new Error(`thread ${walk.tid} stopped without a sample of it`);
        }
        found.push({ sample, walk, verdict: compare(sample, walk) });
        neighbours.push(...samples.filter((each) => each.tgid !== tgid));
      }
      return { stops: found, neighbours };
    } finally {
      await gdb.end();
    }
  } finally {
    truth.close();
  }
}
