// One segment open for writing: a commit is one transaction with the dictionary chunks that are new
// and one blob for each stream and bucket. While open the file is in WAL mode; closed it is one
// plain file that anyone can read.

import Database from 'better-sqlite3';
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { assert } from '../model/errors.js';
import { maxBucket } from './bucket.js';
import { Dictionary } from './dictionary.js';
import type { Db, FileClass } from './schema.js';
import { applicationId, classify, idRange, isBroken, schema, schemaVersion } from './schema.js';
import type { SegmentName } from './segment-name.js';
import { loadDictionary, SegmentReader } from './segment-reader.js';

const fileMode = 0o640;

/** A blob to write. */
export interface LiveRow {
  readonly stream: number;
  readonly bucket: number;
  readonly data: Uint8Array;
}

/** Why a segment is not gone on with. */
export type NotResumed = Exclude<FileClass, 'ours'> | 'incomplete' | 'closed';

interface Content {
  readonly dictionary: Dictionary;
  /** -1 for none. */
  readonly lastBucket: number;
}

export class SegmentWriter {
  readonly name: SegmentName;
  readonly dictionary: Dictionary;
  /** -1 when the segment holds none. */
  lastBucket: number;
  readonly #db: Db;
  readonly #commit: (rows: readonly LiveRow[]) => void;

  private constructor(db: Db, name: SegmentName, content: Content) {
    this.#db = db;
    this.name = name;
    this.dictionary = content.dictionary;
    this.lastBucket = content.lastBucket;
    const insertChunk = db.prepare(
      'INSERT INTO dict(kind, first, n, data) VALUES (@kind, @first, @n, @data)',
    );
    const putLive = db.prepare('INSERT OR REPLACE INTO live(id, data) VALUES (?, ?)');
    this.#commit = db.transaction((rows: readonly LiveRow[]) => {
      for (const chunk of this.dictionary.unsavedChunks()) insertChunk.run(chunk);
      for (const { stream, bucket, data } of rows) putLive.run(this.#liveId(stream, bucket), data);
    }).immediate;
  }

  /** A new segment. It gets its name when it is whole, so that a file
   *  of that name is never half made.
   *  **Errors**: SQLite's and the file system's. */
  static create(dir: string, name: SegmentName): SegmentWriter {
    const path = join(dir, name.fileName);
    const temporary = `${path}.tmp`;
    createEmpty(temporary);
    const db = new Database(temporary);
    try {
      db.pragma('page_size = 4096');
      db.pragma('synchronous = FULL');
      db.transaction(() => {
        db.pragma(`application_id = ${applicationId}`);
        db.pragma(`user_version = ${schemaVersion}`);
        db.exec(schema);
        setMeta(db, { host: hostname(), boot_id: bootId(), start_bucket: name.startBucket });
        setMeta(db, { state: 'active', is_clean: 1 });
      })();
    } finally {
      db.close();
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
    return SegmentWriter.#open(path, name, { dictionary: new Dictionary(), lastBucket: -1 });
  }

  /** Goes on with a segment that a daemon left, or says why not. 'incomplete': it can be read,
   *  but a part of its dictionary is gone, so that new ids might mean old things. 'closed': it is
   *  not to be written any more. */
  static resume(dir: string, name: SegmentName): SegmentWriter | NotResumed {
    const path = join(dir, name.fileName);
    const db = new Database(path, { fileMustExist: true });
    try {
      const fileClass = classify(db);
      if (fileClass !== 'ours') return fileClass;
      const reader = new SegmentReader(db, name);
      if (reader.meta('state') !== 'active') return 'closed';
      if (reader.meta('is_clean') !== '1' && !isIntact(db)) return 'broken';
      const { dictionary, broken } = loadDictionary(reader.dictionaryRows());
      if (broken > 0) return 'incomplete';
      const streams = [...dictionary.streams.items.keys()];
      const last = reader.lastBucket(streams);
      if (!last.isCertain) return 'broken';
      return SegmentWriter.#open(path, name, { dictionary, lastBucket: last.bucket ?? -1 });
    } catch (error) {
      if (isBroken(error)) return 'broken';
      throw error;
    } finally {
      db.close();
    }
  }

  static #open(path: string, name: SegmentName, content: Content): SegmentWriter {
    const db = new Database(path, { fileMustExist: true, timeout: 2000 });
    try {
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      db.pragma('wal_autocheckpoint = 1000');
      db.pragma('journal_size_limit = 4194304');
      db.pragma('cache_size = -2000');
      setMeta(db, { is_clean: 0 });
      return new SegmentWriter(db, name, content);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** One transaction, on disk when this returns. **Errors**: SQLite's; nothing is written then. */
  commit(rows: readonly LiveRow[]): void {
    this.#commit(rows);
    this.dictionary.markSaved();
    for (const { bucket } of rows) this.lastBucket = Math.max(this.lastBucket, bucket);
  }

  /** The blob of a stream and bucket; undefined when there is none. */
  read(stream: number, bucket: number): Uint8Array | undefined {
    const id = this.#liveId(stream, bucket);
    return this.#db.prepare('SELECT data FROM live WHERE id = ?').pluck().get(id) as
      Buffer | undefined;
  }

  /** Closes the file; `isFinal` marks it as never to be written again. Leaves WAL mode
   *  where no reader is in the way. */
  close(isFinal: boolean): void {
    try {
      if (isFinal) setMeta(this.#db, { state: 'closed', end_bucket: this.lastBucket });
      setMeta(this.#db, { is_clean: 1 });
      leaveWal(this.#db);
    } finally {
      this.#db.close();
    }
  }

  #liveId(stream: number, bucket: number): number {
    const relative = bucket - this.name.startBucket;
    assert(relative >= 0 && relative <= maxBucket, 'a bucket lies in its segment');
    return stream * idRange + relative;
  }
}

/** Brings a file that nobody writes any more into its plain form: what a killed daemon or a reader
 *  kept from it. Files that are not ours, or newer, are not touched. */
export function finishSegment(path: string): void {
  const db = new Database(path, { fileMustExist: true, timeout: 0 });
  try {
    if (classify(db) === 'ours') leaveWal(db);
  } finally {
    db.close();
  }
}

function leaveWal(db: Db): void {
  db.pragma('busy_timeout = 0');
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.pragma('journal_mode = DELETE');
}

function isIntact(db: Db): boolean {
  return db.pragma('quick_check(1)', { simple: true }) === 'ok';
}

function setMeta(db: Db, values: Readonly<Record<string, string | number>>): void {
  const put = db.prepare('INSERT OR REPLACE INTO meta(k, v) VALUES (?, ?)');
  db.transaction(() => {
    for (const [key, value] of Object.entries(values)) put.run(key, value);
  })();
}

/** SQLite gives -wal and -shm the mode of the file itself. */
function createEmpty(path: string): void {
  closeSync(openSync(path, 'w', fileMode));
  chmodSync(path, fileMode);
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
