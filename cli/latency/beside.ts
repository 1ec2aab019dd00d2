// What stands beside a latency, from other streams of the same window: who had the CPU while others
// waited, quotas, time that the hypervisor took; and where our own count differs from the kernel's.

import { groupDigits } from '../../exporters/formats/text.js';
import type { Counters } from '../../storage/model/completeness.js';
import { mergeHistograms } from '../../storage/model/histogram.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { Query, SeriesRequest, Window } from '../../storage/model/query.js';
import { unlessAbsent } from '../absent.js';
import { formatPercent } from '../format.js';
import type { HistogramAnswer } from './signals.js';
import { signals } from './signals.js';
import { formatDelay } from './text.js';

const shownKeys = 3;
/** A difference larger than this is told. */
const toldDifference = 0.01;

/** **Shape**: `json` has a member a line. */
export interface Beside {
  readonly lines: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
}

/** Of an answer by cause; empty for another. */
export async function besideOf(
  query: Query,
  answer: HistogramAnswer,
  window: Window,
): Promise<Beside> {
  if (answer.fields.at(-1)?.name !== signals.runq.causes) return { lines: [], json: {} };
  const parts = [
    causeBeside(answer),
    await culpritBeside(query, window),
    await throttledBeside(query, window),
    await stealBeside(query, window),
  ];
  return {
    lines: parts.flatMap(({ lines }) => lines),
    json: Object.assign({}, ...parts.map(({ json }) => json)) as Beside['json'],
  };
}

/** Of the headers' `check.NAME.kernel` and `check.NAME.ours`, and of `unmeasured.DEVICE`. */
export function checkLines(counters: Counters): string[] {
  return [...differenceLines(counters), ...unmeasuredLines(counters)];
}

function unmeasuredLines(counters: Counters): string[] {
  const names = Object.entries(counters).flatMap(([counter, requests]) => {
    const device = /^unmeasured\.(.+)$/.exec(counter)?.[1];
    return device === undefined ? [] : [`${device} (${groupDigits(requests)} done)`];
  });
  const text = `not measured: ${names.join(', ')}, which make no requests; the devices below them do`;
  return names.length === 0 ? [] : [text];
}

function differenceLines(counters: Counters): string[] {
  return Object.keys(counters).flatMap((counter) => {
    const name = /^check\.(.+)\.kernel$/.exec(counter)?.[1];
    if (name === undefined) return [];
    const [kernel, ours] = [counters[counter]!, counters[`check.${name}.ours`] ?? 0];
    const share = kernel === ours ? 0 : Math.abs(ours - kernel) / Math.max(kernel, ours);
    if (share <= toldDifference) return [];
    // A check's name says what it counts: run_delay is in ns.
    const text = name.endsWith('delay') ? formatDelay : groupDigits;
    const counts = `the kernel counted ${text(kernel)}, we ${text(ours)}`;
    return [`self-check: ${name} differs by ${formatPercent(share, 1)}: ${counts}`];
  });
}

/** A wait that a quota made, for a part of it at least, is told apart from one behind others. */
function causeBeside({ keys }: HistogramAnswer): Beside {
  const causes = keys.map(({ key, values }) => {
    const { count, sumNs } = mergeHistograms(values.filter((value) => value !== undefined));
    return { cause: key.at(-1), count, sumNs };
  });
  const whole = causes.reduce((sum, { sumNs }) => sum + sumNs, 0);
  const throttled = causes.find(({ cause }) => cause === 'throttled');
  if (throttled === undefined || throttled.count === 0) return { lines: [], json: { causes } };
  const share = formatPercent(throttled.sumNs, whole);
  const waits = groupDigits(throttled.count);
  return {
    lines: [
      `cause: ${share} of the waiting, ${waits} waits, was for a CPU quota, the rest for others`,
    ],
    json: { causes },
  };
}

async function culpritBeside(query: Query, window: Window): Promise<Beside> {
  const by = ['culprit_comm', 'culprit_pid', 'culprit_cgroup'];
  const sums = await sumsOf(query, { window, stream: 'runq_culprit', by });
  const culprits = sums.slice(0, shownKeys).map(({ key: [comm, pid, cgroup], sum }) => {
    return { comm, pid, cgroup, heldNs: sum };
  });
  const names = culprits.map(({ comm, pid, cgroup, heldNs }) => {
    const who =
      comm === '(other)' ? 'others' : `${comm} (pid ${pid}, ${cgroup || 'cgroup unknown'})`;
    return `${who} ${formatDelay(heldNs)}`;
  });
  const text = `had the CPU during long waits: ${names.join('; ')}`;
  return { lines: names.length === 0 ? [] : [text], json: { culprits } };
}

async function throttledBeside(query: Query, window: Window): Promise<Beside> {
  const stream = hostStreams.cgroupThrottled.info.name;
  const sums = await sumsOf(query, { window, stream, by: ['cgroup'] });
  const throttled = sums
    .filter(({ sum }) => sum > 0)
    .slice(0, shownKeys)
    .map(({ key, sum }) => ({ cgroup: key[0], throttledNs: sum * 1e3 }));
  const names = throttled.map((each) => `${each.cgroup} ${formatDelay(each.throttledNs)}`);
  const text = `throttled by a CPU quota: ${names.join('; ')}`;
  return { lines: names.length === 0 ? [] : [text], json: { throttled } };
}

/** Time in which a thread had a CPU that itself waited for one is no wait of the thread's. */
async function stealBeside(query: Query, window: Window): Promise<Beside> {
  const stream = hostStreams.cpu.info.name;
  const modes = new Map(
    (await sumsOf(query, { window, stream, by: ['mode'] })).map(({ key, sum }) => [key[0], sum]),
  );
  const stealMs = modes.get('steal');
  if (stealMs === undefined) return { lines: [], json: {} };
  const guestMs = (modes.get('guest') ?? 0) + (modes.get('guest_nice') ?? 0);
  const cpuMs = [...modes.values()].reduce((sum, ms) => sum + ms, 0) - guestMs;
  const share = formatPercent(stealMs, cpuMs);
  const text = `steal: the hypervisor gave ${share} of the CPU time, ${formatDelay(stealMs * 1e6)}, to others`;
  return { lines: [text], json: { steal: { stealMs, cpuMs } } };
}

interface KeySum {
  readonly key: readonly (string | number)[];
  readonly sum: number;
}

/** Counters summed over the window, the largest first; none of a stream that is not there. */
async function sumsOf(
  query: Query,
  request: Pick<SeriesRequest, 'window' | 'stream' | 'by'>,
): Promise<KeySum[]> {
  const stepNs = wholeStepNs(request.window);
  const answer = await unlessAbsent(query.series({ ...request, stepNs, filter: {} }));
  if (answer?.kind !== 'counter') return [];
  return answer.keys
    .map(({ key, values }) => ({
      key,
      sum: values.reduce<number>((sum, value) => sum + (value ?? 0), 0),
    }))
    .sort((a, b) => b.sum - a.sum);
}

/** A step as long as the window: an answer of at most two. */
export function wholeStepNs({ fromUnixNs, toUnixNs }: Window): bigint {
  const bucketNs = 10_000_000_000n;
  return ((toUnixNs - fromUnixNs + bucketNs - 1n) / bucketNs) * bucketNs;
}
