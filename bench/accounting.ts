// Is every tick accounted for? Sums of the store against Hz x CPUs x time, against the CPU time that the
// kernel accounts to a program, and against perf record in the same window.
//
//   node dist/bench/accounting.js [--seconds 60] [--quick]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Coverage } from '../storage/model/query.js';
import { totalOf } from '../storage/model/profile.js';
import { buildKnownProgram, buildProgram } from '../test/support/programs.js';
import { cpuSeconds, ended, startDaemon, startProgram } from './observe.js';
import { atEnd, printFigure, printNote, printTitle, readOptions } from './support.js';

const frequencies = [47, 99, 999];
const perfHz = 99;
const perfStartMs = 1000;
/** The window of the comparison with perf is in CLOCK_MONOTONIC. */
const perfArgs = `record -F ${perfHz} -a -k mono --no-buildid --no-buildid-cache -q`.split(' ');

const { seconds } = readOptions({ seconds: 60 }, { seconds: 10 });
const spinner = buildKnownProgram('spinner');
const dutyCycle = buildProgram('duty-cycle.c', 'duty-cycle', ['-O1']);
const perfFolder = mkdtempSync(join(tmpdir(), 'fk-bench-'));
atEnd(() => rmSync(perfFolder, { recursive: true, force: true }));

function startSpinners() {
  return cpus().map(() => startProgram(spinner, [String(2 * seconds + 60)]));
}

/** What was due by the clock and what became of it. */
async function accounts(frequencyHz: number, load: 'idle' | 'busy'): Promise<void> {
  const spinners = load === 'busy' ? startSpinners() : [];
  const daemon = await startDaemon(['--frequency', String(frequencyHz)]);
  const startedMs = performance.now();
  await sleep(seconds * 1000);
  const outsideMs = performance.now() - startedMs;
  await daemon.stop();
  await Promise.all(spinners.map((child) => ended(child, 'SIGKILL')));
  const { profile, coverage } = await daemon.aggregate();
  const { captured, idle, notFired, lost } = coverage.completeness;
  const spanMs = spanNs(coverage) / 1e6;
  const due = (frequencyHz * cpus().length * spanMs) / 1000;
  const lostSum = Object.values(lost).reduce((sum, n) => sum + n, 0);
  const explained = captured + idle + notFired + lostSum;
  const name = `${frequencyHz} Hz, ${load}`;
  printFigure(`${name}: unexplained`, (Math.abs(due - explained) / due) * 100, '%', { atMost: 0.2 });
  const reasons = lostSum === 0 ? '' : ` (${JSON.stringify(lost)})`;
  printNote(
    `due ${due.toFixed(1)} = captured ${captured} + idle ${idle} + not fired ${notFired}` +
      ` + lost ${lostSum}${reasons} ${explained > due ? '-' : '+'} ${Math.abs(due - explained).toFixed(1)}`,
  );
  printNote(`time covered ${spanMs.toFixed(1)} ms; ${outsideMs.toFixed(1)} ms by the clock outside`);
  if (frequencyHz === 999) {
    const undrained = Math.abs(lost['not_drained'] ?? 0) + Math.abs(totalOf(profile) - captured);
    printFigure(`${name}: counted in the kernel but not stored`, undrained, 'samples', { atMost: 0 });
  }
  daemon.remove();
}

/** A program that uses a third of a CPU: its samples against its CPU time by /proc/PID/stat. */
async function thirdOfCpu(): Promise<void> {
  const daemon = await startDaemon(['--frequency', '999']);
  const program = startProgram(dutyCycle, [String(seconds)], ['pipe', 'pipe', 'ignore']);
  for await (const _ of createInterface({ input: program.stdout! })) break;
  const pid = program.pid!;
  const expected = cpuSeconds(pid) * 999;
  await daemon.stop();
  const { profile } = await daemon.aggregate({ pid: [pid] });
  program.stdin!.end();
  const samples = totalOf(profile);
  const deviation = Math.abs(samples - expected) / Math.sqrt(expected);
  printFigure('a third of a CPU, 999 Hz: samples n', samples, '', { atLeast: 10_000 });
  printFigure('  |n - CPU time of /proc/PID/stat x Hz| in units of sqrt(n)', deviation, '', { atMost: 3 });
  printNote(`${samples} samples, ${expected.toFixed(0)} due`);
}

/** perf begins before us and ends after us; of its samples those count that lie in the time we cover. */
async function besidePerf(): Promise<void> {
  const spinners = startSpinners();
  const file = join(perfFolder, 'perf.data');
  const perf = startProgram(
    'perf',
    [...perfArgs, '-o', file, '--', 'cat'],
    ['pipe', 'ignore', 'ignore'],
  );
  await sleep(perfStartMs);
  const daemon = await startDaemon(['--frequency', String(perfHz)]);
  await sleep(seconds * 1000);
  await daemon.stop();
  const unixMinusMonoNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  // It ends with its command.
  perf.stdin!.end();
  await ended(perf);
  await Promise.all(spinners.map((child) => ended(child, 'SIGKILL')));
  const { coverage } = await daemon.aggregate();
  const { captured } = coverage.completeness;
  const from = Number(coverage.fromUnixNs - unixMinusMonoNs) / 1e9;
  const to = Number(coverage.toUnixNs - unixMinusMonoNs) / 1e9;
  const theirs = perfSamples(file).filter(({ pid, time }) => pid !== 0 && time >= from && time < to).length;
  const difference = (Math.abs(captured - theirs) / theirs) * 100;
  printFigure('non-idle samples beside perf record -F 99 -a: difference', difference, '%', { atMost: 1 });
  printNote(`ours ${captured}, perf's ${theirs}, in the same ${(to - from).toFixed(1)} s`);
}

/** **Units**: time in s of CLOCK_MONOTONIC. */
function perfSamples(file: string): { pid: number; time: number }[] {
  const args = ['script', '-i', file, '-F', 'pid,time', '--ns'];
  const text = execFileSync('perf', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return [...text.matchAll(/^\s*(\d+)\s+(\d+\.\d+):/gm)].map(([, pid, time]) => ({
    pid: Number(pid),
    time: Number(time),
  }));
}

function spanNs({ fromUnixNs, toUnixNs }: Coverage): number {
  return Number(toUnixNs - fromUnixNs);
}

printTitle('accounting', { seconds });
for (const load of ['idle', 'busy'] as const) {
  for (const frequencyHz of frequencies) await accounts(frequencyHz, load);
}
await thirdOfCpu();
await besidePerf();
