// npm run bench:churn [-- --seconds N]: stacks of processes that live 65 ms, as many as the CPUs
// bear, under the daemon at 199 Hz. Their calls are known (bench/programs/churn.c). Every four
// seconds their files are new ones; their path tells when in that time a process started: links of
// one file.

import { execFileSync } from 'node:child_process';
import { linkSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readElf, readerOf } from '../elf/elf-file.js';
import { functionLabel } from '../storage/model/frame.js';
import type { Profile } from '../storage/model/profile.js';
import type { TestDaemon } from '../test/support/daemon.js';
import { isOfShape, shapeProblem, type Shape } from './known-shape.js';
import { ended, memoryMb, startDaemon, startProgram } from './observe.js';
import { atEnd, printFigure, printNote, printTitle, readOptions, round } from './support.js';

const frequencyHz = 199;
const warmupSeconds = 10;
const variantMs = 4000;
const slotMs = 100;
/** Children sleep longer than they work: so many at once keep a CPU busy. */
const atOncePerCpu = 14;
const knownAfterMs = 200;
/** Between a child's last mapping and its work. */
const sleepMs = 60;
const maxListed = 8;

const shape: Shape = {
  chain: ['run', 'lib_1', 'lib_2', 'lib_3', 'callback', 'spin'],
  root: /^main$/,
  // The clock is read by libc and the kernel's page; the dynamic linker finds it once.
  interrupts: /^run (now_ns|clock_gettime|\[.*\])/,
};

interface Stack {
  readonly variant: number;
  /** When the process started, of slotMs from the variant's beginning. */
  readonly slot: number;
  /** Leaf first, the user's part of it. */
  readonly names: readonly string[];
  readonly modules: readonly string[];
  readonly cut: string | undefined;
  readonly count: number;
}

const { seconds } = readOptions({ seconds: 60 }, { seconds: 20 });
const variants = Math.ceil((seconds * 1000) / variantMs);
const folder = mkdtempSync(join(tmpdir(), 'fk-churn-'));
atEnd(() => rmSync(folder, { recursive: true, force: true }));

printTitle('churn', { seconds });
const driver = join(folder, 'driver');
const program = join(folder, 'churn');
const library = join(folder, 'lib');
const flags = ['-O2', '-fomit-frame-pointer'];
const libraryFlags = [...flags, '-shared', '-fPIC', '-nostdlib'];
execFileSync('gcc', [...flags, '-o', driver, 'bench/programs/churn.c']);
execFileSync('gcc', [...libraryFlags, '-o', library, 'bench/programs/churn-lib.c']);
makeVariants(driver, program);
makeVariants(library, library);
for (let variant = 0; variant < variants; variant++) {
  for (let slot = 0; slot < variantMs / slotMs; slot++) {
    linkSync(`${program}.${variant}`, `${program}.${variant}.${slot}`);
  }
}

const daemon = await startDaemon(['--frequency', String(frequencyHz)]);
// What the daemon needs anyway is there when memory is first looked at.
linkSync(driver, `${driver}.0.0`);
linkSync(library, `${library}-warm.0`);
await churn(driver, `${library}-warm`, { seconds: warmupSeconds, slotMs: warmupSeconds * 1000 });
const figures = [await figuresOf(daemon)];
const running = churn(program, library, { seconds, slotMs });
await sleep(seconds * 500);
figures.push(await figuresOf(daemon));
const processes = await running;
figures.push(await figuresOf(daemon));
// Two flushes and a sweep, so that what ended is forgotten.
await sleep(25_000);
figures.push(await figuresOf(daemon));
await daemon.stop();
report(stacksOf((await daemon.aggregate()).profile));
printNote('before, in the middle, at the end, 25 s later:');
for (const name of Object.keys(figures[3]!)) {
  printNote(`  ${name}: ${figures.map((each) => round(each[name] ?? NaN)).join(' -> ')}`);
}
const grown = (name: string) => figures[3]![name]! - figures[1]![name]!;
printFigure('daemon: RSS grown since the middle', grown('rssMb'), 'MB', { atMost: 8 });
printFigure('descriptors grown since the middle', grown('fds'), '', { atMost: 4 });
process.exit();

