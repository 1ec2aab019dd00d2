// Events of a stream, page by page. A cursor is a place: (segment, bucket, stream, events already
// given there). Flushes only ever append behind it, so a follower sees each event exactly once.
//
//   segment 3:  bucket 7 [e0 e1 e2]   bucket 8 [e0 e1 ...      still growing
//                                                 ^ 3.8.0.1

import type { BucketRange } from './coverage.js';
import { bucketRanges, CoverageTally } from './coverage.js';
import { fieldMatcher } from './filter.js';
import { OperatingError } from './model/errors.js';
import type { EventRecord, EventsAnswer, EventsRequest } from './model/query.js';
import type { FieldInfo, StreamInfo } from './model/stream.js';
import { bucketStartUnixNs, maxBucket } from './segment/bucket.js';
import type { Dictionary } from './segment/dictionary.js';
import type { EventRows } from './segment/live-events.js';
import { decodeEvents } from './segment/live-events.js';
import type { SegmentName } from './segment/segment-name.js';
import { mayHold } from './segment/segment-name.js';
import type { QuerySource, SegmentStream } from './segments.js';
import { namesOf, readOne, requireStream, segmentsOf, storeRange, streamsOf } from './segments.js';

const maxLimit = 100_000;
/** Buckets fetched at a time, so that a long window is not held in memory. */
const chunkBuckets = 64;
/** An event may come with a flush after or before its own bucket. */
const marginBuckets = 1;

interface Place {
  readonly n: number;
  readonly bucket: number;
  readonly stream: number;
  readonly ordinal: number;
}

type Values = EventRecord['values'];

interface EventBlob {
  readonly stream: SegmentStream;
  readonly bucket: number;
  readonly data: Buffer;
}

/** Takes the events of one blob after another until the page is full. */
class Page {
  readonly events: EventRecord[] = [];
  readonly tally = new CoverageTally();
  isFull = false;
  place: Place;
  lastBucket = 0;
  readonly #request: EventsRequest;
  readonly #asked: BucketRange;
  readonly #matches: (values: Values) => boolean;

  constructor(
    request: EventsRequest,
    stream: StreamInfo,
    from: { asked: BucketRange; start: Place },
  ) {
    this.#request = request;
    this.#asked = from.asked;
    this.#matches = fieldMatcher(stream, request.filter, request.atLeast);
    this.place = from.start;
  }

  add(n: number, { stream, bucket, data }: EventBlob, names: Dictionary): void {
    const { id, info } = stream;
    const fields = info.fields ?? [];
    this.lastBucket = bucket;
    const rows = decodeEvents(data, fields);
    if (rows === undefined) {
      this.tally.brokenBlobs++;
      return;
    }
    const isAsked = bucket >= this.#asked.first && bucket <= this.#asked.last;
    if (isAsked) this.tally.add(bucket, rows.header, names);
    const startUnixNs = bucketStartUnixNs(bucket);
    for (let i = this.#firstNew(n, bucket, id); i < rows.times.length; i++) {
      const unixNs = startUnixNs + BigInt(rows.times[i]!);
      // What lies behind the window stays ahead of the cursor, for a follower whose window grows.
      if (unixNs >= this.#request.window.toUnixNs) continue;
      if (unixNs >= this.#request.window.fromUnixNs) {
        const values = valuesAt(rows, fields, i);
        if (this.#matches(values)) {
          if (this.events.length === this.#request.limit) {
            this.isFull = true;
            return;
          }
          this.events.push({ unixNs, values });
        }
      }
      this.place = { n, bucket, stream: id, ordinal: i + 1 };
    }
  }

  #firstNew(n: number, bucket: number, stream: number): number {
    const { place } = this;
    return place.n === n && place.bucket === bucket && place.stream === stream ? place.ordinal : 0;
  }
}

/** **Errors**: `no-data`; `usage`: no such stream, a filter it has no column for, a bad limit or
 *  cursor; `empty-window` when the window lies in the past and holds nothing. */
