// Stored buckets -> points -> the SDK's data: against delays counted one by one, against each other
// after a restart, and over the limit of series.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import { metrics } from '@opentelemetry/sdk-node';
import { DayTotals } from '../../../exporters/push/day-totals.js';
import { classicBoundaries, hrTime } from '../../../exporters/push/metric-data.js';
import { otlpMetric, prometheusMetrics } from '../../../exporters/push/metric-data.js';
import { MetricNames } from '../../../exporters/push/metric-names.js';
import { PointTable } from '../../../exporters/push/point-table.js';
import { hostStreams } from '../../../storage/model/host-streams.js';
import type { SeriesAnswer } from '../../../storage/model/query.js';
import type { Store } from '../../../storage/store.js';
import { faults, load, noon, openStore, runq, second, temporaryDir, windowOf } from '../../storage/support.js';
import { writeFlush } from '../../storage/support.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('points.test');
const vm = hostStreams.vm.info;
const names = new MetricNames([], { withProcesses: true });
const bucketNs = 10n * second;
const noonBucket = Number(noon / bucketNs);
const { DataPointType } = metrics;

const reader = (store: Store) => async (window: Parameters<Store['metrics']>[0], stepNs: bigint) =>
  (await store.metrics(window, stepNs, immediate)).answers;

function tableOf(
  answers: readonly SeriesAnswer[],
  maxPoints = 2000,
  overflowed: () => void = () => undefined,
): PointTable {
  const table = new PointTable({ names, maxPoints, overflowed });
  for (const answer of answers) table.add(answer, 0);
  return table;
}

/** The only point of the metric of this kind. */
function only(data: readonly metrics.MetricData[], type: metrics.DataPointType) {
  const found = data.find(({ dataPointType }) => dataPointType === type)!;
  assert.equal(found.dataPoints.length, 1);
  return found.dataPoints[0]!;
}

test('slots are those of a scale 3 histogram, and all powers of two are exact bounds', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  let bucket = 0;
  // From no delay to 200 s, and whole powers of two of a second and their neighbours.
  const delay = fc.oneof(
    fc.integer({ min: 0, max: 2e11 }),
    fc.integer({ min: 0, max: 38 }).map((n) => Math.floor(2 ** n)),
    fc.tuple(fc.integer({ min: -9, max: 7 }), fc.integer({ min: -1, max: 1 }))
      .map(([power, off]) => Math.round(2 ** power * 1e9) + off),
  );
  const property = fc.asyncProperty(fc.array(delay, { minLength: 1, maxLength: 60 }), async (delays) => {
    const startUnixNs = noon + BigInt(bucket++) * bucketNs;
    const rows = [{ key: [1, 'a', ''], values: delays }];
    writeFlush(store, { startUnixNs, lengthNs: bucketNs, metrics: [{ stream: runq, rows }] });
    const { metrics: counted } = tableOf(await reader(store)(windowOf(startUnixNs, 10), bucketNs));
    const times = { temporality: 'delta', startUnixNs, endUnixNs: startUnixNs + bucketNs } as const;

    const point = only(counted.map((each) => otlpMetric(each, times)), DataPointType.EXPONENTIAL_HISTOGRAM);
    const value = point.value as metrics.ExponentialHistogram;
    assert.deepEqual([point.startTime, point.endTime], [hrTime(startUnixNs), hrTime(startUnixNs + bucketNs)]);
    assert.equal(value.scale, 3);
    assert.equal(value.zeroCount, delays.filter((ns) => ns === 0).length);
    for (const [i, count] of value.positive.bucketCounts.entries()) {
      // (2^(n/8), 2^((n+1)/8)] s by OpenTelemetry's formula, in ns.
      const n = value.positive.offset + i;
      const [lower, upper] = [2 ** (n / 8) * 1e9, 2 ** ((n + 1) / 8) * 1e9];
      const own = delays.filter((ns) => ns > 0 && ns > lower && ns <= upper);
      assert.equal(count, own.length, `bucket ${n}`);
    }
    assert.equal(value.count, delays.length);
    assert.ok(Math.abs(value.sum! - delays.reduce((sum, ns) => sum + ns, 0) / 1e9) < 1e-9 * value.sum! + 1e-12);

    const classic = only(prometheusMetrics(counted, startUnixNs), DataPointType.HISTOGRAM);
    const { buckets, count } = classic.value as metrics.Histogram;
    assert.equal(count, delays.length);
    let below = 0;
    for (const [i, bound] of classicBoundaries.entries()) {
      below += buckets.counts[i]!;
      assert.equal(below, delays.filter((ns) => ns <= bound * 1e9).length, `le=${bound}`);
    }
    assert.equal(below + buckets.counts.at(-1)!, delays.length);
  });
  await fc.assert(property, { numRuns: 40 });
});