/** Copies that are other files to who reads them, by their build ids and what tables are made from:
 *  PATH.0, PATH.1 ... */
function makeVariants(from: string, to: string): void {
  const bytes = readFileSync(from);
  const file = readElf(readerOf(bytes));
  if ('reason' in file || file.buildId === '') throw new Error(`${from} has no build id`);
  const at = bytes.indexOf(Buffer.from(file.buildId, 'hex'));
  const comment = file.sections.findIndex(({ name }) => name === '.comment');
  const addressAt = Number(bytes.readBigUInt64LE(40)) + comment * 64 + 16;
  for (let variant = 0; variant < variants; variant++) {
    bytes.writeUInt32LE(variant + 1, at);
    bytes.writeUInt32LE(variant + 1, addressAt);
    writeFileSync(`${to}.${variant}`, bytes, { mode: 0o755 });
  }
}

/** Runs the processes, and gives how many there were. */
async function churn(
  path: string,
  libraryPath: string,
  times: { readonly seconds: number; readonly slotMs: number },
): Promise<number> {
  const atOnce = cpus().length * atOncePerCpu;
  const numbers = [times.seconds, atOnce, Math.max(variantMs, times.slotMs), times.slotMs];
  const args = ['drive', ...numbers.map(String), path, libraryPath];
  const child = startProgram(driver, args, ['ignore', 'pipe', 'inherit']);
  let printed = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (printed += text));
  await ended(child);
  return Number(printed);
}

async function figuresOf({ pid }: TestDaemon): Promise<Record<string, number>> {
  const asked = await daemon.query();
  try {
    const told = Object.entries((await asked.status()).daemon ?? {});
    const counts = told.filter(
      ([name, value]) => /unwind|table|kernelMemory|files/i.test(name) && typeof value === 'number',
    );
    return {
      ...(Object.fromEntries(counts) as Record<string, number>),
      rssMb: memoryMb(pid).now,
      fds: readdirSync(`/proc/${pid}/fd`).length,
    };
  } finally {
    asked.close();
  }
}

function stacksOf(from: Profile): Stack[] {
  const { functions, parents, nodeFunctions } = from;
  return Array.from(from.rowNodes, (leaf, row) => {
    const { exe } = from.series[from.rowSeries[row]!]!;
    const [variant, slot] = exe.slice(program.length + 1).split('.').map(Number);
    if (!exe.startsWith(`${program}.`)) return undefined;
    if (variant === undefined || slot === undefined) return undefined;
    const names: string[] = [];
    const modules: string[] = [];
    let cut: string | undefined;
    for (let node = leaf; node !== 0; node = parents[node]!) {
      const fn = functions[nodeFunctions[node]!]!;
      if (fn.frameType === 'cut') cut = fn.name;
      if (fn.frameType !== 'native') continue;
      names.push(functionLabel(fn));
      modules.push(fn.module.name);
    }
    return { variant, slot, names, modules, cut, count: from.values[0]![row]! };
  }).filter((stack) => stack !== undefined);
}

