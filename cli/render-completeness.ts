// What every answer says about itself: the range it covers and what is missing in it.

import { groupDigits, printable } from '../exporters/formats/text.js';
import type { Coverage } from '../storage/model/query.js';
import type { StackEnds } from '../storage/model/completeness.js';
import type { ProcessStacks, StackCompleteness } from '../storage/model/stacks.js';
import { formatPercent, formatReasons } from './format.js';
import { formatRange, rfc3339 } from './window.js';

/** Lines for people. `what` names the counted things: samples, events. */
export function coverageLines(
  what: string,
  coverage: Coverage,
  stacks?: StackCompleteness,
): string[] {
  const { expected, captured, idle, notFired, lost, unexplained, missingBuckets, brokenBlobs } =
    coverage.completeness;
  const lostSum = sumOf(lost);
  const parts = [`${groupDigits(expected)} expected`, `${groupDigits(captured)} captured`];
  if (what === 'samples') {
    parts.push(`${groupDigits(idle)} idle`, `${groupDigits(notFired)} not fired`);
  }
  parts.push(`${groupDigits(lostSum)} lost${reasonsIn(lost)}`);
  parts.push(`${groupDigits(unexplained)} unexplained (${formatPercent(unexplained, expected)})`);
  const lines = [`range: ${formatRange(coverage)}`, `${what}: ${parts.join(', ')}`];
  const ends = stacks ?? coverage.completeness.stacks;
  if (ends !== undefined) lines.push(endsLine(ends));
  if (stacks !== undefined) lines.push(framesLine(stacks));
  if (missingBuckets > 0) {
    lines.push(`missing: ${groupDigits(missingBuckets)} buckets of 10 s hold nothing`);
  }
  if (brokenBlobs > 0)
    lines.push(`damaged: ${groupDigits(brokenBlobs)} parts of the store could not be read`);
  return lines.map(printable);
}

function endsLine({ complete, cut }: StackEnds): string {
  const cutSum = sumOf(cut);
  const share = formatPercent(complete, complete + cutSum);
  return `stacks: ${groupDigits(complete)} complete (${share}), ${groupDigits(cutSum)} cut${reasonsIn(cut)}`;
}

function framesLine({ framesNamed, framesUnnamed }: StackCompleteness): string {
  const share = formatPercent(framesNamed, framesNamed + sumOf(framesUnnamed));
  return `frames: ${share} named${reasonsIn(framesUnnamed, 'unnamed: ')}`;
}

/** Whose stacks are cut: `cut most: java[17] 120 of 130 (no frame pointer 120)`; undefined when
 *  nobody's are. */
export function cutLine(processes: readonly ProcessStacks[]): string | undefined {
  if (processes.length === 0) return undefined;
  const texts = processes.map(({ pid, comm, complete, cut }) => {
    const name = pid === 0 ? comm : `${comm}[${pid}]`;
    const cutSum = sumOf(cut);
    return `${name} ${groupDigits(cutSum)} of ${groupDigits(cutSum + complete)}${reasonsIn(cut)}`;
  });
  return printable(`cut most: ${texts.join(', ')}`);
}

function reasonsIn(counts: Readonly<Record<string, number>>, title = ''): string {
  return sumOf(counts) === 0 ? '' : ` (${title}${formatReasons(counts)})`;
}

/** The same for machines. Times are RFC 3339 in UTC. */
export function coverageJson(
  coverage: Coverage,
  stacks?: StackCompleteness,
): Record<string, unknown> {
  return {
    from: rfc3339(coverage.fromUnixNs),
    to: rfc3339(coverage.toUnixNs),
    buckets: coverage.buckets,
    completeness: coverage.completeness,
    ...(stacks !== undefined && { stacks }),
  };
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
