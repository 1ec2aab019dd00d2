// npm run bench:truth [-- PROGRAM ... --stops N]: are the unwinder's stacks true? Programs are
// stopped from inside a sample, and gdb walks the same registers; every frame is compared. gdb
// cannot walk Go's and V8's stacks: those programs call one function after the other, so that their
// stacks are known.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as wire from '../bpf/generated/wire.js';
import { stackEndText } from '../collector/pipeline/stack-ends.js';
import { stopOften, TruthProbe, type Stop, type Verdict } from '../test/support/truth.js';
import * as shapes from './known-shape.js';
import { atEnd, printNote, printTitle, readOptions } from './support.js';

interface Target {
  readonly name: string;
  /** Builds what is to be run, and gives its command line. */
  readonly command: () => readonly string[];
  /** For those that gdb cannot walk. */
  readonly shape?: shapes.Shape & {
    readonly nameOf: (path: string, pid: number) => shapes.NameOf;
    readonly atLeast: { readonly complete: number; readonly right: number };
  };
}

const warmMs = 3000;
const maxListed = 5;
const percent = (part: number, whole: number) => (whole === 0 ? 0 : (100 * part) / whole);

const folder = mkdtempSync(join(tmpdir(), 'fk-truth-'));
atEnd(() => rmSync(folder, { recursive: true, force: true }));