function report(stacks: readonly Stack[]): void {
  const isWork = ({ names }: Stack) => isOfShape(names, shape);
  // A file is known from the first sample of it on: of a process that started in this slot.
  const knownSlot = new Map<number, number>();
  for (const { variant, slot } of stacks) {
    knownSlot.set(variant, Math.min(knownSlot.get(variant) ?? Infinity, slot));
  }
  // They work 60 ms after their last mapping.
  const isKnown = ({ variant, slot }: Stack) =>
    slot * slotMs + sleepMs - (knownSlot.get(variant)! + 1) * slotMs > knownAfterMs;
  const sum = (some: readonly Stack[]) => some.reduce((total, { count }) => total + count, 0);
  const share = (some: readonly Stack[]) =>
    (100 * sum(some.filter(({ cut }) => cut === undefined))) / sum(some);
  const work = stacks.filter(isWork);
  const settled = work.filter(isKnown);
  const fresh = work.filter((stack) => !isKnown(stack));
  const young = stacks.filter((stack) => !isWork(stack));

  printFigure('processes a second', processes / seconds, '');
  printFigure('samples of them', sum(stacks), '');
  const problems = stacks.flatMap((stack) => {
    const problem = problemOf(stack);
    return problem === undefined ? [] : [{ ...stack, problem }];
  });
  const wrong = problems.filter(({ cut }) => cut === undefined);
  printFigure('complete but of a wrong shape', sum(wrong), 'samples', { atMost: 0 });
  printFigure('at work, files known for 200 ms: samples', sum(settled), '', { atLeast: 200 });
  printFigure('  of them complete', share(settled), '%', { atLeast: 90 });
  printFigure('at work, files newer than that: samples', sum(fresh), '');
  if (fresh.length > 0) printFigure('  of them complete', share(fresh), '%');
  printFigure('starting, mapping, ending: share of all', (100 * sum(young)) / sum(stacks), '%');
  printFigure('  of them complete', share(young), '%');
  printEnds('known files', settled);
  printEnds('new files', fresh);
  printEnds('starting', young);
  printDelay(work);
  printProblems('WRONG', wrong);
  printProblems(
    'starting, cut',
    young.flatMap((stack) => (stack.cut === undefined ? [] : [{ ...stack, problem: stack.cut }])),
  );
  printProblems(
    'cut, and frames left out',
    problems.filter(({ cut }) => cut !== undefined),
  );
}

/** What is wrong with a stack. A stack that is cut may lack what is below its cut. */
function problemOf({ names, modules, cut }: Stack): string | undefined {
  if (names.length === 0) return undefined;
  if (!isOfShape(names, shape)) {
    if (cut !== undefined) return undefined;
    const root = names.at(-1)!;
    return root === '_start' || modules.at(-1)!.startsWith('ld-linux') ? undefined : `root ${root}`;
  }
  if (cut === undefined) {
    const main = names.indexOf('main');
    const below = modules.slice(main + 1, -1);
    if (main < 0 || names.at(-1) !== '_start') return `root ${names.at(-1)}`;
    if (below.length !== 2 || below.some((name) => !name.startsWith('libc.so'))) {
      return `between main and _start: ${names.slice(main + 1, -1).join(', ')}`;
    }
    return shapeProblem(names, shape);
  }
  // As far as it goes it must be the end of the chain.
  const present = shape.chain.filter((name) => names.includes(name));
  const first = shape.chain.indexOf(present[0]!);
  return shapeProblem(names, { ...shape, chain: shape.chain.slice(first), root: /./ });
}

/** How soon stacks became complete, by when their process started. */
function printDelay(work: readonly Stack[]): void {
  const steps = [0, 100, 200, 400, 700, 1000, variantMs];
  const text = steps.slice(1).map((to, i) => {
    const from = steps[i]!;
    const some = work.filter(({ slot }) => slot * slotMs >= from && slot * slotMs < to);
    const complete = some.filter(({ cut }) => cut === undefined);
    return `${from} ms ${complete.length} of ${some.length}`;
  });
  printNote(`at work and complete, by the age of the files: ${text.join(', ')}`);
}

function printEnds(title: string, stacks: readonly Stack[]): void {
  const counts = new Map<string, number>();
  for (const { cut, count } of stacks) {
    if (cut !== undefined) counts.set(cut, (counts.get(cut) ?? 0) + count);
  }
  const text = [...counts].map(([cut, count]) => `${count} ${cut}`).join(', ');
  if (text !== '') printNote(`${title}, cut: ${text}`);
}

function printProblems(title: string, stacks: readonly (Stack & { problem: string })[]): void {
  const counts = new Map<string, number>();
  for (const { problem, names, count } of stacks) {
    const text = `${problem}: ${names.slice(0, 12).join(' < ')}`;
    counts.set(text, (counts.get(text) ?? 0) + count);
  }
  const listed = [...counts].sort(([, a], [, b]) => b - a).slice(0, maxListed);
  for (const [text, count] of listed) printNote(`${title}: ${count} ${text}`);
}
