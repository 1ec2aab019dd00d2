// What the daemon itself costs: CPU of each thread, and memory.

import { readdirSync, readFileSync } from 'node:fs';

export interface SelfUsage {
  /** Thread name -> CPU ns since it began, summed over threads of one name (libuv's pool, V8's workers). */
  readonly cpuNsByThread: ReadonlyMap<string, number>;
  readonly cpuNs: number;
  readonly rssBytes: number;
}

export function readSelfUsage(): SelfUsage {
  const cpuNsByThread = new Map<string, number>();
  let cpuNs = 0;
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      const onCpuNs = Number(readFileSync(`/proc/self/task/${tid}/schedstat`, 'utf8').split(' ')[0]);
      const name = Number(tid) === process.pid ? 'front' : readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').trim();
      cpuNsByThread.set(name, (cpuNsByThread.get(name) ?? 0) + onCpuNs);
      cpuNs += onCpuNs;
    } catch {
      // The thread ended meanwhile, or the kernel keeps no schedstat: what is left is shown.
    }
  }
  return { cpuNsByThread, cpuNs, rssBytes: process.memoryUsage.rss() };
}
