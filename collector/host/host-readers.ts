// All that is read from the host once a bucket: files of /proc and /sys, cgroups, perf counters, the
// busiest processes, the kernel's log; and each second what is cheap. (front)
//
//   buckets   |         10 s         |
//   flushes   |   |   |   |   |   |  |   however many: the last one of a bucket reads, those before it
//                                        only say that their time is covered

import type { Config } from '../../config/load.js';
import type { HostStreamName } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { SampleRows } from '../messages.js';
import type { CgroupMount } from '../process/cgroup-parse.js';
import { cgroupHierarchies } from '../process/cgroups.js';
import { Readings } from '../pipeline/readings.js';
import type { Taken } from '../pipeline/readings.js';
import { BusyProcesses } from './busy-processes.js';
import { CgroupFiles } from './cgroup-files.js';
import { onlineCpus } from './cpus.js';
import { HostFiles, LinkSpeeds } from './host-files.js';
import { KernelLog } from './kernel-log.js';
import type { MetricSource, TakeContext, TakenStream } from './metric-sources.js';
import type { CountedGroup } from './perf-counters.js';
import { absentText, PerfCounters } from './perf-counters.js';
import type { CounterEvent } from './pmu-events.js';
import { hybridTypes, resolveEvent } from './pmu-events.js';
import { SecondsWriter } from '../pipeline/seconds-ring.js';
import { SecondsTimer } from './seconds-timer.js';

/** Interfaces, CPUs and disks of a large host have some thousand values. */
const MAX_SERIES = 8192;
const BUCKET_NS = 10_000_000_000n;
/** Links are asked for their speed once a minute. */
const SPEED_ROUNDS = 6;
const MILLIONTHS = 1e6;

export interface HostReadersOptions {
  readonly config: Pick<Config, 'context' | 'counters' | 'limits'>;
  /** Where the readings of each second go. */
  readonly seconds: SharedArrayBuffer | undefined;
  /** Tells a user once of something that is missing. */
  readonly note: (text: string) => void;
}

export class HostReaders implements MetricSource {
  readonly #files = new HostFiles();
  readonly #links = new LinkSpeeds(SPEED_ROUNDS);
  readonly #readings = new Readings({ maxSeries: MAX_SERIES });
  readonly #groupReadings = new Readings({ maxSeries: MAX_SERIES, isContinuous: true });
  readonly #groups: CgroupFiles;
  readonly #counters: PerfCounters;
  readonly #processes: BusyProcesses;
  readonly #kernelLog: KernelLog | undefined;
  readonly #seconds: SecondsTimer | undefined;
  /** Streams that were read at the last bucket's end. */
  #covered: readonly TakenStream[] = [];
  /** Of the flushes of this bucket. */
  #samples: SampleRows[] = [];

  constructor({ config, seconds, note }: HostReadersOptions) {
    const { context, counters, limits } = config;
    const { mounts } = cgroupHierarchies();
    this.#groups = new CgroupFiles(mounts, { maxGroups: context.cgroups });
    this.#processes = new BusyProcesses({ maxProcesses: context.processes });
    this.#counters = openCounters({ ...counters, maxDescriptors: limits.counterDescriptors }, mounts, note);
    this.#kernelLog = openKernelLog(context.kernelLevel, note);
    const writer = seconds && new SecondsWriter(seconds, Math.floor(context.secondsMs / 1000));
    this.#seconds = writer && new SecondsTimer(writer, note);
  }

