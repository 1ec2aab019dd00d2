// Programs that tests sample: built from their sources in test/fixtures, run, and asked what they did.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { until } from './wait.js';

const RUN_MS = 120_000;
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'fk-programs-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Compiles test/fixtures/SOURCE with gcc; gives the program's path. */
export function buildProgram(source: string, name: string, flags: readonly string[]): string {
  const path = join(folder, name);
  execFileSync('gcc', [...flags, '-o', path, join('test/fixtures', source)]);
  return path;
}

/** known-program.c with frame pointers, under a name of its own. */
export function buildKnownProgram(name: string): string {
  return buildProgram('known-program.c', name, ['-O0', '-fno-omit-frame-pointer']);
}

/** What the program printed. */
export async function runProgram(path: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(path, args, { maxBuffer: 64 << 20, timeout: RUN_MS });
  return stdout;
}

/** Starts a program that waits to be killed, and does so. */
export async function runForSeconds(path: string, args: readonly string[], seconds: number): Promise<void> {
  const child = spawn(path, args, { stdio: 'ignore' });
  await sleep(seconds * 1000);
  child.kill('SIGKILL');
}

export interface StormChild {
  readonly pid: number;
  readonly code: number;
  readonly signal: number;
  readonly durationNs: number;
}

/** Runs storm.c: `count` processes at `perSecond`, each busy for `busyUs`. */
export async function runStorm(path: string, count: number, perSecond: number, busyUs: number): Promise<StormChild[]> {
  const text = await runProgram(path, [String(count), String(perSecond), String(busyUs), path]);
  return text.trim().split('\n').map((line) => {
    const [pid, code, signal, durationNs] = line.split(' ').map(Number) as [number, number, number, number];
    return { pid, code, signal, durationNs };
  });
}

/** What a live process has used, user and system time, to 10 ms. */
export function cpuSecondsOf(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Page faults of a live process that needed no disk. */
export function minorFaultsOf(pid: number): number {
  return Number(statOf(pid)[7]);
}

/** The fields of /proc/PID/stat after the name. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Starts a program that waits to be killed, and does so when that holds. */
export async function runUntil(
  path: string,
  args: readonly string[],
  isDone: (pid: number) => boolean,
): Promise<void> {
  const child = spawn(path, args, { stdio: 'ignore' });
  await until(() => isDone(child.pid!), `${path} does its work`);
  child.kill('SIGKILL');
}
