// Points by metric and attributes: what the steps of answers add up to. Keys that become one point
// are summed; a metric with more points than the limit sums the rest in one more, which says so. Pure.

import { HistogramSum } from '../../storage/model/histogram.js';
import type { Histogram } from '../../storage/model/histogram.js';
import type { SeriesAnswer } from '../../storage/model/query.js';
import type { MetricKey } from '../../storage/model/stream.js';
import type { Metric, MetricNames, Target } from './metric-names.js';
import type { AttributeValues } from './metric-rule.js';

/** By OpenTelemetry's name for it. */
const overflow: AttributeValues = { 'otel.metric.overflow': true };

export interface Point {
  readonly attributes: AttributeValues;
  readonly value: number | HistogramSum;
}

export interface MetricPoints {
  readonly metric: Metric;
  /** True start of what is counted: of the first bucket of its streams. */
  readonly startUnixNs: bigint;
  readonly points: readonly Point[];
}

export interface PointTableOptions {
  readonly names: MetricNames;
  /** Points of one metric. */
  readonly maxPoints: number;
  /** A value's key found no room of its own. */
  readonly overflowed: () => void;
}

/** `place`: its attributes as a key. */
type KnownTarget = Target & { readonly place: string };

interface Entry {
  readonly metric: Metric;
  readonly streams: Set<string>;
  readonly points: Map<string, { attributes: AttributeValues; value: number | HistogramSum }>;
}

export class PointTable {
  readonly #options: PointTableOptions;
  readonly #metrics = new Map<string, Entry>();
  /** Stream and key -> targets: the same keys come in each bucket. */
  readonly #targets = new Map<string, readonly KnownTarget[]>();
  readonly #starts = new Map<string, bigint>();

  constructor(options: PointTableOptions) {
    this.#options = options;
  }

  /** Metrics that were first added first. */
  get metrics(): MetricPoints[] {
    return Array.from(this.#metrics.values(), ({ metric, streams, points }) => ({
      metric,
      startUnixNs: this.#startOf(streams),
      points: [...points.values()],
    })).filter(({ points }) => points.length > 0);
  }

  /** Histograms and deltas are added to what there is. Of a gauge its values are summed over the
   *  keys of this step; those of steps before must have been cleared. */
  add(answer: SeriesAnswer, step: number): void {
    const { name } = answer.stream;
    const { fromUnixNs } = answer.coverage;
    const start = this.#starts.get(name);
    if (start === undefined || fromUnixNs < start) this.#starts.set(name, fromUnixNs);
    for (const { key, values } of answer.keys) {
      const value = values[step];
      if (value === undefined) continue;
      for (const target of this.#targetsOf(answer, key)) this.#addTo(target, name, value);
    }
  }

  clear(): void {
    this.#metrics.clear();
    this.#starts.clear();
  }

  clearGauges(): void {
    for (const [name, { metric, streams }] of this.#metrics) {
      if (metric.kind !== 'gauge') continue;
      this.#metrics.delete(name);
      for (const stream of streams) this.#starts.delete(stream);
    }
  }

  #startOf(streams: ReadonlySet<string>): bigint {
    const starts = Array.from(streams, (name) => this.#starts.get(name)!);
    return starts.reduce((least, start) => (start < least ? start : least));
  }

  #targetsOf({ stream }: SeriesAnswer, key: MetricKey): readonly KnownTarget[] {
    const text = JSON.stringify([stream.name, ...key]);
    let targets = this.#targets.get(text);
    if (targets === undefined) {
      if (this.#targets.size >= 4 * this.#options.maxPoints) this.#targets.clear();
      targets = this.#options.names
        .targetsOf(stream, key)
        .map((target) => ({ ...target, place: keyOf(target.attributes) }));
      this.#targets.set(text, targets);
    }
    return targets;
  }

  #addTo(target: KnownTarget, stream: string, value: number | Histogram): void {
    const { metric } = target;
    let entry = this.#metrics.get(metric.name);
    if (entry === undefined) {
      entry = { metric, streams: new Set(), points: new Map() };
      this.#metrics.set(metric.name, entry);
    }
    // Two streams of one metric must count in one way.
    if (entry.metric.kind !== metric.kind || entry.metric.unit !== metric.unit) return;
    entry.streams.add(stream);
    const point = this.#pointOf(entry, target);
    if (typeof value !== 'number') (point.value as HistogramSum).add(value);
    else point.value = (point.value as number) + value * metric.multiplier;
  }

  #pointOf({ metric, points }: Entry, { attributes, place: ownPlace }: KnownTarget) {
    const known = points.get(ownPlace);
    if (known !== undefined) return known;
    const isFull = points.size >= this.#options.maxPoints;
    if (isFull) this.#options.overflowed();
    const own = isFull ? overflow : attributes;
    const place = isFull ? keyOf(overflow) : ownPlace;
    let point = points.get(place);
    if (point === undefined) {
      point = { attributes: own, value: metric.kind === 'histogram' ? new HistogramSum() : 0 };
      points.set(place, point);
    }
    return point;
  }
}

function keyOf(attributes: AttributeValues): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
}
