// What stands beside a latency, from other streams of the same window: who had the CPU while others
// waited, quotas, time that the hypervisor took; and where our own count differs from the kernel's.

import { groupDigits } from '../../exporters/formats/text.js';
import type { Counters } from '../../storage/model/completeness.js';
import { mergeHistograms } from '../../storage/model/histogram.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { Query, SeriesRequest, Window } from '../../storage/model/query.js';
import { unlessAbsent } from '../absent.js';
import { formatPercent } from '../format.js';
import type { Signal } from './signals.js';
import { formatDelay } from './text.js';

const shownKeys = 3;
/** A difference larger than this is told. */
const toldDifference = 0.01;

/** Lines for people; none when there is nothing to tell. */
export async function besideLines(query: Query, signal: Signal, window: Window): Promise<string[]> {
  if (signal.name !== 'runq') return [];
  return [
    ...(await causeLines(query, signal, window)),
    ...(await culpritLines(query, window)),
    ...(await throttledLines(query, window)),
    ...(await stealLines(query, window)),
  ];
}

/** Of the headers' `check.NAME.kernel` and `check.NAME.ours`. */
export function checkLines(counters: Counters): string[] {
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
async function causeLines(query: Query, { stream }: Signal, window: Window): Promise<string[]> {
  const request = { window, stepNs: wholeStepNs(window), filter: {}, stream, by: ['cause'] };
  const answer = await query.series(request);
  if (answer.kind !== 'histogram') return [];
  const causes = answer.keys.map(({ key, values }) => {
    const total = mergeHistograms(values.filter((value) => value !== undefined));
    return { cause: key[0], total };
  });
  const whole = causes.reduce((sum, { total }) => sum + total.sumNs, 0);
  const throttled = causes.find(({ cause }) => cause === 'throttled')?.total;
  if (throttled === undefined || throttled.count === 0) return [];
  const share = formatPercent(throttled.sumNs, whole);
  const waits = groupDigits(throttled.count);
  return [
    `cause: ${share} of the waiting, ${waits} waits, was for a CPU quota, the rest for others`,
  ];
}

async function culpritLines(query: Query, window: Window): Promise<string[]> {
  const by = ['culprit_comm', 'culprit_pid', 'culprit_cgroup'];
  const sums = await sumsOf(query, { window, stream: 'runq_culprit', by });
  if (sums.length === 0) return [];
  const names = sums.slice(0, shownKeys).map(({ key: [comm, pid, cgroup], sum }) => {
    const who =
      comm === '(other)' ? 'others' : `${comm} (pid ${pid}, ${cgroup || 'cgroup unknown'})`;
    return `${who} ${formatDelay(sum)}`;
  });
  return [`had the CPU during long waits: ${names.join('; ')}`];
}

async function throttledLines(query: Query, window: Window): Promise<string[]> {
  const stream = hostStreams.cgroupThrottled.info.name;
  const sums = await sumsOf(query, { window, stream, by: ['cgroup'] });
  const names = sums
    .filter(({ sum }) => sum > 0)
    .slice(0, shownKeys)
    .map(({ key, sum }) => `${key[0]} ${formatDelay(sum * 1e3)}`);
  return names.length === 0 ? [] : [`throttled by a CPU quota: ${names.join('; ')}`];
}

async function stealLines(query: Query, window: Window): Promise<string[]> {
  const stream = hostStreams.cpu.info.name;
  const modes = new Map(
    (await sumsOf(query, { window, stream, by: ['mode'] })).map(({ key, sum }) => [key[0], sum]),
  );
  const guests = (modes.get('guest') ?? 0) + (modes.get('guest_nice') ?? 0);
  const whole = [...modes.values()].reduce((sum, ms) => sum + ms, 0) - guests;
  const steal = modes.get('steal') ?? 0;
  return steal / whole > 0.001
    ? [`steal: the hypervisor gave ${formatPercent(steal, whole)} of the CPU time to others`]
    : [];
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
