// How long things took, as histograms by stream and key, until the next flush takes them. Their
// number is that of the words the code knows; how often things happen does not matter.

import { HistogramSum, slotOfNs } from '../../storage/model/histogram.js';
import type { DurationRow, HistogramColumns, TimedStream } from '../messages.js';

export class Durations {
  readonly #sums = new Map<string, { stream: TimedStream; key: string; sum: HistogramSum }>();

  add(stream: TimedStream, key: string, durationMs: number): void {
    const ns = Math.max(0, Math.round(durationMs * 1e6));
    const [slots, counts] = [Int16Array.of(slotOfNs(ns)), Float64Array.of(1)];
    this.addRow({ stream, key, histogram: { slots, counts, count: 1, sumNs: ns } });
  }

  addRow({ stream, key, histogram }: DurationRow): void {
    const name = `${stream} ${key}`;
    let entry = this.#sums.get(name);
    if (entry === undefined) this.#sums.set(name, (entry = { stream, key, sum: new HistogramSum() }));
    entry.sum.add(histogram);
  }

  take(): DurationRow[] {
    const rows = Array.from(this.#sums.values(), ({ stream, key, sum }) => {
      return { stream, key, histogram: sum.histogram() };
    });
    this.#sums.clear();
    return rows;
  }
}

export function durationColumns(rows: readonly DurationRow[]): HistogramColumns {
  const starts = new Uint32Array(rows.length + 1);
  rows.forEach(({ histogram }, i) => (starts[i + 1] = starts[i]! + histogram.slots.length));
  return {
    kind: 'histogram',
    keys: rows.map(({ key }) => [key]),
    starts,
    slots: Int16Array.from(rows.flatMap(({ histogram }) => [...histogram.slots])),
    counts: Float64Array.from(rows.flatMap(({ histogram }) => [...histogram.counts])),
    totals: Float64Array.from(rows, ({ histogram }) => histogram.count),
    sumsNs: Float64Array.from(rows, ({ histogram }) => histogram.sumNs),
  };
}