function built(tool: string, source: string, ...flags: readonly string[]): string {
  const output = join(folder, basename(source).replace(/\.\w+$/, ''));
  execFileSync(tool, [...flags, '-o', output, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  return output;
}

const c = (mode: string): Target => ({
  name: `C ${mode}`,
  command: () => {
    const flags = ['-O2', '-fomit-frame-pointer', '-pthread'];
    return [built('gcc', 'test/fixtures/truth-stacks.c', ...flags), mode];
  },
});

const openssl = (...algorithm: readonly string[]): Target => ({
  name: `openssl ${algorithm.at(-1)}`,
  command: () => ['/usr/bin/openssl', 'speed', '-seconds', '3600', ...algorithm],
});

const query = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
  SELECT sum(y) FROM (SELECT (SELECT count(*) FROM (SELECT value v
    FROM json_each(printf('[%d,%d,%d]', x, x * 7 % 13, x % 5)) ORDER BY v)) y
  FROM c WHERE printf('%d', x) LIKE '%7%')`;

const goInterrupts = new RegExp(
  [
    ' runtime\\.(morestack|asyncPreempt|sigreturn)',
    'cgocall runtime\\.\\w+syscall$',
    'asmcgocall runtime\\.asmcgocall_landingpad$',
    'cgo c1 _cgo_topofstack$',
  ].join('|'),
);

const targets: readonly Target[] = [
  c('recursion'),
  c('signals'),
  c('threads'),
  {
    name: 'C++ exceptions',
    command: () => [built('g++', 'bench/programs/exceptions.cpp', '-O2', '-fomit-frame-pointer')],
  },
  { name: 'Rust', command: () => [built('rustc', 'bench/programs/busy.rs', '-O')] },
  { name: 'python3', command: () => ['/usr/bin/python3', 'bench/programs/busy.py'] },
  { name: 'perl', command: () => ['/usr/bin/perl', 'bench/programs/busy.pl'] },
  { name: 'bash', command: () => ['/usr/bin/bash', 'bench/programs/busy.sh'] },
  openssl('-bytes', '8192', '-evp', 'sha256'),
  openssl('-bytes', '8192', '-evp', 'chacha20-poly1305'),
  openssl('-bytes', '8192', '-evp', 'aes-256-gcm'),
  openssl('-bytes', '8192', '-evp', 'aes-256-cbc'),
  openssl('rsa2048'),
  openssl('ecdsap256'),
  {
    name: 'gzip',
    command: () => ['/usr/bin/gzip', '-9', '-c', ...Array<string>(200).fill(process.execPath)],
  },
  { name: 'sqlite3', command: () => ['/usr/bin/sqlite3', ':memory:', query] },
  { name: 'dd', command: () => ['/usr/bin/dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64'] },
  {
    name: 'Go',
    command: () => [goProgram('chain.go', '0')],
    shape: {
      chain: ['main.run', ...Array.from({ length: 10 }, (_, i) => `main.f${i + 1}`)],
      root: /^runtime\.goexit$/,
      interrupts: goInterrupts,
      nameOf: shapes.symbolTableNames,
      atLeast: { complete: 99, right: 99 },
    },
  },
  {
    name: 'Go with cgo',
    command: () => [goProgram('chain-cgo.go', '1')],
    shape: {
      chain: ['main.run', 'main.f1', 'main.f2', 'main._Cfunc_c1', 'runtime.cgocall']
        .concat(['runtime.asmcgocall', 'cgo c1', 'c1', 'c2', 'c3', 'c4', 'c5']),
      // asmcgocall keeps no frame of its own: where it is left, its caller's is next.
      optional: ['runtime.cgocall'],
      root: /^runtime\.goexit$/,
      interrupts: goInterrupts,
      nameOf: (path) => {
        const nameOf = shapes.symbolTableNames(path);
        return (address) => nameOf(address).replace(/^_cgo_\w+_Cfunc_/, 'cgo ');
      },
      atLeast: { complete: 99, right: 99 },
    },
  },
  {
    name: 'node',
    command: () => [
      process.execPath,
      '--no-turbo-inlining',
      '--perf-basic-prof',
      // It leaves a log where it is told to, or here.
      `--logfile=${join(folder, 'v8.log')}`,
      'bench/programs/chain.js',
    ],
    shape: {
      chain: ['run', ...Array.from({ length: 8 }, (_, i) => `f${i + 1}`)],
      root: /^(?!f\d$)/,
      interrupts: / (Builtin.*)?$/,
      nameOf: (_, pid) => {
        const map = `/tmp/perf-${pid}.map`;
        atEnd(() => rmSync(map, { force: true }));
        return shapes.perfMapNames(map);
      },
      atLeast: { complete: 99, right: 97 },
    },
  },
];

function goProgram(source: string, cgo: string): string {
  const output = join(folder, source.replace('.go', ''));
  execFileSync('go', ['build', '-o', output, `bench/programs/${source}`], {
    env: { ...process.env, CGO_ENABLED: cgo },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return output;
}

async function run(target: Target): Promise<boolean> {
  const [program, ...args] = target.command();
  if (!existsSync(program!)) {
    console.log(`  ${target.name.padEnd(28)} not run: there is no ${program}  MISSED`);
    return false;
  }
  const nowhere = openSync('/dev/null', 'w');
  const child = spawn(program!, args, { stdio: ['ignore', nowhere, nowhere] });
  atEnd(() => child.kill('SIGKILL'));
  try {
    await sleep(target.shape === undefined ? 500 : warmMs);
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
    return target.shape === undefined
      ? printStops(target.name, (await stopOften(child.pid!, options.stops, { warmMs })).stops)
      : await sampleShape(target, program!, child);
  } finally {
    child.kill('SIGKILL');
  }
}

/** One line, and below it what was not as it should be. */
function printStops(name: string, stops: readonly Stop[]): boolean {
  const of = (verdict: Verdict) => stops.filter((stop) => stop.verdict === verdict);
  const [identical, different] = [of('identical'), of('different')];
  const [moved, untold] = [of('moved'), of('no-truth')];
  const whole = stops.filter(({ verdict }) => verdict !== 'no-truth');
  const complete = whole.filter(({ sample }) => sample.end === wire.FkStackEnd.FK_END_COMPLETE);
  const kernel = stops.filter(({ sample }) => sample.isKernelMode).length;
  const frames = stops.reduce((sum, { walk }) => sum + walk.pcs.length, 0) / stops.length;
  const figures = {
    complete: percent(complete.length, whole.length),
    identical: percent(identical.length, identical.length + different.length),
    excluded: percent(moved.length + untold.length, stops.length),
  };
  const isMet = figures.complete >= 99.5 && figures.identical >= 98 && figures.excluded <= 2;
  console.log(
    `  ${name.padEnd(28)} ${stops.length} stops (${kernel} in the kernel, ` +
      `${frames.toFixed(1)} frames)  complete ${figures.complete.toFixed(1)} %` +
      `  identical ${figures.identical.toFixed(1)} %` +
      `  excluded ${figures.excluded.toFixed(1)} %  ${isMet ? 'ok' : 'MISSED'}`,
  );
  for (const stop of moved.slice(0, maxListed)) {
    printNote(`excluded, the thread ran on: ${text(stop, 0)}`);
  }
  for (const stop of untold.slice(0, maxListed)) {
    printNote(`excluded, gdb finds no root (${stop.walk.why}): ${text(stop, 0)}`);
  }
  printEnds(whole.map(({ sample }) => sample.end));
  for (const stop of different.slice(0, maxListed)) {
    const { pcs } = stop.sample;
    const at = stop.walk.pcs.findIndex((pc, i) => pcs[i] !== pc);
    printNote(`different from frame ${at} on: ${text(stop, Math.max(at - 2, 0))}`);
  }
  return isMet;
}

/** Our stack and gdb's, from a frame on. */
function text({ sample, walk }: Stop, from: number): string {
  const ours = sample.pcs.slice(from, from + 6).map((pc) => pc.toString(16));
  const truth = walk.pcs
    .slice(from, from + 6)
    .map((pc, i) => `${pc.toString(16)} ${walk.names[from + i] || '?'}`);
  return (
    `${sample.isKernelMode ? 'kernel mode, ' : ''}${sample.pc.toString(16)} ` +
    `ours ${ours.join(' < ')} (${sample.pcs.length}, ${stackEndText(sample.end)}), ` +
    `gdb's ${truth.join(' < ')} (${walk.pcs.length})`
  );
}

