// The query interface over a data directory: read-only, with or without a daemon that writes to it.

import { readdirSync } from 'node:fs';
import { aggregate } from './aggregate.js';
import { CoverageTally } from './coverage.js';
import { listQuarantine, segmentSizeBytes } from './directory.js';
import { readEvents } from './events.js';
import { foreign, isDatabaseName } from './lock.js';
import { OperatingError } from './model/errors.js';
import type { AggregateAnswer, AggregateRequest, Coverage, EventsAnswer } from './model/query.js';
import type { EventsRequest, Query, SegmentStatus, StatusAnswer } from './model/query.js';
import type { SeriesAnswer, SeriesRequest } from './model/query.js';
import type { StreamInfo } from './model/stream.js';
import { streamKey } from './model/stream.js';
import { bucketStartUnixNs, decodeBlobHeader } from './segment/bucket.js';
import type { SegmentName } from './segment/segment-name.js';
import { mayHold } from './segment/segment-name.js';
import type { SegmentReader } from './segment/segment-reader.js';
import { readSeries } from './series.js';
import type { QuerySource } from './segments.js';
import { listOrNone, namesOf, readOne, segmentsOf, streamsOf } from './segments.js';

/** `status` looks back over this many buckets: 5 minutes. */
const recentBuckets = 30;

/** Answers from the files of a directory, and never writes to it; no daemon is needed. Segments
 *  that are not ours or newer are left out, which `log` is told. **Errors**: `no-data`,
 *  `store-foreign`, `store-newer` when no segment can be read. */
export function openFiles(dir: string, log: (line: string) => void = () => {}): Query {
  const segments = segmentsOrForeign(dir);
  const classes = segments.map((name) => ({
    name,
    fileClass: readOne(dir, name, () => 'ours' as const),
  }));
  for (const { name, fileClass } of classes) {
    if (fileClass !== 'ours') log(`segment ${name.fileName} is ${fileClass} and left out`);
  }
  if (classes.some(({ fileClass }) => fileClass === 'ours' || fileClass === 'broken')) {
    return new DirectoryQuery({ dir, dictionaryOf: () => undefined });
  }
  const newer = classes.find(({ fileClass }) => fileClass === 'newer');
  if (newer === undefined) throw foreign(dir, segments[0]!.fileName);
  throw new OperatingError('store-newer', `the data in ${dir} was written by a newer flamekeeper`);
}

function segmentsOrForeign(dir: string): SegmentName[] {
  try {
    return segmentsOf(dir);
  } catch (error) {
    if (error instanceof OperatingError && error.code === 'no-data') {
      const other = readdirOrNone(dir).find((file) => isDatabaseName(file) && file !== 'state.db');
      if (other !== undefined) throw foreign(dir, other);
    }
    throw error;
  }
}

function readdirOrNone(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

export class DirectoryQuery implements Query {
  readonly #source: QuerySource;

  constructor(source: QuerySource) {
    this.#source = source;
  }

  async aggregate(request: AggregateRequest): Promise<AggregateAnswer> {
    return aggregate(this.#source, request);
  }

  async events(request: EventsRequest): Promise<EventsAnswer> {
    return readEvents(this.#source, request);
  }

  async series(request: SeriesRequest): Promise<SeriesAnswer> {
    return readSeries(this.#source, request);
  }

  async status(): Promise<StatusAnswer> {
    const { dir } = this.#source;
    const names = listOrNone(dir);
    const streams = new Map<string, StreamInfo>();
    const segments = names.flatMap((name) => {
      const status = readOne(dir, name, (segment) => this.#segmentStatus(name, segment, streams));
      return typeof status === 'string' ? [] : [status];
    });
    const recent = this.#recentCoverage(names);
    return {
      dataDir: dir,
      sizeBytes: names.reduce((sum, { fileName }) => sum + segmentSizeBytes(dir, fileName), 0),
      segments,
      quarantined: listQuarantine(dir),
      streams: [...streams.values()],
      ...(recent === undefined ? {} : { recent }),
    };
  }

  close(): void {}

  #segmentStatus(
    name: SegmentName,
    segment: SegmentReader,
    streams: Map<string, StreamInfo>,
  ): SegmentStatus {
    const known = streamsOf(namesOf(this.#source, name, segment));
    for (const { info } of known) streams.set(streamKey(info), info);
    const buckets = segment.buckets(known.map(({ id }) => id));
    return {
      name: name.fileName,
      sizeBytes: segmentSizeBytes(this.#source.dir, name.fileName),
      startUnixNs: bucketStartUnixNs(name.startBucket),
      endUnixNs: bucketStartUnixNs((buckets.at(-1) ?? name.startBucket - 1) + 1),
      state: segment.meta('state') === 'active' ? 'active' : 'closed',
      buckets: buckets.length,
    };
  }

  /** Of stream cpu, over the last buckets that it has. */
  #recentCoverage(names: readonly SegmentName[]): Coverage | undefined {
    const tally = new CoverageTally();
    let range: { first: number; last: number } | undefined;
    for (const name of [...names].reverse()) {
      if (range !== undefined && !mayHold(name, range)) continue;
      readOne(this.#source.dir, name, (segment) => {
        const dictionary = namesOf(this.#source, name, segment);
        const ids = streamsOf(dictionary).flatMap(({ id, info }) =>
          info.name === 'cpu' && info.kind === 'samples' ? [id] : [],
        );
        const last = range?.last ?? segment.lastBucket(ids).bucket;
        if (last === undefined) return;
        range ??= { first: Math.max(last - recentBuckets + 1, names[0]!.startBucket), last };
        for (const id of ids) {
          const { blobs, broken } = segment.live(id, range);
          tally.brokenBlobs += broken;
          for (const { bucket, data } of blobs) {
            const header = decodeBlobHeader(data);
            if (header === undefined) tally.brokenBlobs++;
            else tally.add(bucket, header, dictionary);
          }
        }
      });
    }
    return range === undefined ? undefined : tally.finish([range], range);
  }
}
