// Points -> the OpenTelemetry SDK's MetricData. Pure.
//
//   stored slot   -241 (delay 0)   -240 ... 272
//   exponential   zero count       bucket of scale 3, the same index, seconds
//   classic       le="2^n s" holds all slots up to index 8 n - 1: exact

import { ValueType } from '@opentelemetry/api';
import type { HrTime } from '@opentelemetry/api';
import { metrics } from '@opentelemetry/sdk-node';
import { firstSlot } from '../../storage/model/histogram.js';
import type { HistogramSum } from '../../storage/model/histogram.js';
import type { Metric } from './metric-names.js';
import { prometheusName } from './metric-names.js';
import type { MetricPoints } from './point-table.js';

const { AggregationTemporality, DataPointType } = metrics;

export type Temporality = 'cumulative' | 'delta';

/** Powers of two of a second, from 1 us (2^-20 s) to 64 s. */
const lowestPower = -20;
const highestPower = 6;
export const classicBoundaries: readonly number[] = Array.from(
  { length: highestPower - lowestPower + 1 },
  (_, i) => 2 ** (lowestPower + i),
);

export interface PointTimes {
  readonly temporality: Temporality;
  /** Of a delta. What was counted from the day's start on says itself when it began. */
  readonly startUnixNs: bigint;
  readonly endUnixNs: bigint;
}

/** With exponential histograms, as they were counted. */
export function otlpMetric(counted: MetricPoints, times: PointTimes): metrics.MetricData {
  return metricData(counted, times, counted.metric.name, exponential);
}

/** With classic histograms, and the names of Prometheus. */
export function prometheusMetrics(
  counted: readonly MetricPoints[],
  endUnixNs: bigint,
): metrics.MetricData[] {
  const times = { temporality: 'cumulative', startUnixNs: 0n, endUnixNs } as const;
  return counted
    .map((each) => metricData(each, times, prometheusName(each.metric), classic))
    // The unit is in the name.
    .map((data) => ({ ...data, descriptor: { ...data.descriptor, unit: '' } }))
    .sort((a, b) => (a.descriptor.name < b.descriptor.name ? -1 : 1));
}

function metricData(
  { metric, startUnixNs, points }: MetricPoints,
  times: PointTimes,
  name: string,
  histogram: typeof exponential | typeof classic,
): metrics.MetricData {
  const isDelta = times.temporality === 'delta';
  const startTime = hrTime(isDelta ? times.startUnixNs : startUnixNs);
  const endTime = hrTime(times.endUnixNs);
  const data = {
    descriptor: {
      name,
      description: metric.description,
      unit: metric.unit,
      valueType: isWhole(metric) ? ValueType.INT : ValueType.DOUBLE,
    },
    aggregationTemporality: isDelta
      ? AggregationTemporality.DELTA
      : AggregationTemporality.CUMULATIVE,
  };
  if (metric.kind === 'histogram') {
    const of = histogram(metric);
    const dataPoints = points.map(({ attributes, value }) => {
      return { startTime, endTime, attributes, value: of.valueOf(value as HistogramSum) };
    });
    return { ...data, dataPointType: of.type, dataPoints } as metrics.MetricData;
  }
  const dataPoints = points.map(({ attributes, value }) => {
    return { startTime, endTime, attributes, value: (value as number) / metric.divisor };
  });
  return metric.kind === 'gauge'
    ? { ...data, dataPointType: DataPointType.GAUGE, dataPoints }
    : { ...data, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints };
}

/** Gauges may have decimals. */
function isWhole({ kind, divisor }: Metric): boolean {
  return kind === 'counter' && divisor === 1;
}

/** `count` is that of the buckets, which receivers check: a delay that found no slot is among the
 *  stream's losses. */
function exponential({ divisor }: Metric) {
  return {
    type: DataPointType.EXPONENTIAL_HISTOGRAM,
    valueOf: ({ lowest, counts, sumNs }: HistogramSum) => {
      const zeros = lowest === firstSlot ? 1 : 0;
      const zeroCount = zeros === 1 ? (counts[0] ?? 0) : 0;
      let [first, end] = [zeros, counts.length];
      while (end > first && counts[end - 1] === 0) end--;
      while (first < end && counts[first] === 0) first++;
      let count = 0;
      for (let i = 0; i < counts.length; i++) count += counts[i]!;
      return {
        count,
        sum: sumNs / divisor,
        scale: 3,
        zeroCount,
        positive: {
          offset: first === end ? 0 : lowest + first,
          bucketCounts: Array.from(counts.subarray(first, end)),
        },
        negative: { offset: 0, bucketCounts: [] },
      };
    },
  };
}

/** What found no slot is above all bounds. */
function classic({ divisor }: Metric) {
  return {
    type: DataPointType.HISTOGRAM,
    valueOf: ({ lowest, counts, count, sumNs }: HistogramSum) => {
      const buckets = new Array<number>(classicBoundaries.length + 1).fill(0);
      let placed = 0;
      for (const [i, delays] of counts.entries()) {
        const power = Math.ceil((lowest + i + 1) / 8);
        const place = Math.min(Math.max(power - lowestPower, 0), classicBoundaries.length);
        buckets[place]! += delays;
        placed += delays;
      }
      buckets[classicBoundaries.length]! += count - placed;
      return {
        count,
        sum: sumNs / divisor,
        buckets: { boundaries: [...classicBoundaries], counts: buckets },
      };
    },
  };
}

/** Seconds and nanoseconds, both exact. */
export function hrTime(unixNs: bigint): HrTime {
  return [Number(unixNs / 1_000_000_000n), Number(unixNs % 1_000_000_000n)];
}
