// The data of one stream in one bucket, whatever its kind.

import { assert } from '../model/errors.js';
import type { BucketHeader } from './bucket.js';
import { addCounterIds } from './bucket.js';
import type { Counters } from '../model/completeness.js';
import type { Dictionary } from './dictionary.js';
import { LiveEvents } from './live-events.js';
import { LiveHistograms } from './live-histograms.js';
import { LivePoints } from './live-points.js';
import { LiveSamples } from './live-samples.js';

export type Live = LiveSamples | LiveEvents | LiveHistograms | LivePoints;

export function newLive(dictionary: Dictionary, stream: number, header: BucketHeader): Live {
  const info = dictionary.streams.items[stream];
  assert(info !== undefined, 'a stream id comes from streamId()');
  switch (info.kind) {
    case 'samples':
      return new LiveSamples(header);
    case 'event':
      return new LiveEvents(header, info.fields ?? []);
    case 'histogram':
      return new LiveHistograms(header, dictionary.overflowKeyId(stream));
    case 'counter':
    case 'gauge':
      return new LivePoints(info.kind, header, dictionary.overflowKeyId(stream));
  }
}

/** What a blob holds, to go on with; undefined when it is broken. */
export function decodeLive(
  dictionary: Dictionary,
  stream: number,
  blob: Uint8Array,
): Live | undefined {
  const info = dictionary.streams.items[stream];
  switch (info?.kind) {
    case undefined:
      return undefined;
    case 'samples':
      return LiveSamples.decode(blob);
    case 'event':
      return LiveEvents.decode(blob, info.fields ?? []);
    case 'histogram':
      return LiveHistograms.decode(blob, dictionary.overflowKeyId(stream));
    case 'counter':
    case 'gauge':
      return LivePoints.decode(info.kind, blob, dictionary.overflowKeyId(stream));
  }
}

/** Adds what a later flush brought of the same stream and bucket. */
export function mergeLive(live: Live, more: Live, dictionary: Dictionary): void {
  if (live.kind === 'samples' && more.kind === 'samples') live.merge(more);
  else if (live.kind === 'event' && more.kind === 'event') {
    countUnfit(live, live.merge(more), dictionary);
  } else if (live.kind === 'histogram' && more.kind === 'histogram') {
    countUnfit(live, live.merge(more), dictionary);
  } else if (live instanceof LivePoints && more instanceof LivePoints) {
    countUnfit(live, live.merge(more), dictionary);
  }
}

export function addCounters(live: Live, counters: Counters, dictionary: Dictionary): void {
  live.header = addCounterIds(live.header, counters, (name) => dictionary.counterNames.idOf(name));
}

/** What found no room in its bucket. Events were recorded by the kernel, but are lost here; values
 *  of further keys are in the overflow key, but for gauges. */
export function countUnfit(live: Live, unfit: number, dictionary: Dictionary): void {
  if (unfit === 0) return;
  const counters = {
    samples: {},
    event: { recorded: -unfit, 'lost.bucket_full': unfit },
    histogram: { folded: unfit },
    counter: { folded: unfit },
    gauge: { 'lost.over_limit': unfit },
  }[live.kind];
  addCounters(live, counters, dictionary);
}
