// What a cgroup's files tell -> readings, version 1 and 2. Pure and tolerant.
// Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{memory,cpuacct}.rst,
// scheduler/sched-bwc.rst.

import type { Tell } from './host-text.js';
import { countOf } from './host-text.js';

/** Takes the text of one file of the cgroup `path`. */
export type CgroupParser = (text: string, path: string, tell: Tell) => void;

/** File -> its parser. Version 2's names and version 1's have nothing in common but cpu.stat, whose
 *  lines differ. */
export const cgroupParsers: Readonly<Record<string, CgroupParser>> = {
  'cpu.stat': parseCpuStat,
  'cpuacct.usage_user': cpuTimeParser('user'),
  'cpuacct.usage_sys': cpuTimeParser('system'),
  'memory.current': parseMemory,
  'memory.usage_in_bytes': parseMemory,
  'memory.events': parseMemoryEvents,
  'memory.oom_control': parseMemoryEvents,
  'memory.failcnt': parseFailures,
};

function parseCpuStat(text: string, path: string, tell: Tell): void {
  for (const [name, value] of namedCounts(text)) {
    if (name === 'user_usec') tell('cgroupCpu', value, path, 'user');
    else if (name === 'system_usec') tell('cgroupCpu', value, path, 'system');
    else if (name === 'nr_periods') tell('cgroupPeriods', value, path, 'elapsed');
    else if (name === 'nr_throttled') tell('cgroupPeriods', value, path, 'throttled');
    else if (name === 'throttled_usec') tell('cgroupThrottled', value, path);
    else if (name === 'throttled_time') tell('cgroupThrottled', Math.floor(value / 1000), path);
  }
}

function cpuTimeParser(mode: string): CgroupParser {
  return (text, path, tell) => {
    const timeNs = countOf(text.trim());
    if (timeNs !== undefined) tell('cgroupCpu', Math.floor(timeNs / 1000), path, mode);
  };
}

function parseMemory(text: string, path: string, tell: Tell): void {
  const bytes = countOf(text.trim());
  if (bytes !== undefined) tell('cgroupMemory', bytes, path);
}

const memoryEvents = new Set(['low', 'high', 'max', 'oom', 'oom_kill', 'oom_group_kill']);

function parseMemoryEvents(text: string, path: string, tell: Tell): void {
  for (const [name, value] of namedCounts(text)) {
    if (memoryEvents.has(name)) tell('cgroupMemoryEvents', value, path, name);
  }
}

/** How often version 1's limit was hit. */
function parseFailures(text: string, path: string, tell: Tell): void {
  const count = countOf(text.trim());
  if (count !== undefined) tell('cgroupMemoryEvents', count, path, 'max');
}

/** Lines `name 123`. */
function* namedCounts(text: string): Generator<readonly [string, number]> {
  for (const line of text.split('\n')) {
    const [name = '', word] = line.split(' ', 2);
    const count = countOf(word);
    if (count !== undefined) yield [name, count];
  }
}
