// A flush on its way into the store: staged here until commit, so that one that is
// given up leaves no trace but names.

import type { Counters } from './model/completeness.js';
import { assert } from './model/errors.js';
import type { FunctionInfo } from './model/frame.js';
import type { SeriesInfo } from './model/series.js';
import type { StreamInfo } from './model/stream.js';
import type { CommitResult, EventColumns, FlushSpan, FlushWriter } from './model/writer.js';
import type { BucketHeader } from './segment/bucket.js';
import { addCounterIds, bucketOf, bucketStartUnixNs, headerOf } from './segment/bucket.js';
import type { Dictionary } from './segment/dictionary.js';
import { LiveEvents } from './segment/live-events.js';
import { LiveSamples } from './segment/live-samples.js';

/** The data of one stream in one bucket. */
export type Live = LiveSamples | LiveEvents;

export class Flush implements FlushWriter {
  readonly bucket: number;
  readonly dictionary: Dictionary;
  /** Stream id -> what this flush brings. */
  readonly staged = new Map<number, Live>();
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
    assert(info.kind === 'samples' || info.kind === 'event', 'a stream of samples or events');
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
    countUnkept(live, live.add(events, offsetNs), this.dictionary);
  }

  header(stream: number, counters: Counters): void {
    addCounters(this.#live(stream), counters, this.dictionary);
  }

  commit(): CommitResult {
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
}

export function newLive(dictionary: Dictionary, stream: number, header: BucketHeader): Live {
  const info = dictionary.streams.items[stream];
  assert(info !== undefined, 'a stream id comes from streamId()');
  return info.kind === 'event'
    ? new LiveEvents(header, info.fields ?? [])
    : new LiveSamples(header);
}

export function addCounters(live: Live, counters: Counters, dictionary: Dictionary): void {
  live.header = addCounterIds(live.header, counters, (name) => dictionary.counterNames.idOf(name));
}

/** Events that found no room in their bucket were recorded by the kernel, but are lost here. */
export function countUnkept(live: Live, events: number, dictionary: Dictionary): void {
  if (events > 0) addCounters(live, { recorded: -events, 'lost.bucket_full': events }, dictionary);
}
