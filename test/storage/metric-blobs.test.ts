// Blobs of histograms, counters and gauges: what was put in comes back by key, exactly.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Histogram, SlotSpan } from '../../storage/model/histogram.js';
import { firstSlot, HistogramSum, lastSlot, mergeHistograms } from '../../storage/model/histogram.js';
import { headerOf } from '../../storage/segment/bucket.js';
import { maxKeys, unfitKey } from '../../storage/segment/keyed.js';
import { decodeHistograms, LiveHistograms } from '../../storage/segment/live-histograms.js';
import { decodePoints, LivePoints, maxGauge } from '../../storage/segment/live-points.js';
import { seedRandomTests } from '../support/random.js';
import { histogramOf, noon, second } from './support.js';

seedRandomTests('storage-metric-blobs');

const header = headerOf(Number(noon / (10n * second)), {
  startUnixNs: noon,
  endUnixNs: noon + second,
});
const max = Number.MAX_SAFE_INTEGER;

/** Rows of any histograms, with counts and sums that their slots do not explain too. */
const histograms: fc.Arbitrary<[number, Histogram][]> = fc.array(
  fc.tuple(
    fc.nat(30),
    fc.record({
      slots: fc
        .uniqueArray(fc.integer({ min: firstSlot, max: lastSlot }), { maxLength: 20 })
        .map((slots) => Int16Array.from(slots).sort()),
      count: fc.oneof(fc.nat(1000), fc.integer({ min: 1, max: 2 ** 45 })),
      sumNs: fc.oneof(fc.nat(1000), fc.integer({ min: 1, max: 2 ** 45 })),
      seed: fc.integer({ min: 1, max: 2 ** 45 }),
    }),
  ),
).map((rows) =>
  rows.map(([key, { slots, count, sumNs, seed }]) => {
    const counts = Float64Array.from(slots, (_, i) => 1 + (seed % (2 + i * 7919)));
    return [key, { slots, counts, count, sumNs }];
  }),
);

test('histograms: merged by key, each as it was', () => {
  fc.assert(
    fc.property(histograms, (rows) => {
      const live = new LiveHistograms(header, 99);
      const byKey = new Map<number, Histogram>();
      for (const [key, histogram] of rows) {
        assert.ok(live.add(key, histogram));
        const before = byKey.get(key);
        byKey.set(key, mergeHistograms(before === undefined ? [histogram] : [before, histogram]));
      }
      const decoded = decodeHistograms(live.encode());
      assert.ok(decoded !== undefined);
      assert.deepEqual(decoded.header, header);
      const expected = [...byKey].sort(([a], [b]) => a - b);
      assert.deepEqual(
        decoded.keys.map((key, i) => [key, histogramIn(decoded.values[i]!)]),
        expected,
      );
      assert.deepEqual(LiveHistograms.decode(live.encode(), 99)!.encode(), live.encode());
    }),
  );
});

test('histograms beyond 2^53 stay there', () => {
  const live = new LiveHistograms(header, 99);
  const slots = Int16Array.of(firstSlot, lastSlot);
  const huge = { slots, counts: Float64Array.of(max, max), count: max, sumNs: max };
  for (let i = 0; i < 3; i++) live.add(1, huge);
  const { values } = decodeHistograms(live.encode())!;
  assert.deepEqual(values.map(histogramIn), [huge]);
});

function histogramIn(span: SlotSpan): Histogram {
  const sum = new HistogramSum();
  sum.addSpan(span);
  return sum.histogram();
}

const pointLists = (value: fc.Arbitrary<number>) => fc.array(fc.tuple(fc.nat(40), value));

test('counters: summed by key, to 53 bits', () => {
  const deltas = fc.oneof(fc.nat(200), fc.nat(2 ** 45));
  fc.assert(
    fc.property(pointLists(deltas), (rows) => {
      const live = new LivePoints('counter', header, 99);
      const sums = new Map<number, number>();
      for (const [key, delta] of rows) {
        live.add(key, delta);
        sums.set(key, (sums.get(key) ?? 0) + delta);
      }
      const { keys, values } = decodePoints('counter', live.encode())!;
      const expected = [...sums].sort(([a], [b]) => a - b);
      assert.deepEqual(
        keys.map((key, i) => [key, values[i]]),
        expected,
      );
    }),
  );
  const live = new LivePoints('counter', header, 99);
  live.add(0, max);
  live.add(0, max);
  assert.deepEqual(decodePoints('counter', live.encode())!.values, [max]);
});

test('gauges: the last value, as it was or to 15 digits', () => {
  const edges = [0, -0, 0.1, 0.52, 12.34, -273.15, 1e300, 5e-324, max, -max, 1 / 3, 2 ** 70];
  const any = fc.double({ noNaN: true, min: -maxGauge, max: maxGauge });
  const decimals = fc.integer({ min: -1e9, max: 1e9 }).map((n) => n / 100);
  const values = fc.oneof(fc.constantFrom(...edges), any, decimals, fc.integer());
  fc.assert(
    fc.property(pointLists(values), (rows) => {
      const live = new LivePoints('gauge', header, 99);
      for (const [key, value] of rows) live.add(key, value);
      const decoded = decodePoints('gauge', live.encode())!;
      const last = [...new Map(rows)].sort(([a], [b]) => a - b);
      assert.deepEqual(decoded.keys, last.map(([key]) => key));
      for (const [i, [, value]] of last.entries()) {
        const kept = decoded.values[i]!;
        const digits = value.toExponential().replace(/e.*|[-.]/g, '').length;
        if (digits <= 15 || Number.isSafeInteger(value)) assert.equal(kept, value + 0);
        else assert.equal(kept.toPrecision(15), value.toPrecision(15));
      }
    }),
    { numRuns: 500 },
  );
});

test('keys beyond the limit: sums go to the overflow key, gauges are lost', () => {
  const one = histogramOf([1000]);
  const live = new LiveHistograms(header, maxKeys + 7);
  const more = new LiveHistograms(header, maxKeys + 7);
  for (let key = 0; key < maxKeys; key++) assert.ok(live.add(key, one));
  assert.equal(live.add(maxKeys, one), false);
  assert.equal(live.add(unfitKey, one), false);
  for (let key = maxKeys - 2; key < maxKeys + 3; key++) more.add(key, one);
  assert.equal(live.merge(more), 3);
  const rows = decodeHistograms(live.encode())!;
  assert.equal(rows.keys.length, maxKeys + 1);
  assert.equal(rows.values.at(-1)!.count, 5);
  assert.equal(rows.values.reduce((sum, { count }) => sum + count, 0), maxKeys + 7);
  for (const [kind, total] of [['counter', maxKeys + 2], ['gauge', maxKeys]] as const) {
    const points = new LivePoints(kind, header, maxKeys + 7);
    for (let key = 0; key < maxKeys; key++) assert.ok(points.add(key, 1));
    for (const key of [maxKeys, unfitKey]) assert.equal(points.add(key, 1), false);
    const { values } = decodePoints(kind, points.encode())!;
    assert.equal(values.reduce((sum, value) => sum + value, 0), total);
  }
});
