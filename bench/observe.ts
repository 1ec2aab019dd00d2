// Processes as /proc shows them from outside, and the programs that are run beside what is measured.

import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { TestDaemon } from '../test/support/daemon.js';
import { atEnd } from './support.js';

const statsSwitch = '/proc/sys/kernel/bpf_stats_enabled';
const userHz = 100;

/** CPU ns of each thread by schedstat: `front` (the first), `back`, and all others of node's as one. */
export function cpuNsByThread(pid: number): Map<string, number> {
  const byThread = new Map<string, number>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${tid}`;
    const comm = readFileSync(`${folder}/comm`, 'utf8').trim();
    const name = Number(tid) === pid ? 'front' : comm === 'back' ? 'back' : 'others';
    const onCpuNs = Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]);
    byThread.set(name, (byThread.get(name) ?? 0) + onCpuNs);
  }
  return byThread;
}

/** CPU seconds of a process, all its threads, from /proc/PID/stat. **Units**: steps of 10 ms. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / userHz;
}

/** Resident memory now and at its highest. **Units**: MB of 10^6 bytes. */
export function memoryMb(pid: number): { now: number; peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string) =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)![1]) * 1024) / 1e6;
  return { now: of('VmRSS'), peak: of('VmHWM') };
}

/** Lets the kernel time BPF programs until this process ends. */
export function enableBpfStats(): void {
  const before = readFileSync(statsSwitch, 'utf8');
  atEnd(() => writeFileSync(statsSwitch, before));
  writeFileSync(statsSwitch, '1');
}

/** Runs of the sampling program that this process holds, and the ns spent in it. */
export function samplingRuns(pid: number): { runs: number; ns: number } {
  const folder = `/proc/${pid}/fdinfo`;
  for (const fd of readdirSync(folder)) {
    const text = readFileSync(`${folder}/${fd}`, 'utf8');
    const number = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(text)?.[1]);
    const perfEventType = 7;
    if (number('prog_type') === perfEventType) return { runs: number('run_cnt'), ns: number('run_time_ns') };
  }
  throw new Error(`process ${pid} holds no perf_event program`);
}

/** Starts a daemon that is gone, with its data, when this process ends. */
export async function startDaemon(args: readonly string[]): Promise<TestDaemon> {
  const daemon = await TestDaemon.start(args);
  atEnd(() => daemon.remove());
  return daemon;
}

/** Starts a program that is killed when this process ends, unless it ended before. */
export function startProgram(
  path: string,
  args: readonly string[],
  stdio: StdioOptions = 'ignore',
): ChildProcess {
  const child = spawn(path, args, { stdio });
  atEnd(() => child.kill('SIGKILL'));
  return child;
}

/** Resolves when the program has ended. **Errors**: it ended otherwise than by exit code 0 or by `signal`. */
export async function ended(child: ChildProcess, signal?: NodeJS.Signals): Promise<void> {
  if (signal !== undefined) child.kill(signal);
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise((resolve) => child.once('exit', resolve));
  }
  if (child.exitCode === 0 || (signal !== undefined && child.signalCode === signal)) return;
  throw new Error(`${child.spawnfile} ended with ${child.exitCode ?? child.signalCode}`);
}
