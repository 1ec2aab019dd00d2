// `flame --around`: from a spike to its cause. The 10 s windows of a range in which a latency
// condition held, and the difference of their stacks to those of the rest.
//
//   runq p99     3ms  2ms  31ms 44ms  2ms   -    3ms       condition: > 20ms
//   window        r    r    H    H     r   none   r        H held, r the rest; none: not recorded

import { OperatingError } from '../storage/model/errors.js';
import { quantileOf } from '../storage/model/histogram.js';
import type { DiffRow } from '../storage/model/diff.js';
import { diffOf } from '../storage/model/diff.js';
import type { Profile } from '../storage/model/profile.js';
import type { AggregateAnswer, Filter, Query, Window } from '../storage/model/query.js';
import { groupDigits } from '../exporters/formats/text.js';
import type { Condition } from './condition.js';
import { holds } from './condition.js';
import { askForSignal, signals } from './latency/signals.js';
import type { HistogramAnswer } from './latency/signals.js';
import { formatDelay } from './latency/text.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { formatRange, formatTime, namingWindow, rfc3339 } from './window.js';

const bucketNs = 10_000_000_000n;
/** Stretches of windows one question may have: more do not fit into a request. */
const maxStretches = 500;
const shownStretches = 5;
const shownRows = 30;

/** The windows of a range, sorted by the condition. */
export interface Sides {
  readonly held: readonly Window[];
  readonly rest: readonly Window[];
  readonly heldBuckets: number;
  readonly restBuckets: number;
  /** Time that was recorded: a bucket in which the daemon began is shorter. */
  readonly heldSeconds: number;
  readonly restSeconds: number;
  /** Held or not only by the estimate inside a slot that the threshold lies in. */
  readonly unsureBuckets: number;
  /** The highest and the lowest quantile of all windows, and when. */
  readonly highest?: Seen;
  readonly lowest?: Seen;
}

interface Seen {
  readonly valueNs: number;
  readonly startUnixNs: bigint;
}

export interface AroundAnswer {
  readonly held: AggregateAnswer;
  readonly rest: AggregateAnswer;
  readonly sides: Sides;
  readonly condition: Condition;
}

/** **Errors**: `empty-window` when the condition held nowhere, or everywhere; `usage` when in too
 *  many places; what the query rejects with. */
export async function askAround(
  query: Query,
  condition: Condition,
  asked: { readonly window: Window; readonly filter: Filter; readonly stream: string },
): Promise<AroundAnswer> {
  const { window, filter, stream } = asked;
  const found = askForSignal(query, signals[condition.signal], seriesRequest(condition, window));
  const series = await namingWindow(window, found);
  const sides = sidesOf(series, condition);
  requireBoth(sides, condition, window);
  const [held, rest] = [
    await query.aggregate({ windows: sides.held, filter, stream }),
    await query.aggregate({ windows: sides.rest, filter, stream }),
  ];
  return { held, rest, sides, condition };
}

function seriesRequest({ signal, device, filter }: Condition, window: Window) {
  const { apart } = signals[signal];
  return {
    window,
    stepNs: bucketNs,
    by: apart === undefined ? [] : [apart.field],
    filter: { ...filter, ...(device !== undefined && { device: [device] }) },
  };
}

/** Of block I/O the device phase counts: what the device took, not the queue before it. */
export function sidesOf(series: HistogramAnswer, condition: Condition): Sides {
  const { apart } = signals[condition.signal];
  const steps = series.keys.find(({ key }) => apart === undefined || key[0] === apart.around);
  const [held, rest]: [Window[], Window[]] = [[], []];
  let [heldBuckets, restBuckets, unsureBuckets] = [0, 0, 0];
  let [heldNs, restNs] = [0, 0];
  let highest: Seen | undefined;
  let lowest: Seen | undefined;
  for (const [step, startUnixNs] of series.steps.entries()) {
    const coveredNs = series.coveredNs[step]!;
    if (coveredNs === 0) continue;
    const histogram = steps?.values[step];
    const quantile = histogram && quantileOf(histogram, condition.quantile);
    if (quantile === undefined || !holds(condition, quantile.valueNs)) {
      addBucket(rest, startUnixNs);
      restBuckets++;
      restNs += coveredNs;
    } else {
      addBucket(held, startUnixNs);
      heldBuckets++;
      heldNs += coveredNs;
    }
    if (quantile === undefined) continue;
    const { valueNs, lowerNs, upperNs } = quantile;
    if (holds(condition, lowerNs) !== holds(condition, upperNs)) unsureBuckets++;
    if (highest === undefined || valueNs > highest.valueNs) highest = { valueNs, startUnixNs };
    if (lowest === undefined || valueNs < lowest.valueNs) lowest = { valueNs, startUnixNs };
  }
  return {
    held,
    rest,
    heldBuckets,
    restBuckets,
    heldSeconds: heldNs / 1e9,
    restSeconds: restNs / 1e9,
    unsureBuckets,
    ...(highest && { highest }),
    ...(lowest && { lowest }),
  };
}

/** Windows that touch become one. */
function addBucket(windows: Window[], fromUnixNs: bigint): void {
  const last = windows.at(-1);
  const toUnixNs = fromUnixNs + bucketNs;
  if (last?.toUnixNs !== fromUnixNs) windows.push({ fromUnixNs, toUnixNs });
  else windows[windows.length - 1] = { fromUnixNs: last.fromUnixNs, toUnixNs };
}