function printEnds(ends: readonly number[]): void {
  const counts = new Map<number, number>();
  for (const end of ends) counts.set(end, (counts.get(end) ?? 0) + 1);
  counts.delete(wire.FkStackEnd.FK_END_COMPLETE);
  for (const [end, count] of counts) printNote(`${count} end: ${stackEndText(end)}`);
}

async function sampleShape(target: Target, program: string, child: ChildProcess): Promise<boolean> {
  const shape = target.shape!;
  const truth = new TruthProbe(child.pid!, { samples: options.samples });
  const samples = [];
  try {
    await sleep(warmMs);
    await truth.settle();
    while (samples.length < options.samples) {
      await sleep(200);
      if (child.exitCode !== null) throw new Error(`${target.name} ended with ${child.exitCode}`);
      samples.push(...truth.take());
    }
  } finally {
    truth.close();
  }
  const nameOf = shape.nameOf(program, child.pid!);
  const named = samples.map(({ pcs }) => shapes.namesOf(pcs, nameOf));
  const known = named.filter((names) => shapes.isOfShape(names, shape));
  const problems = known.flatMap((names) => shapes.shapeProblem(names, shape) ?? []);
  const ends = samples.map(({ end }) => end);
  const complete = percent(
    ends.filter((end) => end === wire.FkStackEnd.FK_END_COMPLETE).length,
    ends.length,
  );
  const right = percent(known.length - problems.length, known.length);
  const { atLeast } = shape;
  const isMet = complete >= atLeast.complete && right >= atLeast.right && known.length >= 200;
  console.log(
    `  ${target.name.padEnd(28)} ${samples.length} samples (${known.length} of known shape)` +
      `  complete ${complete.toFixed(1)} %  right shape ${right.toFixed(1)} %` +
      `  ${isMet ? 'ok' : 'MISSED'}`,
  );
  for (const optional of shape.optional ?? []) {
    const count = known.filter((names) => names.includes(optional)).length;
    printNote(`${count} of ${known.length} have ${optional}, which may be missing`);
  }
  printEnds(ends);
  const counts = new Map<string, number>();
  for (const problem of problems) counts.set(problem, (counts.get(problem) ?? 0) + 1);
  const listed = [...counts].sort(([, a], [, b]) => b - a).slice(0, maxListed);
  for (const [problem, count] of listed) printNote(`${count} wrong: ${problem}`);
  return isMet;
}

const args = process.argv.slice(2);
const firstOption = args.findIndex((arg) => arg.startsWith('-'));
const wanted = firstOption === -1 ? args : args.slice(0, firstOption);
const options = readOptions(
  { stops: 200, samples: 1000 },
  { stops: 25, samples: 300 },
  firstOption === -1 ? [] : args.slice(firstOption),
);
printTitle('truth', options);
for (const target of targets) {
  if (wanted.length > 0 && !wanted.some((name) => target.name.includes(name))) continue;
  if (!(await run(target))) process.exitCode = 1;
}
process.exit();
