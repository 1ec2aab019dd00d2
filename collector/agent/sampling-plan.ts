// What is sampled how often, and what that needs: triggers, map sizes and the time between drains.
// Pure but for the number of CPUs.

import { assert, OperatingError } from '../../storage/model/errors.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import type { Config } from '../../config/load.js';
import { onlineCpus, possibleCpuCount } from '../host/cpus.js';
import { cpuClock, findPerfEvent, perfEventNames } from '../host/perf-events.js';
import type { SampleTrigger } from '../host/sampling-events.js';

/** Kernel memory: an entry of the stack map takes 1 KB, and there are two generations. */
const MIN_ENTRIES = 1024;
const MAX_ENTRIES = 16_384;
/** How often other events than the clock fire cannot be known before. */
const MIN_ENTRIES_WITH_EVENTS = 8192;
/** FK_SAMPLE_TYPES of wire.h, the clock included. */
const MAX_TRIGGERS = 8;

export interface SamplingPlan {
  readonly cpus: 'all' | readonly number[];
  readonly triggers: readonly SampleTrigger[];
  readonly periodNs: bigint;
  /** Time between flushes; shorter than asked for when the maps would not hold so many samples. */
  readonly intervalMs: number;
  readonly possibleCpus: number;
  readonly countMapEntries: number;
  readonly stackMapEntries: number;
}

/** **Errors**: `bad-config` for an event or a CPU that does not exist. */
export function planSampling(config: Config): SamplingPlan {
  const { frequencyHz, cpus } = config.sampling;
  const online = onlineCpus();
  const absent = cpus === 'all' ? [] : cpus.filter((cpu) => cpu >= possibleCpuCount());
  if (absent.length > 0) {
    throw new OperatingError(
      'bad-config',
      `sampling.cpus: CPU ${absent[0]} does not exist; there are 0-${possibleCpuCount() - 1}`,
    );
  }
  const sampledCpus =
    cpus === 'all' ? online.length : online.filter((cpu) => cpus.includes(cpu)).length;
  if (sampledCpus === 0) {
    throw new OperatingError('bad-config', 'sampling.cpus: none of these CPUs is online');
  }
  const perSecond = sampledCpus * frequencyHz;
  const floor = config.sampling.events.length > 0 ? MIN_ENTRIES_WITH_EVENTS : MIN_ENTRIES;
  const wanted = Math.max(floor, powerOfTwo((perSecond * config.flush.intervalMs * 1.25) / 1000));
  const countMapEntries = config.limits.countMapEntries || wanted;
  const stackMapEntries = config.limits.stackMapEntries || wanted;
  const periodNs = BigInt(Math.floor(1e9 / frequencyHz));
  return {
    cpus,
    triggers: [clockTrigger(frequencyHz, periodNs), ...eventTriggers(config)],
    periodNs,
    intervalMs: drainInterval(
      config.flush.intervalMs,
      perSecond,
      Math.min(countMapEntries, stackMapEntries),
    ),
    possibleCpus: possibleCpuCount(),
    countMapEntries,
    stackMapEntries,
  };
}

/** The interval, divided until the samples of one fit the maps even if all were
 *  different; never below 200 ms. */
function drainInterval(intervalMs: number, perSecond: number, entries: number): number {
  let divided = intervalMs;
  for (let parts = 2; (perSecond * divided) / 1000 > entries && divided > 200; parts++) {
    if (intervalMs % parts === 0) divided = Math.max(200, intervalMs / parts);
    assert(parts <= 1000, 'an interval of at most 10 s is at most 50 times 200 ms');
  }
  return divided;
}

function powerOfTwo(entries: number): number {
  return Math.min(MAX_ENTRIES, 2 ** Math.ceil(Math.log2(entries)));
}

function clockTrigger(frequencyHz: number, periodNs: bigint): SampleTrigger {
  const stream: StreamInfo = {
    name: 'cpu',
    kind: 'samples',
    valueType: { type: 'samples', unit: 'count' },
    period: { type: 'cpu', unit: 'nanoseconds', value: Number(periodNs) },
  };
  return { stream, event: cpuClock, sampleType: 0, frequencyHz };
}

function eventTriggers(config: Config): SampleTrigger[] {
  const { events } = config.sampling;
  if (events.length >= MAX_TRIGGERS) {
    throw new OperatingError(
      'bad-config',
      `sampling.events: ${events.length} events; at most ${MAX_TRIGGERS - 1} fit beside the clock`,
    );
  }
  return events.map(({ event: name, period, frequencyHz }, index) => {
    const event = findPerfEvent(name);
    if (event === undefined) {
      throw new OperatingError(
        'bad-config',
        `sampling.events: there is no event ${name}; there are ${perfEventNames.join(', ')}`,
      );
    }
    const stream: StreamInfo = {
      name,
      kind: 'samples',
      valueType: { type: name, unit: event.unit },
    };
    const rate = frequencyHz === undefined ? { period: period ?? 1 } : { frequencyHz };
    return { stream, event, sampleType: index + 1, ...rate };
  });
}
