// The plug for all that brings histograms, counters, gauges or events of its own at each flush:
// latency probes and readers of the host. (front)
//
//   flip ── 3 ms ── samples drained and normalized ── take ── message
//
// A source deals with its own failures: what it cannot read it counts, or notes once.

import type { Counters } from '../../storage/model/completeness.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import { streamKey } from '../../storage/model/stream.js';
import type { EventColumns, FlushSpan } from '../../storage/model/writer.js';
import type { HostNaming } from '../agent/host-naming.js';
import type { Pace } from '../pace.js';
import type { DrainedFlush, MetricColumns, MetricRows, SampleRows } from '../messages.js';

/** What a source may lean on as it makes its rows. */
export interface TakeContext {
  readonly naming: HostNaming;
  /** Of this flush: who was busy. */
  readonly samples: readonly SampleRows[];
  readonly span: FlushSpan;
  /** Of this flush so far: headers of samples and events. */
  readonly streams: DrainedFlush['streams'];
  /** The daemon stops: nothing comes after. */
  readonly isLast: boolean;
}

/** One stream of a flush. Event times are relative to the flush's start. */
export interface TakenStream {
  readonly info: StreamInfo;
  readonly counters: Counters;
  readonly columns: MetricColumns | EventColumns;
}

export interface MetricSource {
  /** Begins the next generation of what the kernel counts; `take` comes 3 ms later. */
  flip?(): void;
  /** What was counted since the last `take`. Must not block, and is to take no more than some
   *  milliseconds from one to the next; undefined: it may rest here. */
  take(context: TakeContext): Iterable<TakenStream | undefined>;
  close(): void;
}

const givenUpCounter = 'lost.store_too_slow';

export class MetricSources {
  readonly #sources: MetricSource[] = [];
  /** Stream key -> values of messages that were given up; told with the next flush. */
  readonly #givenUp = new Map<string, number>();

  add(source: MetricSource): void {
    this.#sources.push(source);
  }

  flip(): void {
    for (const source of this.#sources) source.flip?.();
  }

  /** Appends the sources' streams to `streams`, with rests between them. Must not be called again
   *  before it resolved. */
  async take(
    streams: DrainedFlush['streams'][number][],
    rest: Omit<TakeContext, 'streams'>,
    pace: Pace,
  ): Promise<{ readonly rows: MetricRows[]; readonly events: DrainedFlush['events'] }> {
    const context = { ...rest, streams: [...streams] };
    const rows: MetricRows[] = [];
    const events: DrainedFlush['events'][number][] = [];
    for (const source of this.#sources) {
      for (const taken of source.take(context)) {
        await pace.rest();
        if (taken === undefined) continue;
        const { info, counters, columns } = taken;
        streams.push({ info, counters: this.#withGivenUp(info, counters) });
        const stream = streams.length - 1;
        if ('keys' in columns) rows.push({ stream, columns });
        else events.push({ stream, columns });
      }
      await pace.rest();
    }
    return { rows, events };
  }

  /** The message is dropped: its values, and those that it told as given up, are told next time. */
  giveUp({ streams, metrics }: DrainedFlush): void {
    for (const { stream, columns } of metrics) {
      const { info, counters } = streams[stream]!;
      const isHistogram = columns.kind === 'histogram';
      const values = isHistogram ? sumOf(columns.totals) : columns.keys.length;
      const key = streamKey(info);
      const before = (this.#givenUp.get(key) ?? 0) + (counters[givenUpCounter] ?? 0);
      this.#givenUp.set(key, before + values);
    }
  }

  close(): void {
    for (const source of this.#sources) source.close();
  }

  #withGivenUp(info: StreamInfo, counters: Counters): Counters {
    if (this.#givenUp.size === 0) return counters;
    const key = streamKey(info);
    const values = this.#givenUp.get(key) ?? 0;
    this.#givenUp.delete(key);
    return values === 0 ? counters : { ...counters, [givenUpCounter]: values };
  }
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
