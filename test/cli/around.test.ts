// Which windows a condition held in.
//
//   step      0      1      2      3      4      5      6
//   p99       1 ms   30 ms  40 ms  gap    30 ms  none   1 ms       "runq p99 > 20ms"
//             rest   held   held          held   rest   rest       none: recorded, and nothing waited

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aroundLines, differenceOf, scaledRest, sidesOf } from '../../cli/around.js';
import { parseCondition } from '../../cli/condition.js';
import { completenessOf } from '../../storage/model/completeness.js';
import type { HistogramAnswer } from '../../cli/latency/signals.js';
import { buildProfile, nativeFunction, seriesOf } from '../support/profiles.js';
import { bucketNs, histogramOf, block, runq } from './signals-store.js';

const start = 1_750_000_000n * 1_000_000_000n;
const coverage = {
  fromUnixNs: start,
  toUnixNs: start + 7n * bucketNs,
  buckets: 6,
  completeness: completenessOf({}, { missingBuckets: 1, brokenBlobs: 0 }),
};

function answerOf(delaysMs: readonly (number | 'gap' | 'none')[]): HistogramAnswer {
  return {
    kind: 'histogram',
    stream: runq,
    fields: [],
    steps: delaysMs.map((_, i) => start + BigInt(i) * bucketNs),
    coveredNs: delaysMs.map((delay) => (delay === 'gap' ? 0 : 1e10)),
    keys: [
      {
        key: [],
        values: delaysMs.map((delay) =>
          typeof delay === 'number' ? histogramOf({ 1000: 10, [delay * 1e6]: 90 }) : undefined,
        ),
      },
    ],
    coverage,
    counters: {},
  };
}

const timeline = answerOf([1, 30, 40, 'gap', 30, 'none', 1]);
const windowsOf = (windows: readonly { fromUnixNs: bigint; toUnixNs: bigint }[]) =>
  windows.map(({ fromUnixNs, toUnixNs }) =>
    [(fromUnixNs - start) / bucketNs, (toUnixNs - start) / bucketNs].map(Number),
  );

test('windows that held, the rest, and neither for what was not recorded', () => {
  const sides = sidesOf(timeline, parseCondition('runq p99 > 20ms'));
  assert.deepEqual(windowsOf(sides.held), [
    [1, 3],
    [4, 5],
  ]);
  assert.deepEqual(windowsOf(sides.rest), [
    [0, 1],
    [5, 7],
  ]);
  assert.deepEqual([sides.heldBuckets, sides.restBuckets, sides.unsureBuckets], [3, 3, 0]);
  assert.equal(sides.highest!.startUnixNs, start + 2n * bucketNs);
});

test('a window that was recorded in part counts with that part', () => {
  const coveredNs = [1e10, 2e9, 1e10, 0, 1e10, 1e10, 3e9];
  const sides = sidesOf({ ...timeline, coveredNs }, parseCondition('runq p99 > 20ms'));
  assert.deepEqual([sides.heldSeconds, sides.restSeconds], [22, 23]);
});

test('a threshold inside a slot is told', () => {
  // 30 ms lies in the slot from 28.7 to 31.3 ms.
  assert.equal(sidesOf(timeline, parseCondition('runq p99 > 29ms')).unsureBuckets, 2);
});

test('less is a condition, too', () => {
  assert.deepEqual(windowsOf(sidesOf(timeline, parseCondition('runq p99 < 20ms')).held), [
    [0, 1],
    [6, 7],
  ]);
});

test('of block I/O the device phase counts', () => {
  const one = answerOf([50, 1]);
  const two = answerOf([1, 50]);
  const answer = {
    ...one,
    stream: block,
    keys: [
      { key: ['queue'], values: one.keys[0]!.values },
      { key: ['device'], values: two.keys[0]!.values },
    ],
  } as HistogramAnswer;
  assert.deepEqual(windowsOf(sidesOf(answer, parseCondition('block p50 > 20ms')).held), [[1, 2]]);
});

test('sides of unequal length are compared by rate', () => {
  const app = seriesOf('app', 1);
  const profileOf = (spin: number, work: number) =>
    buildProfile([
      { series: app, stack: [nativeFunction('spin')], count: spin },
      { series: app, stack: [nativeFunction('work')], count: work },
    ]);
  const condition = parseCondition('runq p99 > 20ms');
  const sides = { ...sidesOf(timeline, condition), heldSeconds: 10, restSeconds: 100 };
  const answer = {
    held: { profile: profileOf(100, 50), coverage },
    rest: { profile: profileOf(10, 5000), coverage },
    sides,
    condition,
  };
  const { rows, unit } = differenceOf(answer);
  assert.equal(unit, 'CPUs');
  assert.deepEqual(
    rows.map(({ label }) => label),
    ['spin', 'work'],
  );
  assert.ok(rows[1]!.self < rows[1]!.selfBefore);
  assert.deepEqual([...scaledRest(answer).values[0]!].sort(), [1, 500]);
  assert.match(aroundLines(answer)[0]!, /held in 3 of 6 windows of 10 s; the highest was 40\.\dms/);
});
