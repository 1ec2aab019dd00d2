// perf's names of events that can trigger a sample: name -> perf_event_attr type
// and config (linux/perf_event.h).

const PERF_TYPE_SOFTWARE = 1;

export interface PerfEventName {
  readonly type: number;
  readonly config: number;
  readonly unit: string;
}

/** The clock that samples CPU time. */
export const cpuClock: PerfEventName = { type: PERF_TYPE_SOFTWARE, config: 0, unit: 'nanoseconds' };

const softwareEvents: Readonly<Record<string, number>> = {
  'page-faults': 2,
  faults: 2,
  'context-switches': 3,
  cs: 3,
  'cpu-migrations': 4,
  migrations: 4,
  'minor-faults': 5,
  'major-faults': 6,
  'alignment-faults': 7,
  'emulation-faults': 8,
  'cgroup-switches': 11,
};

/** The event of that name, or undefined; `perfEventNames` says which there are. */
export function findPerfEvent(name: string): PerfEventName | undefined {
  const config = softwareEvents[name];
  return config === undefined ? undefined : { type: PERF_TYPE_SOFTWARE, config, unit: 'count' };
}

export const perfEventNames: readonly string[] = Object.keys(softwareEvents);
