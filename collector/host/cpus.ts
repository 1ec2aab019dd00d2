// Which CPUs there are, from sysfs lists such as `0-3,8`.

import { readFileSync } from 'node:fs';

const MAX_CPUS = 8192;

/** CPUs of a kernel CPU list; undefined when the text is none. */
export function parseCpuList(text: string): number[] | undefined {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last >= MAX_CPUS) return undefined;
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

export function onlineCpus(): number[] {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'utf8')) ?? [0];
}

/** Highest CPU id the kernel may ever use, plus one: the size of arrays indexed by CPU. */
export function possibleCpuCount(): number {
  const possible = parseCpuList(readFileSync('/sys/devices/system/cpu/possible', 'utf8')) ?? [0];
  return Math.max(...possible) + 1;
}
