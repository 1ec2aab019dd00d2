// What the daemon itself costs at 99 Hz: CPU a minute by thread, in its first two minutes and after them,
// with both CPUs busy, on an idle host and in a storm of short processes; memory, also after minutes in
// which 200 ELF files are sampled by processes that come and go; how long a thread looked for nothing new;
// and whether the storm's samples arrive.
//
//   node dist/bench/daemon.js [start idle busy storm files] [--warmup 120] [--seconds 120] [--minutes 10] [--quick]

import { execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Profile } from '../storage/model/profile.js';
import type { TestDaemon } from '../test/support/daemon.js';
import { buildKnownProgram, buildProgram } from '../test/support/programs.js';
import { cpuNsByThread, ended, memoryMb, startDaemon, startProgram } from './observe.js';
import { medianInterval, printFigure, printNote, printTitle, readOptions, readParts } from './support.js';

const hz = 99;
const stormPerSecond = 300;
const stormMicroseconds = 2500;
const visitedFiles = 200;
const visitMs = 3000;
const elfMagic = 0x7f454c46;
/** CPU seconds a minute: our limit, and what the leanest peer took, which neither names nor stores. */
const limits = {
  busy: { ours: 0.12, peer: 0.38 },
  idle: { ours: 0.06, peer: 0.3 },
  storm: { ours: 0.5, peer: 6.6 },
};
/** Of the daemon's flushes by default; it takes longer than the second to begin sampling. */
const intervalMs = 10_000;
const startsBeforeMs = 300;
const limitMb = { quiet: 85, files: 105 };
const limitStallMs = 20;
const longestRunNs = 86_400_000_000_000n;

const { warmup, seconds, minutes } = readOptions(
  { warmup: 120, seconds: 120, minutes: 10 },
  { warmup: 15, seconds: 30, minutes: 0.5 },
);
const parts = readParts(['start', 'idle', 'busy', 'storm', 'files']);
const spinner = buildKnownProgram('spinner');
const storm = buildProgram('storm.c', 'storm', ['-O1']);
const visitor = buildProgram('visit-modules.c', 'visitor', ['-O2', '-fno-omit-frame-pointer']);

function startAt99Hz(): Promise<TestDaemon> {
  return startDaemon(['--frequency', String(hz)]);
}

/** CPU seconds a minute by thread over some seconds. */
async function cpuAMinute(pid: number, overSeconds: number): Promise<Map<string, number>> {
  const before = cpuNsByThread(pid);
  const startMs = performance.now();
  await sleep(overSeconds * 1000);
  const scale = 60_000 / (performance.now() - startMs) / 1e9;
  return new Map([...cpuNsByThread(pid)].map(([name, ns]) => [name, (ns - (before.get(name) ?? 0)) * scale]));
}

function sum(byThread: ReadonlyMap<string, number>): number {
  return [...byThread.values()].reduce((total, value) => total + value, 0);
}

async function measureCpu(load: keyof typeof limits, startLoad: () => void): Promise<TestDaemon> {
  const { ours, peer } = limits[load];
  const daemon = await startAt99Hz();
  startLoad();
  const first = await cpuAMinute(daemon.pid, warmup);
  const then = await cpuAMinute(daemon.pid, seconds);
  const threads = [...then].map(([name, value]) => `${name} ${value.toFixed(3)}`).join(', ');
  printFigure(`${load}: CPU a minute of the first ${warmup} s, start left out`, sum(first), 's');
  printFigure(`${load}: CPU a minute after them`, sum(then), 's', { atMost: ours });
  printNote(`${threads}; the leanest peer ${peer}`);
  const { now, peak } = memoryMb(daemon.pid);
  printFigure(`${load}: RSS`, now, 'MB', load === 'idle' ? { atMost: limitMb.quiet } : undefined);
  printNote(`peak ${peak.toFixed(1)} MB`);
  return daemon;
}

/** Stops the daemon, and tells how long its event loops were busy at a time, as it has measured itself. */
async function stopAndTellStalls(name: string, daemon: TestDaemon): Promise<void> {
  await daemon.stop();
  const query = await daemon.query();
  const toUnixNs = BigInt(Date.now() + 60_000) * 1_000_000n;
  const window = { fromUnixNs: toUnixNs - longestRunNs, toUnixNs };
  const stepNs = BigInt(intervalMs) * 1_000_000n;
  const { keys } = await query.series({ window, stepNs, filter: {}, stream: 'self.stall' });
  query.close();
  const stallsMs = (thread: string) =>
    (keys.find(({ key }) => key[0] === thread)?.values ?? [])
      .filter((value): value is number => typeof value === 'number')
      .map((ns) => ns / 1e6);
  // The first flush tells of the start, when nothing was sampled yet.
  const front = stallsMs('front').slice(1);
  const longest = Math.max(...front);
  printFigure(`${name}: longest stall of the front, start left out`, longest, 'ms', { atMost: limitStallMs });
  const back = stallsMs('back').slice(1);
  printNote(
    `of ${front.length} flushes: median ${medianInterval(front).median.toFixed(1)} ms, the first minute's ` +
      `${Math.max(...front.slice(0, 6)).toFixed(1)}, above ${limitStallMs} ms ${front.filter((ms) => ms > limitStallMs).length}; ` +
      `back ${Math.max(...back).toFixed(1)}, median ${medianInterval(back).median.toFixed(1)}`,
  );
}

async function idle(): Promise<void> {
  const daemon = await measureCpu('idle', () => undefined);
  await stopAndTellStalls('idle', daemon);
  daemon.remove();
}