export function readEvents(source: QuerySource, request: EventsRequest): EventsAnswer {
  const { limit } = request;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw new OperatingError('usage', `a page holds 1 to ${maxLimit} events, not ${limit}`);
  }
  const asked = bucketRanges([request.window])[0]!;
  const stream = requireStream(source, { name: request.stream, kinds: ['event'] });
  const start = parseCursor(request.cursor ?? '0.0.0.0');
  const page = new Page(request, stream, { asked, start });
  const range = {
    first: Math.max(0, asked.first - marginBuckets),
    last: Math.min(maxBucket, asked.last + marginBuckets),
  };
  const segments = segmentsOf(source.dir);
  const lastBuckets: number[] = [];
  for (const name of segments) {
    if (page.isFull) break;
    if (name.n < start.n || !mayHold(name, range)) continue;
    const lastBucket = readSegmentEvents({ source, name, page, range, streamName: request.stream });
    if (lastBucket !== undefined) lastBuckets.push(lastBucket);
  }
  const store = storeRange(segments, lastBuckets);
  const isPast = asked.last <= store.last;
  if (
    page.tally.buckets === 0 &&
    page.events.length === 0 &&
    request.cursor === undefined &&
    isPast
  ) {
    throw new OperatingError(
      'empty-window',
      `the store holds no ${request.stream} events of that time`,
    );
  }
  const readTo = page.isFull ? page.lastBucket : asked.last;
  const read = { first: Math.max(asked.first, start.bucket), last: readTo };
  return {
    stream,
    events: page.events.sort((a, b) => (a.unixNs < b.unixNs ? -1 : a.unixNs > b.unixNs ? 1 : 0)),
    coverage: page.tally.finish([read], store),
    cursor: formatCursor(page.place),
    isComplete: !page.isFull,
  };
}

interface SegmentPart {
  readonly source: QuerySource;
  readonly name: SegmentName;
  readonly page: Page;
  readonly range: BucketRange;
  readonly streamName: string;
}

/** One read transaction. Returns the segment's last bucket. */
function readSegmentEvents({
  source,
  name,
  page,
  range,
  streamName,
}: SegmentPart): number | undefined {
  const lastBucket = readOne(source.dir, name, (segment) => {
    const names = namesOf(source, name, segment);
    const streams = streamsOf(names);
    const wanted = streams.filter(({ info }) => info.name === streamName && info.kind === 'event');
    const end = segment.lastBucket(streams.map(({ id }) => id)).bucket;
    const last = Math.min(range.last, end ?? -1);
    const start = page.place.n === name.n ? page.place : undefined;
    const first = Math.max(range.first, name.startBucket, start?.bucket ?? 0);
    for (let from = first; from <= last && !page.isFull; from += chunkBuckets) {
      const blobs = wanted.flatMap((stream) => {
        const live = segment.live(stream.id, {
          first: from,
          last: Math.min(last, from + chunkBuckets - 1),
        });
        page.tally.brokenBlobs += live.broken;
        return live.blobs.map((blob) => ({ stream, ...blob }));
      });
      for (const blob of blobs.sort((a, b) => a.bucket - b.bucket || a.stream.id - b.stream.id)) {
        const isGiven = blob.bucket === start?.bucket && blob.stream.id < start.stream;
        if (!isGiven && !page.isFull) page.add(name.n, blob, names);
      }
    }
    return end;
  });
  if (lastBucket === 'broken') page.tally.brokenBlobs++;
  return typeof lastBucket === 'string' ? undefined : lastBucket;
}

function valuesAt(rows: EventRows, fields: readonly FieldInfo[], event: number): Values {
  const entries = fields.map(({ name, type }, c) => {
    const value = rows.columns[c]![event]!;
    return [name, type === 'string' ? rows.strings[value]! : value] as const;
  });
  return Object.fromEntries(entries);
}

function formatCursor({ n, bucket, stream, ordinal }: Place): string {
  return `${n}.${bucket}.${stream}.${ordinal}`;
}

function parseCursor(cursor: string): Place {
  const match = /^(\d{1,10})\.(\d{1,10})\.(\d{1,10})\.(\d{1,10})$/.exec(cursor);
  if (match === null) throw new OperatingError('usage', `"${cursor}" is no cursor of this store`);
  const [n, bucket, stream, ordinal] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  return { n, bucket, stream, ordinal };
}