  /** Where everything stands now, from which the first bucket counts. */
  begin(): void {
    this.#readFiles();
    const stand = [...streamsOf(this.#readings.take()), ...perfStreams(this.#counters.read())];
    this.#covered = stand.map(withoutRows);
  }

  *take(context: TakeContext): Generator<TakenStream | undefined> {
    const { span, isLast } = context;
    this.#samples.push(...context.samples);
    const endsBucket = span.endUnixNs / BUCKET_NS > span.startUnixNs / BUCKET_NS;
    if (!endsBucket && !isLast) {
      for (const covered of this.#covered) yield covered;
      return;
    }
    const samples = this.#samples;
    this.#samples = [];
    this.#readFiles();
    this.#readings.tell('tasks', context.naming.processCount, 'processes');
    yield undefined;
    this.#groupReadings.begin();
    this.#groups.read(samples, this.#groupReadings.tell);
    yield undefined;
    this.#counters.follow(onlineCpus());
    const metrics = [
      ...streamsOf(this.#readings.take()),
      ...streamsOf(this.#groupReadings.take()),
      ...perfStreams(this.#counters.read()),
    ];
    this.#covered = metrics.map(withoutRows);
    yield* metrics;
    yield this.#processes.take({ ...context, samples });
    if (this.#kernelLog !== undefined) yield this.#kernelLog.take(context);
  }

  close(): void {
    this.#files.close();
    this.#groups.close();
    this.#counters.close();
    this.#processes.close();
    this.#kernelLog?.close();
    this.#seconds?.close();
  }

  #readFiles(): void {
    this.#readings.begin();
    this.#files.read(this.#readings.tell);
    this.#links.read(this.#readings.tell);
  }
}

function openCounters(
  { groups, cgroups, maxDescriptors }: Config['counters'] & { readonly maxDescriptors: number },
  mounts: readonly CgroupMount[],
  note: (text: string) => void,
): PerfCounters {
  const absent = new Map<string, string>();
  const resolve = (name: string): CounterEvent[] => {
    const event = resolveEvent(name);
    if (typeof event !== 'string') return [event];
    absent.set(name, event);
    return [];
  };
  const cgroupRoot = mounts.find(({ rank, root }) => rank === 0 && root === '')?.mountPoint;
  if (cgroups.length > 0 && cgroupRoot === undefined) {
    note('counters: cgroups are not counted: version 2 is not mounted');
  }
  const resolved = groups.map((names) => names.flatMap(resolve));
  if (absent.size > 0) note(absentText(absent));
  const plan = {
    groups: resolved,
    cgroups,
    cgroupRoot,
    hybridTypes: hybridTypes(),
    maxDescriptors,
  };
  const counters = new PerfCounters(plan, note);
  counters.follow(onlineCpus());
  return counters;
}

function openKernelLog(maxLevel: number, note: (text: string) => void): KernelLog | undefined {
  if (maxLevel < 0) return undefined;
  const log = KernelLog.open(maxLevel);
  if (typeof log !== 'string') return log;
  note(`the kernel's log cannot be read: ${log}`);
  return undefined;
}

function withoutRows({ info }: TakenStream): TakenStream {
  const kind = info.kind === 'gauge' ? 'gauge' : 'counter';
  return { info, counters: {}, columns: { kind, keys: [], values: new Float64Array() } };
}

interface Rows {
  readonly keys: (readonly (string | number)[])[];
  readonly values: number[];
}

/** A stream that was read has a header, so that a key that is not there had nothing added. */
function streamsOf({ series, values, told, backwards, overLimit }: Taken): TakenStream[] {
  const rows = new Map<HostStreamName, Rows>([...told].map((name) => [name, newRows()]));
  series.forEach(({ stream, keys }, i) => addRow(rows, stream, keys, values[i]!));
  return [...rows].map(([name, of]) =>
    takenStream(name, of, {
      ...(backwards.has(name) ? { backwards: backwards.get(name)! } : {}),
      ...(overLimit.has(name) ? { 'lost.over_limit': overLimit.get(name)! } : {}),
    }),
  );
}

/** Rows of what was counted; of an event that had to share the hardware its times, too. */
function perfStreams(groups: readonly CountedGroup[]): TakenStream[] {
  const rows = new Map<HostStreamName, Rows>();
  for (const { cpu, cgroup, events, delta } of groups) {
    events.forEach(({ name, unit, scale }, i) => {
      const count = delta.counts[i]!;
      if (unit === 'nanoseconds') addRow(rows, 'perfTime', [name, cpu, cgroup], count);
      else if (unit === 'count') addRow(rows, 'perfCount', [name, cpu, cgroup], count);
      else {
        const millionths = Math.round(count * scale * MILLIONTHS);
        addRow(rows, 'perfScaled', [name, unit, cpu, cgroup], millionths);
      }
      if (delta.runningNs >= delta.enabledNs) return;
      addRow(rows, 'perfShared', [name, cpu, cgroup, 'enabled'], delta.enabledNs);
      addRow(rows, 'perfShared', [name, cpu, cgroup, 'running'], delta.runningNs);
    });
  }
  return [...rows].map(([name, of]) => takenStream(name, of, {}));
}

function newRows(): Rows {
  return { keys: [], values: [] };
}

function addRow(
  rows: Map<HostStreamName, Rows>,
  name: HostStreamName,
  key: readonly (string | number)[],
  value: number,
): void {
  let of = rows.get(name);
  if (of === undefined) rows.set(name, (of = newRows()));
  of.keys.push(key);
  of.values.push(value);
}

function takenStream(
  name: HostStreamName,
  { keys, values }: Rows,
  counters: TakenStream['counters'],
): TakenStream {
  const { info } = hostStreams[name];
  const kind = info.kind === 'gauge' ? 'gauge' : 'counter';
  return { info, counters, columns: { kind, keys, values: Float64Array.from(values) } };
}
