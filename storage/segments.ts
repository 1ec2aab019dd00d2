// What queries share: the segments of a directory as seen now, each read through one short transaction.

import { join } from 'node:path';
import { listSegments } from './directory.js';
import { OperatingError } from './model/errors.js';
import type { StreamInfo, StreamKind } from './model/stream.js';
import type { BucketRange } from './coverage.js';
import type { Dictionary } from './segment/dictionary.js';
import type { FileClass } from './segment/schema.js';
import { errorCode, isBroken, isOutside } from './segment/schema.js';
import type { SegmentName } from './segment/segment-name.js';
import type { SegmentReader } from './segment/segment-reader.js';
import { readSegment } from './segment/segment-reader.js';

export interface QuerySource {
  readonly dir: string;
  /** The dictionary of a segment that this process has in memory, by file name. */
  readonly dictionaryOf: (fileName: string) => Dictionary | undefined;
}

/** A stream as one segment knows it. */
export interface SegmentStream {
  readonly id: number;
  readonly info: StreamInfo;
}

/** **Errors**: `no-data`. */
export function segmentsOf(dir: string): SegmentName[] {
  let segments: SegmentName[] = [];
  try {
    segments = listSegments(dir);
  } catch (error) {
    if (!isOutside(error)) throw error;
    if (errorCode(error) !== 'ENOENT') throw unreadable(`the data directory ${dir}`, error);
  }
  if (segments.length === 0) throw new OperatingError('no-data', `no data in ${dir}`);
  return segments;
}

/** Reads one segment; one that is gone, broken, foreign or newer gives its class. **Errors**:
 *  `store-failed`. */
export function readOne<T>(
  dir: string,
  name: SegmentName,
  read: (segment: SegmentReader) => T,
): T | FileClass {
  try {
    return readSegment(join(dir, name.fileName), name, read);
  } catch (error) {
    const isGone = errorCode(error) === 'ENOENT' || errorCode(error) === 'SQLITE_CANTOPEN';
    if (isBroken(error) || isGone) return 'broken';
    if (!isOutside(error)) throw error;
    throw unreadable(join(dir, name.fileName), error);
  }
}

/** The streams a dictionary knows, in the order of their ids. */
export function streamsOf(names: Dictionary): SegmentStream[] {
  return names.streams.items.flatMap((info, id) => (info === undefined ? [] : [{ id, info }]));
}

/** The newest stream of this name and kind; the error names what there is. **Errors**: `usage`. */
export function requireStream(source: QuerySource, stream: { name: string; kind: StreamKind }): StreamInfo {
  const known = new Set<string>();
  for (const name of segmentsOf(source.dir).reverse()) {
    const streams = readOne(source.dir, name, (segment) =>
      streamsOf(source.dictionaryOf(name.fileName) ?? segment.names()),
    );
    if (typeof streams === 'string') continue;
    for (const { info } of streams.reverse()) {
      if (info.name === stream.name && info.kind === stream.kind) return info;
      if (info.kind === stream.kind) known.add(info.name);
    }
  }
  const list = known.size === 0 ? 'none' : [...known].sort().join(', ');
  const sentence = `no stream of ${stream.kind} is named ${stream.name}; the store has ${list}`;
  throw new OperatingError('usage', sentence);
}

function unreadable(what: string, error: unknown): OperatingError {
  return new OperatingError('store-failed', `cannot read ${what}: ${(error as Error).message}`);
}

/** All the buckets a store may hold, as far as names and the segments looked into tell. */
export function storeRange(segments: readonly SegmentName[], lastBuckets: readonly number[]): BucketRange {
  const starts = segments.map((s) => s.startBucket);
  return { first: Math.min(...starts), last: Math.max(...starts, ...lastBuckets) };
}
