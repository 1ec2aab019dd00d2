// What queries share: the segments of a directory as seen now, each read
// through one short transaction.

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

/** Segments by age; none when there is no directory. **Errors**: `store-failed`. */
export function listOrNone(dir: string): SegmentName[] {
  try {
    return listSegments(dir);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    if (!isOutside(error)) throw error;
    throw unreadable(`the data directory ${dir}`, error);
  }
}

/** **Errors**: `no-data`, `store-failed`. */
export function segmentsOf(dir: string): SegmentName[] {
  const segments = listOrNone(dir);
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

/** Stream and counter names of a segment. */
export function namesOf(
  source: QuerySource,
  name: SegmentName,
  segment: SegmentReader,
): Dictionary {
  return source.dictionaryOf(name.fileName) ?? segment.names().dictionary;
}

/** The streams a dictionary knows, in the order of their ids. */
export function streamsOf(names: Dictionary): SegmentStream[] {
  return names.streams.items.flatMap((info, id) => (info === undefined ? [] : [{ id, info }]));
}

/** The newest stream of this name and one of these kinds; the error names what there is.
 *  **Errors**: `usage`; `store-failed` when damage may hide it. */
export function requireStream(
  source: QuerySource,
  stream: { name: string; kinds: readonly StreamKind[] },
): StreamInfo {
  const known = new Set<string>();
  let isDamaged = false;
  for (const name of segmentsOf(source.dir).reverse()) {
    const names = readOne(source.dir, name, (segment) => segment.names());
    isDamaged ||= names === 'broken' || (typeof names !== 'string' && names.broken > 0);
    if (typeof names === 'string') continue;
    const dictionary = source.dictionaryOf(name.fileName) ?? names.dictionary;
    for (const { info } of streamsOf(dictionary).reverse()) {
      if (!stream.kinds.includes(info.kind)) continue;
      if (info.name === stream.name) return info;
      known.add(info.name);
    }
  }
  if (isDamaged) throw new OperatingError('store-failed', `a segment in ${source.dir} is damaged`);
  const list = known.size === 0 ? 'none' : [...known].sort().join(', ');
  const kinds = stream.kinds.join(', ');
  const sentence = `no stream of ${kinds} is named ${stream.name}; the store has ${list}`;
  throw new OperatingError('usage', sentence);
}

function unreadable(what: string, error: unknown): OperatingError {
  return new OperatingError('store-failed', `cannot read ${what}: ${(error as Error).message}`);
}

/** All the buckets a store may hold, as far as names and the segments looked into tell. */
export function storeRange(
  segments: readonly SegmentName[],
  lastBuckets: readonly number[],
): BucketRange {
  const starts = segments.map((s) => s.startBucket);
  return { first: Math.min(...starts), last: Math.max(...starts, ...lastBuckets) };
}
