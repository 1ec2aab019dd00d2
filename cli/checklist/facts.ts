// What the ten views are made of: the host's streams over one window, summed over its buckets. A
// stream that the store does not hold is absent, and the views say so.

import { OperatingError } from '../../storage/model/errors.js';
import type { HostStreamName } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type {
  Coverage,
  EventRecord,
  Filter,
  Query,
  SeriesAnswer,
  Window,
} from '../../storage/model/query.js';
import { unlessAbsent } from '../absent.js';

type MetricName = Exclude<HostStreamName, 'kernelLog' | 'process'>;

const asked = [
  'uptime',
  'load',
  'users',
  'tasks',
  'cpu',
  'system',
  'memory',
  'vm',
  'diskOperations',
  'diskBytes',
  'diskMerged',
  'diskTime',
  'diskBusy',
  'diskQueue',
  'diskInFlight',
  'netBytes',
  'netPackets',
  'netErrors',
  'netCompressed',
  'netMulticast',
  'netSpeed',
  'protocol',
  'pressure',
  'cgroupThrottled',
] as const satisfies readonly MetricName[];

export type AskedStream = (typeof asked)[number];

/** One stream over the window: of counters what was added, of gauges the last value. */
export interface StreamFacts {
  /** Time that the counters cover. */
  readonly seconds: number;
  /** Key fields joined by a blank (a device and a direction: `vda read`) -> value. */
  readonly values: ReadonlyMap<string, number>;
}

export type EventValues = EventRecord['values'];

export interface HostFacts {
  /** End of the window's last bucket that holds anything. */
  readonly untilUnixNs: bigint;
  readonly coverage: Coverage;
  readonly streams: Readonly<Partial<Record<AskedStream, StreamFacts>>>;
  /** Of the window, in time order; several of one process when it has several buckets. */
  readonly processes: readonly EventValues[];
  /** Kernel messages up to the end of the window, the latest last. */
  readonly messages: readonly EventRecord[];
}

const stepNs = 10_000_000_000n;
/** Kernel messages are looked for this far back. */
const messagesBackNs = 3_600_000_000_000n;
const maxEvents = 100_000;

/** A filter acts on what knows its parts: on processes, and `device` on disks and interfaces.
 *  **Errors**: `empty-window` when the window holds none of the streams. */
export async function askForFacts(
  query: Query,
  window: Window,
  filter: Filter,
): Promise<HostFacts> {
  const { device, ...processFilter } = filter;
  const streams: Partial<Record<AskedStream, StreamFacts>> = {};
  let coverage: Coverage | undefined;
  for (const name of asked) {
    const { info } = hostStreams[name];
    const hasDevice = info.fields?.some((field) => field.name === 'device') === true;
    const own = hasDevice && device !== undefined ? { device } : {};
    const request = { window, stepNs, filter: own, stream: info.name };
    const answer = await unlessAbsent(query.series(request));
    if (answer === undefined || answer.kind === 'histogram') continue;
    streams[name] = factsOf(answer);
    if (coverage === undefined || coverage.toUnixNs < answer.coverage.toUnixNs) {
      coverage = answer.coverage;
    }
  }
  if (coverage === undefined) {
    throw new OperatingError(
      'empty-window',
      'the store holds no readings of the host of that time',
    );
  }
  const processes = await eventsOf(query, 'process', window, processFilter);
  const back = { ...window, fromUnixNs: window.toUnixNs - messagesBackNs };
  const messages = await eventsOf(query, 'kernelLog', back, {});
  return {
    untilUnixNs: coverage.toUnixNs,
    coverage,
    streams,
    processes: processes.map(({ values }) => values),
    messages: messages.filter(({ unixNs }) => unixNs < window.toUnixNs),
  };
}

/** For tests too: readings that never were in a store. */
export function factsOf(answer: Exclude<SeriesAnswer, { kind: 'histogram' }>): StreamFacts {
  const values = new Map<string, number>();
  for (const { key, values: steps } of answer.keys) {
    const known = steps.filter((value) => value !== undefined);
    const value =
      answer.kind === 'counter' ? known.reduce((sum, step) => sum + step, 0) : known.at(-1);
    if (value !== undefined) values.set(key.join(' '), value);
  }
  return { seconds: answer.coveredNs.reduce((sum, ns) => sum + ns, 0) / 1e9, values };
}

async function eventsOf(
  query: Query,
  name: 'process' | 'kernelLog',
  window: Window,
  filter: Filter,
): Promise<readonly EventRecord[]> {
  const stream = hostStreams[name].info.name;
  const request = { window, filter, stream, limit: maxEvents };
  return (await unlessAbsent(query.events(request)))?.events ?? [];
}