function requireBoth(sides: Sides, { text, operator }: Condition, window: Window): void {
  const { held, rest, heldBuckets, restBuckets } = sides;
  const range = formatRange(window);
  if (heldBuckets === 0) {
    const { which, seen } = extremeOf(sides, operator);
    throw new OperatingError(
      'empty-window',
      `${text} held in none of the ${restBuckets} windows of 10 s: ${range}`,
      seen === undefined
        ? 'Nothing of it was seen at all; `flamekeeper latency` shows what was.'
        : `The ${which} was ${formatDelay(seen.valueNs)}, at ${formatTime(seen.startUnixNs)}.`,
    );
  }
  if (restBuckets === 0) {
    throw new OperatingError(
      'empty-window',
      `${text} held in all ${heldBuckets} windows of 10 s: ${range}`,
      'Nothing is left to compare with: widen --from and --to, or move the threshold.',
    );
  }
  if (Math.max(held.length, rest.length) > maxStretches) {
    throw new OperatingError(
      'usage',
      `${text} began to hold ${groupDigits(held.length)} times, more than one answer compares`,
      `At most ${maxStretches}: narrow --from and --to, or move the threshold.`,
    );
  }
}

/** What comes nearest to the condition, or goes beyond it most. */
function extremeOf({ highest, lowest }: Sides, operator: Condition['operator']) {
  const isAbove = operator.startsWith('>');
  return { which: isAbove ? 'highest' : 'lowest', seen: isAbove ? highest : lowest };
}

/** The rest's stacks, scaled to the time of the windows that held. */
export function scaledRest({ rest, sides }: AroundAnswer): Profile {
  const scale = sides.heldSeconds / sides.restSeconds;
  const { profile } = rest;
  return { ...profile, values: profile.values.map((column) => column.map((v) => v * scale)) };
}

export interface Difference {
  readonly rows: readonly DiffRow[];
  /** CPUs, or what is counted a second. */
  readonly unit: string;
}

/** The function that grew most first. */
export function differenceOf({ held, rest, sides }: AroundAnswer): Difference {
  const { valueTypes } = held.profile;
  const valueIndex = valueTypes.length - 1;
  const { type, unit } = valueTypes[valueIndex]!;
  // Nanoseconds of CPU time a ns: how many CPUs were busy with it.
  const isTime = unit === 'nanoseconds';
  const scale = isTime ? 1e9 : 1;
  const rows = diffOf(
    { profile: held.profile, seconds: sides.heldSeconds * scale },
    { profile: rest.profile, seconds: sides.restSeconds * scale },
    valueIndex,
  );
  return { rows, unit: isTime ? 'CPUs' : `${type}/s` };
}

/** Lines for people on what was found, without line ends. */
export function aroundLines({ condition, sides }: AroundAnswer): string[] {
  const { held, heldBuckets, restBuckets, unsureBuckets } = sides;
  const { which, seen } = extremeOf(sides, condition.operator);
  const windows = heldBuckets + restBuckets;
  const phase = signals[condition.signal].apart?.around;
  const what = phase === undefined ? condition.text : `${condition.text} (phase ${phase})`;
  const shown = held.slice(0, shownStretches).map(formatRange);
  if (held.length > shownStretches) shown.push(`${held.length - shownStretches} stretches more`);
  const lines = [`around: ${what} held in ${heldBuckets} of ${windows} windows of 10 s`];
  if (seen !== undefined) {
    const when = formatTime(seen.startUnixNs);
    lines[0] += `; the ${which} was ${formatDelay(seen.valueNs)}, at ${when}`;
  }
  lines.push(...shown.map((range) => `  ${range}`));
  if (unsureBuckets > 0) {
    lines.push(`  in ${unsureBuckets} windows the threshold lies inside the quantile's slot`);
  }
  return lines;
}

const columns: readonly Column[] = [
  { title: 'grew by', align: 'right' },
  { title: 'self', align: 'right' },
  { title: 'before', align: 'right' },
  { title: 'total', align: 'right' },
  { title: 'before', align: 'right' },
  { title: 'module', align: 'left' },
  { title: 'function', align: 'left' },
];

/** What grew, then how much is left out. */
export function differenceLines({ rows, unit }: Difference): string[] {
  const texts = rows.slice(0, shownRows).map((row) => {
    const { self, selfBefore, total, totalBefore } = row;
    const grown = self - selfBefore;
    const numbers = [self, selfBefore, total, totalBefore].map((value) => value.toFixed(3));
    return [`${grown < 0 ? '' : '+'}${grown.toFixed(3)}`, ...numbers, row.moduleName, row.label];
  });
  const lines = [`in ${unit}:`, ...renderTable(columns, texts)];
  if (rows.length > shownRows) lines.push(`${groupDigits(rows.length - shownRows)} functions more`);
  return lines;
}

/** The condition, its windows and the functions, for machines. */
export function aroundJson({
  answer: { condition, sides },
  difference,
}: {
  readonly answer: AroundAnswer;
  readonly difference: Difference;
}): Record<string, unknown> {
  const { held, heldBuckets, restBuckets, unsureBuckets, heldSeconds, restSeconds } = sides;
  return {
    condition: condition.text,
    held: held.map(({ fromUnixNs, toUnixNs }) => [rfc3339(fromUnixNs), rfc3339(toUnixNs)]),
    heldWindows: heldBuckets,
    restWindows: restBuckets,
    heldSeconds,
    restSeconds,
    unsureWindows: unsureBuckets,
    ...difference,
  };
}
