// Samples of a stream over windows, summed into one Profile. Blobs are copied out in one read
// transaction a segment and decoded after it.

import { bucketRanges, CoverageTally } from './coverage.js';
import { seriesMatcher } from './filter.js';
import { OperatingError } from './model/errors.js';
import type { AggregateAnswer, AggregateRequest, Filter } from './model/query.js';
import type { StreamInfo } from './model/stream.js';
import { ProfileMerger } from './profile-merge.js';
import { RowTable } from './row-table.js';
import type { Dictionary } from './segment/dictionary.js';
import { decodeSamples, forEachRow } from './segment/live-samples.js';
import { mayHold } from './segment/segment-name.js';
import type { LiveBlob, SegmentReader } from './segment/segment-reader.js';
import { loadDictionary } from './segment/segment-reader.js';
import type { QuerySource, SegmentStream } from './segments.js';
import { namesOf, readOne, requireStream, segmentsOf, storeRange, streamsOf } from './segments.js';

export function aggregate(source: QuerySource, request: AggregateRequest): AggregateAnswer {
  const ranges = bucketRanges(request.windows);
  const segments = segmentsOf(source.dir);
  const tally = new CoverageTally();
  const merger = new ProfileMerger();
  const lastBuckets: number[] = [];
  let info: StreamInfo | undefined;
  for (const name of segments) {
    if (!ranges.some((range) => mayHold(name, range))) continue;
    const part = readOne(source.dir, name, (segment) => {
      const streams = streamsOf(namesOf(source, name, segment));
      const wanted = streams.filter(
        ({ info }) => info.name === request.stream && info.kind === 'samples',
      );
      const content = wanted.map((stream) => {
        const parts = ranges.map((range) => segment.live(stream.id, range));
        const broken = parts.reduce((sum, p) => sum + p.broken, 0);
        return { stream, blobs: parts.flatMap((p) => p.blobs), broken };
      });
      const hasBlobs = content.some(({ blobs }) => blobs.length > 0);
      return {
        content,
        lastBucket: segment.lastBucket(streams.map(({ id }) => id)).bucket,
        dictionary: hasBlobs ? dictionaryReader(source, name.fileName, segment) : undefined,
      };
    });
    if (typeof part === 'string') {
      if (part === 'broken') tally.brokenBlobs++;
      continue;
    }
    if (part.lastBucket !== undefined) lastBuckets.push(part.lastBucket);
    const { dictionary, broken } = part.dictionary?.() ?? { dictionary: undefined, broken: 0 };
    tally.brokenBlobs += broken;
    for (const { stream, blobs, broken: brokenRows } of part.content) {
      info = stream.info;
      tally.brokenBlobs += brokenRows;
      if (dictionary === undefined || blobs.length === 0) continue;
      addBlobs({ stream, blobs, dictionary, filter: request.filter }, merger, tally);
    }
  }
  if (info === undefined || tally.buckets === 0) {
    requireStream(source, { name: request.stream, kinds: ['samples'] });
    const what = `${request.stream} samples of that time`;
    if (tally.brokenBlobs === 0) {
      throw new OperatingError('empty-window', `the store holds no ${what}`);
    }
    throw new OperatingError('store-failed', `the ${what} are damaged and cannot be read`);
  }
  return {
    profile: merger.build(info),
    coverage: tally.finish(ranges, storeRange(segments, lastBuckets)),
  };
}

/** Copies the chunks out now; decodes them when called. */
function dictionaryReader(
  source: QuerySource,
  fileName: string,
  segment: SegmentReader,
): () => { dictionary: Dictionary; broken: number } {
  const dictionary = source.dictionaryOf(fileName);
  if (dictionary !== undefined) return () => ({ dictionary, broken: 0 });
  const rows = segment.dictionaryRows();
  return () => loadDictionary(rows);
}

interface StreamPart {
  readonly stream: SegmentStream;
  readonly blobs: readonly LiveBlob[];
  readonly dictionary: Dictionary;
  readonly filter: Filter;
}

function addBlobs(part: StreamPart, merger: ProfileMerger, tally: CoverageTally): void {
  const { stream, blobs, dictionary, filter } = part;
  const matches = seriesMatcher(filter);
  const verdicts = new Map<number, boolean>();
  const keep = (series: number) => {
    let verdict = verdicts.get(series);
    if (verdict === undefined) {
      verdicts.set(series, (verdict = matches(dictionary.seriesAt(series))));
    }
    return verdict;
  };
  const table = new RowTable();
  for (const { bucket, data } of blobs) {
    const rows = decodeSamples(data);
    if (rows === undefined) {
      tally.brokenBlobs++;
      continue;
    }
    tally.add(bucket, rows.header, dictionary);
    forEachRow(rows, (series, node, count) => table.add(series, node, count, 0), keep);
  }
  merger.add(stream.info, table, dictionary);
}
