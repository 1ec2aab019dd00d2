// What the daemon itself costs: CPU of each thread, and memory. Read at each
// flush, so with few system calls.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';

export interface SelfUsage {
  /** Thread name -> CPU ns since it began, summed over threads of one name
   *  (libuv's pool, V8's workers). */
  readonly cpuNsByThread: ReadonlyMap<string, number>;
  readonly cpuNs: number;
  readonly rssBytes: number;
}

const TASKS = '/proc/self/task';
const text = Buffer.alloc(128);

export function readSelfUsage(): SelfUsage {
  const cpuNsByThread = new Map<string, number>();
  let cpuNs = 0;
  for (const tid of readdirSync(TASKS)) {
    try {
      const onCpuNs = Number(readStart(`${TASKS}/${tid}/schedstat`).split(' ', 1)[0]);
      const name = Number(tid) === process.pid ? 'front' : readStart(`${TASKS}/${tid}/comm`).trim();
      cpuNsByThread.set(name, (cpuNsByThread.get(name) ?? 0) + onCpuNs);
      cpuNs += onCpuNs;
    } catch {
      // The thread ended meanwhile, or the kernel keeps no schedstat: what is left is shown.
    }
  }
  return { cpuNsByThread, cpuNs, rssBytes: process.memoryUsage.rss() };
}

function readStart(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return text.toString('latin1', 0, readSync(fd, text));
  } finally {
    closeSync(fd);
  }
}
