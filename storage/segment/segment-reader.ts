// One segment opened for reading: never writes a byte of it, whether a daemon has it open, closed
// it cleanly or was killed. Blobs are copied out inside one read transaction and decoded after it.

import Database from 'better-sqlite3';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maxBucket } from './bucket.js';
import type { Chunk } from './dictionary.js';
import { chunkKinds, Dictionary } from './dictionary.js';
import type { RowRange } from './salvage.js';
import { lastId, readRows } from './salvage.js';
import type { Db, FileClass } from './schema.js';
import { classify, errorCode, idRange } from './schema.js';
import type { SegmentName } from './segment-name.js';

const busyTimeoutMs = 2000;
const walFormat = 2;

/** Blob of one stream in one bucket. */
export interface LiveBlob {
  readonly bucket: number;
  readonly data: Buffer;
}

export interface LiveBlobs {
  readonly blobs: readonly LiveBlob[];
  /** Rows whose pages could not be read. */
  readonly broken: number;
}

/** Chunks of a dictionary as they stand in the file. */
export interface DictionaryRows {
  readonly rows: readonly Chunk[];
  readonly broken: number;
}

/** Runs `read` on the segment in one read transaction. What is not ours, newer or no SQLite file at
 *  all gives its class instead. **Errors**: SQLite's own, `ENOENT`. */
export function readSegment<T>(
  path: string,
  name: SegmentName,
  read: (segment: SegmentReader) => T,
): T | FileClass {
  try {
    if (!isWalWithoutLog(path)) return readFile(path, name, read);
  } catch (error) {
    if (!errorCode(error).startsWith('SQLITE_READONLY')) throw error;
  }
  return readCopy(path, name, read);
}

function readFile<T>(
  path: string,
  name: SegmentName,
  read: (segment: SegmentReader) => T,
): T | FileClass {
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: busyTimeoutMs });
  try {
    const fileClass = classify(db);
    if (fileClass !== 'ours') return fileClass;
    // Ended by close(): on a damaged file COMMIT may fail although the rest was read.
    db.exec('BEGIN');
    return read(new SegmentReader(db, name));
  } finally {
    db.close();
  }
}

/** What SQLite cannot read without writing beside it is read from a private copy: a WAL file
 *  without its log (a copy, mostly), and one whose daemon was killed between the two journal modes,
 *  which leaves a journal to roll back. */
function readCopy<T>(
  path: string,
  name: SegmentName,
  read: (segment: SegmentReader) => T,
): T | FileClass {
  const dir = mkdtempSync(join(tmpdir(), 'flamekeeper-'));
  try {
    const copy = join(dir, name.fileName);
    for (const end of ['', '-wal', '-journal']) {
      if (existsSync(path + end)) copyFileSync(path + end, copy + end);
    }
    const db = new Database(copy);
    try {
      db.pragma('journal_mode = DELETE');
    } finally {
      db.close();
    }
    return readFile(copy, name, read);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Only for files that this process has not open: closing any descriptor
 *  drops all POSIX locks on a file. */
function isWalWithoutLog(path: string): boolean {
  if (existsSync(`${path}-wal`)) return false;
  const head = Buffer.alloc(20);
  const fd = openSync(path, 'r');
  try {
    return readSync(fd, head, 0, head.length, 0) === head.length && head[18] === walFormat;
  } finally {
    closeSync(fd);
  }
}

export class SegmentReader {
  readonly #db: Db;
  readonly #startBucket: number;

  constructor(db: Db, name: SegmentName) {
    this.#db = db;
    this.#startBucket = name.startBucket;
  }

  meta(key: string): string | undefined {
    const value: unknown = this.#db.prepare('SELECT v FROM meta WHERE k = ?').pluck().get(key);
    return value === undefined || value === null ? undefined : String(value);
  }

  dictionaryRows(where = 'TRUE'): DictionaryRows {
    const range = { table: 'dict', first: 0, last: Number.MAX_SAFE_INTEGER, where } as const;
    return readRows<Chunk>(this.#db, 'kind, first, n, data', range);
  }

  /** A dictionary of streams and counter names alone: enough to find what a segment holds, and for
   *  headers and events. */
  names(): { dictionary: Dictionary; broken: number } {
    const { streams, counterNames } = chunkKinds;
    return loadDictionary(this.dictionaryRows(`kind IN (${streams}, ${counterNames})`));
  }

  /** The same with the keys of histograms, counters and gauges. */
  metricNames(): { dictionary: Dictionary; broken: number } {
    const { keys, streams, counterNames } = chunkKinds;
    return loadDictionary(this.dictionaryRows(`kind IN (${keys}, ${streams}, ${counterNames})`));
  }

  /** Blobs of buckets first..last, in time order. */
  live(stream: number, range: { first: number; last: number }): LiveBlobs {
    const ids = { table: 'live', ...this.#ids(stream, range) } as const;
    const { rows, broken } = readRows<{ id: number; data: Buffer }>(this.#db, 'id, data', ids);
    const blobs = rows.map(({ id, data }) => ({
      bucket: this.#startBucket + (id % idRange),
      data,
    }));
    return { blobs, broken };
  }

  /** Buckets that have a readable row of any of these streams, in order. */
  buckets(streams: readonly number[]): number[] {
    const buckets = new Set<number>();
    for (const stream of streams) {
      const { rows } = readRows<{ id: number }>(this.#db, 'id', this.#allOf(stream));
      for (const { id } of rows) buckets.add(this.#startBucket + (id % idRange));
    }
    return [...buckets].sort((a, b) => a - b);
  }

  /** The last bucket with a row of any of these streams; undefined when there is none. Not certain
   *  when damage may hide a later one. */
  lastBucket(streams: readonly number[]): { bucket: number | undefined; isCertain: boolean } {
    let bucket: number | undefined;
    let isCertain = true;
    for (const stream of streams) {
      const last = lastId(this.#db, this.#allOf(stream));
      isCertain &&= last.isCertain;
      if (last.id === undefined) continue;
      bucket = Math.max(bucket ?? 0, this.#startBucket + (last.id % idRange));
    }
    return { bucket, isCertain };
  }

  #allOf(stream: number): RowRange {
    return { table: 'live', ...this.#ids(stream, { first: 0, last: maxBucket }) };
  }

  #ids(stream: number, range: { first: number; last: number }): { first: number; last: number } {
    const relative = (bucket: number) =>
      Math.min(Math.max(bucket - this.#startBucket, 0), idRange - 1);
    const base = stream * idRange;
    if (range.last < this.#startBucket) return { first: base, last: base - 1 };
    return { first: base + relative(range.first), last: base + relative(range.last) };
  }
}

/** A dictionary from its rows; chunks that are broken leave `(lost)` behind and are counted. */
export function loadDictionary(chunks: DictionaryRows): { dictionary: Dictionary; broken: number } {
  const { dictionary, brokenChunks } = Dictionary.load(chunks.rows);
  return { dictionary, broken: brokenChunks + chunks.broken };
}