async function busy(): Promise<void> {
  const spinners: ChildProcess[] = [];
  const daemon = await measureCpu('busy', () => {
    for (const _ of cpus()) spinners.push(startProgram(spinner, ['1000000']));
  });
  await Promise.all(spinners.map((child) => ended(child, 'SIGKILL')));
  await stopAndTellStalls('busy', daemon);
  daemon.remove();
}

/** Due is what the storm's processes were accounted by the kernel as their CPU time, all of which is under
 *  the storm's executable: its first process and those it starts are the same program. */
async function inStorm(): Promise<void> {
  const count = Math.max(1, Math.round((warmup + seconds - 2) * stormPerSecond));
  const command = `${storm} ${count} ${stormPerSecond} ${stormMicroseconds} ${storm} > /dev/null; times`;
  const shells: ChildProcess[] = [];
  let printed = '';
  const daemon = await measureCpu('storm', () => {
    const shell = startProgram('bash', ['-c', command], ['ignore', 'pipe', 'ignore']);
    shell.stdout!.setEncoding('utf8').on('data', (text: string) => (printed += text));
    shells.push(shell);
  });
  await Promise.all(shells.map((shell) => ended(shell)));
  await stopAndTellStalls('storm', daemon);
  const { profile, coverage } = await daemon.aggregate();
  const due = childSeconds(printed) * hz;
  const samples = samplesOf(profile, storm);
  const share = (samples / due) * 100;
  printFigure('storm: samples under their own executable, of those due', share, '%', { atLeast: 95 });
  printNote(`${samples} samples, ${due.toFixed(0)} due of ${count} processes`);
  printNote(`lost: ${JSON.stringify(coverage.completeness.lost)}`);
  daemon.remove();
}

function samplesOf(profile: Profile, executable: string): number {
  const counts = profile.values[0]!;
  return counts.reduce(
    (total, n, row) => total + (profile.series[profile.rowSeries[row]!]!.exe === executable ? n : 0),
    0,
  );
}

/** Second line of bash's `times`: user and system time of all it waited for, `1m2.345s 0m6.789s`. */
function childSeconds(text: string): number {
  const times = [...text.matchAll(/(\d+)m([\d.]+)s/g)].map(([, m, s]) => Number(m) * 60 + Number(s));
  return times[2]! + times[3]!;
}

/** Processes that are sampled inside many files of this machine, each for some seconds, beside a storm of
 *  50 a second. */
async function manyFiles(): Promise<void> {
  const files = elfFiles();
  startProgram(storm, ['1000000', '50', '1000', storm]);
  const daemon = await startAt99Hz();
  const rssMb: number[] = [];
  for (const untilMs = Date.now() + minutes * 60_000; Date.now() < untilMs;) {
    const visit = startProgram(visitor, files);
    await sleep(visitMs);
    await ended(visit, 'SIGKILL');
    rssMb.push(memoryMb(daemon.pid).now);
  }
  const { peak } = memoryMb(daemon.pid);
  await stopAndTellStalls('files', daemon);
  const { profile } = await daemon.aggregate({ comm: ['visitor'] });
  const sampled = new Set(
    profile.functions.map(({ module }) => module.path).filter((path) => files.includes(path)),
  );
  const steady = medianInterval(rssMb.slice(-Math.ceil(rssMb.length / 4))).median;
  printFigure('ELF files that samples fell into', sampled.size, '', { atLeast: 150 });
  printFigure(`RSS after ${minutes} minutes of churn with them`, steady, 'MB', { atMost: limitMb.files });
  printNote(`peak ${peak.toFixed(1)} MB; each quarter's median: ${quarters(rssMb).join(' ')}`);
  daemon.remove();
}

function quarters(values: readonly number[]): string[] {
  const size = Math.ceil(values.length / 4);
  const parts = [0, 1, 2, 3]
    .map((part) => values.slice(part * size, (part + 1) * size))
    .filter((part) => part.length > 0);
  return parts.map((part) => medianInterval(part).median.toFixed(1));
}

/** Programs and libraries of this machine, spread evenly over all by path. */
function elfFiles(): string[] {
  const folders = ['/usr/bin', '/usr/sbin', '/usr/lib'].join(' ');
  const find = `find ${folders} -type f \\( -perm -100 -o -name '*.so*' \\)`;
  const list = execFileSync('sh', ['-c', find], { encoding: 'utf8' });
  const all = list.trim().split('\n').sort().filter(isElf);
  const step = Math.max(1, all.length / visitedFiles);
  return Array.from({ length: Math.min(visitedFiles, all.length) }, (_, i) => all[Math.floor(i * step)]!);
}

function isElf(path: string): boolean {
  const head = Buffer.alloc(4);
  const fd = openSync(path, 'r');
  readSync(fd, head);
  closeSync(fd);
  return head.readUInt32BE(0) === elfMagic;
}

/** From the command to the first flush that is on disk, at the default interval. Flushes stand on multiples
 *  of 10 s: it starts at the worst moment, so that sampling begins just after one. */
async function firstFlush(): Promise<void> {
  await sleep(intervalMs - ((Date.now() + startsBeforeMs) % intervalMs));
  const startMs = performance.now();
  const daemon = await startDaemon(['-v']);
  const samplingMs = performance.now() - startMs;
  while (!/flush 0 stored in/.test(daemon.stderr)) await sleep(20);
  printFigure('start to first stored flush', (performance.now() - startMs) / 1000, 's', { atMost: 12 });
  printNote(`start to sampling ${(samplingMs / 1000).toFixed(2)} s`);
  await daemon.stop();
  daemon.remove();
}

printTitle('daemon', { warmup, seconds, minutes });
const run = { start: firstFlush, idle, busy, storm: inStorm, files: manyFiles };
for (const part of parts) await run[part]();
process.exit();
