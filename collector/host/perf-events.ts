// perf's names of events: name -> perf_event_attr type and config (linux/perf_event.h). Those that
// the machine itself names, in sysfs, are in pmu-events.ts.

import { perfType, softwareEvent } from '../../ffi/perf-event.js';

export interface PerfEventName {
  readonly type: number;
  readonly config: number;
  readonly unit: string;
}

/** The clock that samples CPU time. */
export const cpuClock: PerfEventName = {
  type: perfType.software,
  config: softwareEvent.cpuClock,
  unit: 'nanoseconds',
};

const softwareEvents: Readonly<Record<string, number>> = {
  'page-faults': softwareEvent.pageFaults,
  faults: softwareEvent.pageFaults,
  'context-switches': softwareEvent.contextSwitches,
  cs: softwareEvent.contextSwitches,
  'cpu-migrations': softwareEvent.cpuMigrations,
  migrations: softwareEvent.cpuMigrations,
  'minor-faults': softwareEvent.pageFaultsMinor,
  'major-faults': softwareEvent.pageFaultsMajor,
  'alignment-faults': softwareEvent.alignmentFaults,
  'emulation-faults': softwareEvent.emulationFaults,
  'cgroup-switches': softwareEvent.cgroupSwitches,
};

const clocks: Readonly<Record<string, number>> = {
  'cpu-clock': softwareEvent.cpuClock,
  'task-clock': softwareEvent.taskClock,
};

const hardwareEvents: Readonly<Record<string, number>> = {
  cycles: 0,
  'cpu-cycles': 0,
  instructions: 1,
  'cache-references': 2,
  'cache-misses': 3,
  branches: 4,
  'branch-instructions': 4,
  'branch-misses': 5,
  'bus-cycles': 6,
  'stalled-cycles-frontend': 7,
  'idle-cycles-frontend': 7,
  'stalled-cycles-backend': 8,
  'idle-cycles-backend': 8,
  'ref-cycles': 9,
};

/** In a cache event's config: which cache, then which operation (<< 8), then hit or miss (<< 16). */
const caches = ['L1-dcache', 'L1-icache', 'LLC', 'dTLB', 'iTLB', 'branch', 'node'];
const cacheOperations: Readonly<Record<string, number>> = {
  loads: 0x00000,
  'load-misses': 0x10000,
  stores: 0x00100,
  'store-misses': 0x10100,
  prefetches: 0x00200,
  'prefetch-misses': 0x10200,
};

/** A software event that can trigger a sample, or undefined; `perfEventNames` says which
 *  there are. */
export function findPerfEvent(name: string): PerfEventName | undefined {
  return named(softwareEvents, perfType.software, name);
}

export const perfEventNames: readonly string[] = Object.keys(softwareEvents);

/** Any event that perf itself names, or undefined. */
export function findNamedEvent(name: string): PerfEventName | undefined {
  const clock = named(clocks, perfType.software, name);
  if (clock !== undefined) return { ...clock, unit: 'nanoseconds' };
  return (
    findPerfEvent(name) ?? named(hardwareEvents, perfType.hardware, name) ?? findCacheEvent(name)
  );
}

function findCacheEvent(name: string): PerfEventName | undefined {
  const cache = caches.findIndex((each) => name.startsWith(`${each}-`));
  if (cache < 0) return undefined;
  const operation = cacheOperations[name.slice(caches[cache]!.length + 1)];
  if (operation === undefined) return undefined;
  return { type: perfType.hwCache, config: cache | operation, unit: 'count' };
}

function named(
  events: Readonly<Record<string, number>>,
  type: number,
  name: string,
): PerfEventName | undefined {
  const config = Object.hasOwn(events, name) ? events[name]! : undefined;
  return config === undefined ? undefined : { type, config, unit: 'count' };
}
