// A flush on its way into the store: staged here until commit, so that one that is
// given up leaves no trace but names.

import type { Counters } from './model/completeness.js';
import { assert } from './model/errors.js';
import type { FunctionInfo } from './model/frame.js';
import type { Histogram } from './model/histogram.js';
import { firstSlot, lastSlot } from './model/histogram.js';
import type { SeriesInfo } from './model/series.js';
import type { MetricKey, StreamInfo } from './model/stream.js';
import type { CommitResult, EventColumns, FlushSpan, FlushWriter } from './model/writer.js';
import { bucketOf, bucketStartUnixNs, headerOf } from './segment/bucket.js';
import type { Dictionary } from './segment/dictionary.js';
import { maxKeys, unfitKey } from './segment/keyed.js';
import { maxGauge } from './segment/live-points.js';
import type { Live } from './segment/live.js';
import { addCounters, countUnfit, newLive } from './segment/live.js';

export class Flush implements FlushWriter {
  readonly bucket: number;
  readonly dictionary: Dictionary;
  /** Stream id -> what this flush brings. */
  readonly staged = new Map<number, Live>();
  /** Stream id -> what is to be counted in its header in the end. */
  readonly #tallies = new Map<number, Tally>();
  readonly #span: FlushSpan;
  readonly #commit: (flush: Flush) => CommitResult;

  constructor(span: FlushSpan, dictionary: Dictionary, commit: (flush: Flush) => CommitResult) {
    this.bucket = bucketOf(span.startUnixNs);
    this.dictionary = dictionary;
    this.#span = span;
    this.#commit = commit;
  }

  get sizeBytes(): number {
    let sizeBytes = 0;
    for (const live of this.staged.values()) sizeBytes += live.sizeBytes;
    return sizeBytes;
  }

  streamId(info: StreamInfo): number {
    return this.dictionary.streams.idOf(info);
  }

  seriesId(info: SeriesInfo): number {
    return this.dictionary.seriesId(info);
  }

  functionId(fn: FunctionInfo): number {
    return this.dictionary.functionId(fn);
  }

  node(parent: number, functionId: number): number {
    return this.dictionary.trie.child(parent, functionId);
  }

  sample(stream: number, series: number, node: number, count: number): void {
    const live = this.#live(stream);
    assert(live.kind === 'samples', 'samples go to a stream of samples');
    live.add(series, node, count);
  }

  events(stream: number, events: EventColumns): void {
    const live = this.#live(stream);
    assert(live.kind === 'event', 'events go to a stream of events');
    const offsetNs = Number(this.#span.startUnixNs - bucketStartUnixNs(this.bucket));
    countUnfit(live, live.add(events, offsetNs), this.dictionary);
  }

  keyId(stream: number, key: MetricKey): number {
    const { dictionary } = this;
    const known = dictionary.findKey(stream, key);
    if (known !== undefined) return known;
    const tally = this.#tally(stream);
    if (tally.newKeys >= maxKeys) return unfitKey;
    tally.newKeys++;
    return dictionary.keyId(stream, key);
  }

  histogram(stream: number, key: number, histogram: Histogram): void {
    const live = this.#live(stream);
    assert(live.kind === 'histogram', 'histograms go to a stream of histograms');
    if (!isStorable(histogram)) this.#tally(stream).badValues++;
    else if (!live.add(key, histogram)) this.#tally(stream).unfit++;
  }

  counter(stream: number, key: number, delta: number): void {
    const live = this.#live(stream);
    assert(live.kind === 'counter', 'counters go to a stream of counters');
    if (!isCount(delta)) this.#tally(stream).badValues++;
    else if (!live.add(key, delta)) this.#tally(stream).unfit++;
  }

  gauge(stream: number, key: number, value: number, decimals?: number): void {
    const live = this.#live(stream);
    assert(live.kind === 'gauge', 'gauges go to a stream of gauges');
    const rounded = decimals === undefined ? value : Number(value.toFixed(decimals));
    if (!(Math.abs(rounded) <= maxGauge)) this.#tally(stream).badValues++;
    else if (!live.add(key, rounded)) this.#tally(stream).unfit++;
  }

  header(stream: number, counters: Counters): void {
    addCounters(this.#live(stream), counters, this.dictionary);
  }

  commit(): CommitResult {
    for (const [stream, { unfit, badValues }] of this.#tallies) {
      countUnfit(this.#live(stream), unfit, this.dictionary);
      if (badValues > 0) this.header(stream, { 'lost.bad_value': badValues });
    }
    return this.#commit(this);
  }

  #live(stream: number): Live {
    let live = this.staged.get(stream);
    if (live === undefined) {
      live = newLive(this.dictionary, stream, headerOf(this.bucket, this.#span));
      this.staged.set(stream, live);
    }
    return live;
  }

  #tally(stream: number): Tally {
    let tally = this.#tallies.get(stream);
    if (tally === undefined) {
      tally = { newKeys: 0, unfit: 0, badValues: 0 };
      this.#tallies.set(stream, tally);
    }
    return tally;
  }
}

interface Tally {
  newKeys: number;
  unfit: number;
  badValues: number;
}

function isStorable({ slots, counts, count, sumNs }: Histogram): boolean {
  for (let i = 0; i < slots.length; i++) {
    const least = i === 0 ? firstSlot : slots[i - 1]! + 1;
    if (slots[i]! < least || slots[i]! > lastSlot || !isCount(counts[i]!)) return false;
  }
  return isCount(count) && isCount(sumNs);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