//  day        |00:00 ......... 12:00 | next day
//  buckets     0   1   2      3  4   | 5
test('totals of a day follow from the store alone, and begin anew with the next', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  const day = 8640;
  const dayStart = Math.floor(noonBucket / day) * day;
  const buckets = [3, 4, 75, 4000, 4001, day].map((n) => dayStart + n);
  for (const [i, bucket] of buckets.entries()) {
    const startUnixNs = BigInt(bucket) * bucketNs + 3n * second;
    writeFlush(store, {
      startUnixNs,
      lengthNs: 7n * second,
      metrics: [
        { stream: faults, rows: [{ key: [i % 2, 'sda'], values: [10 ** i] }] },
        { stream: vm, rows: [{ key: [i < 4 ? 'pswpin' : 'pgsteal_kswapd'], values: [1] }] },
        { stream: load, rows: [{ key: [`d${i % 2}`], values: [i] }] },
        { stream: runq, rows: [{ key: [1, 'a', ''], values: [10 ** i, 0] }] },
      ],
    });
  }
  const options = { names, maxPoints: 100, overflowed: () => assert.fail() };
  const text = (table: PointTable) =>
    table.metrics.map(({ metric, startUnixNs, points }) => {
      const values = points.map(({ attributes, value }) => {
        const labels = Object.values(attributes).join('/');
        return `${labels}=${typeof value === 'number' ? value : `${value.count}:${value.sumNs}`}`;
      });
      return `${metric.name} from ${Number(startUnixNs / second) % 86_400} s: ${values.join(' ')}`;
    });
  const running = new DayTotals(reader(store), options, immediate);
  const seen: string[][] = [];
  for (const bucket of buckets) {
    const atOnce = text(await running.upTo(bucket));
    const afterRestart = text(await new DayTotals(reader(store), options, immediate).upTo(bucket));
    assert.deepEqual(afterRestart.sort(), [...atOnce].sort());
    seen.push(atOnce);
  }
  assert.deepEqual([...seen[4]!].sort(), [
    'flamekeeper.faults from 33 s: 0/sda=10101 1/sda=1010',
    'flamekeeper.host.vm.events from 33 s: pgsteal_kswapd=1',
    'flamekeeper.load from 40013 s: d0=4',
    'flamekeeper.runq from 33 s: 1/a=10:11111',
    'system.paging.operations from 33 s: in=4',
  ]);
  assert.deepEqual([...seen[5]!].sort(), [
    'flamekeeper.faults from 3 s: 1/sda=100000',
    'flamekeeper.host.vm.events from 3 s: pgsteal_kswapd=1',
    'flamekeeper.load from 3 s: d1=5',
    'flamekeeper.runq from 3 s: 1/a=2:100000',
  ]);
  // A bucket that is asked for again, and one before it.
  assert.deepEqual(text(await running.upTo(buckets[5]!)), seen[5]);
  assert.deepEqual([...text(await running.upTo(buckets[1]!))].sort(), [...seen[1]!].sort());
});

test('beyond the limit there is one more series, and sums stay right', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  const keys = Array.from({ length: 50 }, (_, i) => i);
  writeFlush(store, {
    startUnixNs: noon,
    lengthNs: bucketNs,
    metrics: [
      { stream: faults, rows: keys.map((i) => ({ key: [i, ''], values: [i + 1] })) },
      { stream: load, rows: keys.map((i) => ({ key: [`d${i}`], values: [2] })) },
      { stream: runq, rows: keys.map((i) => ({ key: [i, 'a', ''], values: [i + 1] })) },
    ],
  });
  let overflowed = 0;
  const table = tableOf(await reader(store)(windowOf(noon, 10), bucketNs), 8, () => overflowed++);
  for (const { metric, points } of table.metrics) {
    assert.equal(points.length, 9, metric.name);
    const overflow = points.filter(({ attributes }) => attributes['otel.metric.overflow'] === true);
    assert.equal(overflow.length, 1);
    const sum = points.reduce((all, { value }) => all + (typeof value === 'number' ? value : value.sumNs), 0);
    assert.equal(sum, metric.kind === 'gauge' ? 100 : 1275, metric.name);
  }
  assert.equal(overflowed, 3 * 42);
});
