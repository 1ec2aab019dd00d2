// The data directory, open for writing: flushes go into the newest segment, a new one begins each
// UTC day, and segments older than the age limit are unlinked. One flush is one transaction.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { assert, OperatingError } from './model/errors.js';
import type { Query, Window } from './model/query.js';
import type { CommitResult, FlushSpan, FlushWriter } from './model/writer.js';
import {
  dropBallast,
  ensureBallast,
  hasLog,
  isDiskFull,
  isNotOurs,
  listQuarantine,
  listSegments,
  quarantineSegment,
  removeTemporaryFiles,
  segmentSizeBytes,
  unlinkSegment,
} from './directory.js';
import { Flush } from './flush.js';
import type { DirectoryLock, DirectoryState } from './lock.js';
import { lockDirectory } from './lock.js';
import { DirectoryQuery } from './query.js';
import { RunningBuckets } from './running.js';
import { bucketOf, bucketStartUnixNs } from './segment/bucket.js';
import { Dictionary } from './segment/dictionary.js';
import { errorCode, isBroken, isOutside } from './segment/schema.js';
import type { SegmentName } from './segment/segment-name.js';
import { dayEndBucket, parseSegmentName, segmentName } from './segment/segment-name.js';
import { finishSegment, SegmentWriter } from './segment/segment-writer.js';
import type { QuerySource } from './segments.js';
import type { AllSeries } from './series.js';
import { readAllSeries } from './series.js';

const defaultMaxNodes = 1_000_000;
const defaultBallastBytes = 8 * 2 ** 20;
const retainEveryMs = 60_000;
/** A segment that knows as many series, keys or functions is followed by the next: threads that
 *  rename themselves and programs made on the spot would fill the memory with them. */
const maxSeries = 2 ** 16;
const maxKeys = 2 ** 16;
const maxFunctions = 2 ** 18;

export interface StoreOptions {
  readonly dir: string;
  /** Segments that ended longer ago are unlinked. */
  readonly maxAgeMs: number;
  /** A segment with this many stack nodes is followed by the next (below 2^24). */
  readonly maxNodes?: number;
  /** Kept on disk to be given up when it is full and no old segment is left; 0 for none. */
  readonly ballastBytes?: number;
  readonly log?: (line: string) => void;
  /** Unix ms. */
  readonly now?: () => number;
}

/** **Errors**: all of its methods throw OperatingErrors: `store-failed`, `disk-full`. */
export class Store {
  readonly #options: StoreOptions;
  readonly #lock: DirectoryLock;
  #active: SegmentWriter | undefined;
  #running: RunningBuckets | undefined;
  #openFlush: Flush | undefined;
  #droppedFlushes = 0;
  #retainAtMs = 0;
  #lastLine = '';

  private constructor(options: StoreOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#lock = lock;
  }

  /** Takes the directory, mends what a killed daemon left and goes on with its newest segment.
   *  **Errors**: `store-locked`, `store-foreign`, `store-newer` (its state.db), `store-failed`,
   *  `disk-full`. */
  static open(options: StoreOptions): Store {
    return translateErrors(options.dir, () => {
      const lock = lockDirectory(options.dir);
      const store = new Store(options, lock);
      try {
        store.#recover();
      } catch (error) {
        lock.release();
        throw error;
      }
      return store;
    });
  }

  /** Bytes of all segments, with what SQLite keeps beside them. */
  get sizeBytes(): number {
    const { dir } = this.#options;
    return listSegments(dir).reduce(
      (sum, { fileName }) => sum + segmentSizeBytes(dir, fileName),
      0,
    );
  }

  /** Unix ms at which the oldest segment begins; undefined when there is none. */
  get oldestUnixMs(): number | undefined {
    const [oldest] = listSegments(this.#options.dir);
    return oldest && Number(bucketStartUnixNs(oldest.startBucket) / 1_000_000n);
  }

  /** The flush must be committed before the next begins; one that is not is forgotten. */
  beginFlush(span: FlushSpan): FlushWriter {
    return translateErrors(this.#options.dir, () => {
      const bucket = bucketOf(span.startUnixNs);
      if (this.#isRotationDue(bucket)) this.#rotate(bucket);
      this.#retain();
      const active = this.#canHold(bucket) ? this.#active : undefined;
      const flush = new Flush(span, active?.dictionary ?? new Dictionary(), (f) => this.#commit(f));
      this.#openFlush = flush;
      return flush;
    });
  }

  get state(): DirectoryState {
    return this.#lock.state;
  }

  /** All metrics of a window, step by step; see readAllSeries. Flushes may come in its pauses.
   *  **Errors**: `usage`, `store-failed`. */
  metrics(window: Window, stepNs: bigint, pause: () => Promise<void>): Promise<AllSeries> {
    return readAllSeries(this.#source(), { window, stepNs }, pause);
  }

  /** Answers from the same files, with the running segment's dictionary from memory. */
  query(): Query {
    return new DirectoryQuery(this.#source());
  }

  /** Writes what a full disk kept in memory if it can, and gives the directory free. */
  close(): void {
    try {
      if (this.#running !== undefined && this.#running.unsavedFlushes > 0 && !this.#save()) {
        this.#log(`${this.#running.unsavedFlushes} flushes could not be written and are lost`);
      }
      if (this.#active !== undefined) this.#closeSegment(this.#active, false);
    } finally {
      this.#active = undefined;
      this.#running = undefined;
      this.#lock.release();
    }
  }

  #source(): QuerySource {
    const dictionaryOf = (fileName: string) =>
      this.#active?.name.fileName === fileName ? this.#active.dictionary : undefined;
    return { dir: this.#options.dir, dictionaryOf };
  }

  #recover(): void {
    const { dir } = this.#options;
    removeTemporaryFiles(dir);
    const segments = listSegments(dir);
    const newest = segments.pop();
    for (const { fileName } of segments) {
      if (hasLog(dir, fileName)) this.#tend(fileName, () => finishSegment(join(dir, fileName)));
    }
    if (newest === undefined) return;
    const resumed = SegmentWriter.resume(dir, newest);
    if (resumed instanceof SegmentWriter) {
      this.#use(resumed);
    } else if (resumed === 'broken') {
      this.#quarantine(newest.fileName);
    } else if (resumed !== 'closed') {
      this.#log(`segment ${newest.fileName} is ${resumed}: left as it is`);
    }
  }

  #use(segment: SegmentWriter): void {
    this.#active = segment;
    this.#running = new RunningBuckets(segment);
  }

  #canHold(bucket: number): boolean {
    const active = this.#active;
    return active !== undefined && bucket >= active.name.startBucket && bucket >= active.lastBucket;
  }

  #isRotationDue(bucket: number): boolean {
    const active = this.#active;
    if (active === undefined || !this.#canHold(bucket)) return true;
    if (bucket >= dayEndBucket(active.name.startBucket)) return true;
    const { trie, series, keys, frameCount } = active.dictionary;
    if (series.size >= maxSeries || keys.size >= maxKeys || frameCount >= maxFunctions) return true;
    return trie.size >= (this.#options.maxNodes ?? defaultMaxNodes);
  }

  /** Begins a new segment; on a full disk the old one goes on. */
  #rotate(bucket: number): void {
    const { dir } = this.#options;
    if (this.#running !== undefined && this.#running.unsavedFlushes > 0 && !this.#save()) return;
    const quarantined = listQuarantine(dir).flatMap((file) => parseSegmentName(file) ?? []);
    const n =
      [...listSegments(dir), ...quarantined].reduce((max, name) => Math.max(max, name.n), 0) + 1;
    let next: SegmentWriter;
    try {
      next = this.#withSpace(() => SegmentWriter.create(dir, segmentName(bucket, n)));
    } catch (error) {
      removeTemporaryFiles(dir);
      if (!isDiskFull(dir, error)) throw error;
      this.#log(`no room for a new segment: ${(error as Error).message}`);
      return;
    }
    const old = this.#active;
    this.#use(next);
    if (old !== undefined) this.#closeSegment(old, true);
    ensureBallast(dir, this.#options.ballastBytes ?? defaultBallastBytes);
  }

  #closeSegment(segment: SegmentWriter, isFinal: boolean): void {
    this.#tend(segment.name.fileName, () => segment.close(isFinal));
  }

  #commit(flush: Flush): CommitResult {
    assert(flush === this.#openFlush, 'a flush is committed once, before the next begins');
    this.#openFlush = undefined;
    const [active, running] = [this.#active, this.#running];
    let isDurable = false;
    if (active === undefined || running === undefined || flush.dictionary !== active.dictionary) {
      this.#droppedFlushes++;
    } else if (running.hasRoomFor(flush) || this.#save()) {
      running.merge(flush);
      isDurable = this.#save();
    } else {
      running.drop(flush);
      this.#droppedFlushes++;
    }
    return {
      isDurable,
      segment: active?.name.fileName ?? '',
      bucketStartUnixNs: bucketStartUnixNs(flush.bucket),
      droppedFlushes: this.#droppedFlushes,
    };
  }

  /** True when all that was in memory is on disk. A full or failing disk is logged,
   *  and the data waits in memory. */
  #save(): boolean {
    const [active, running] = [this.#active!, this.#running!];
    try {
      const rows = running.rows();
      this.#withSpace(() => active.commit(rows));
    } catch (error) {
      if (!isOutside(error)) throw error;
      const { message } = error as Error;
      if (isBroken(error)) {
        this.#droppedFlushes += running.unsavedFlushes;
        this.#active = undefined;
        this.#running = undefined;
        this.#closeSegment(active, false);
        this.#quarantine(active.name.fileName);
        throw new OperatingError(
          'store-failed',
          `segment ${active.name.fileName} is damaged: ${message}`,
        );
      }
      this.#log(`flush kept in memory (${running.unsavedFlushes} so far): ${message}`);
      return false;
    }
    running.markSaved();
    return true;
  }

  /** Repeats `write` while the disk is full and something can be given up for it. */
  #withSpace<T>(write: () => T): T {
    for (;;) {
      try {
        return write();
      } catch (error) {
        if (!isDiskFull(this.#options.dir, error) || !this.#freeSpace()) throw error;
      }
    }
  }

  #freeSpace(): boolean {
    const { dir } = this.#options;
    const oldest = listSegments(dir).find(
      ({ fileName }) => fileName !== this.#active?.name.fileName && !isNotOurs(dir, fileName),
    );
    if (oldest !== undefined) {
      this.#log(`disk full: segment ${oldest.fileName} is removed`);
      unlinkSegment(dir, oldest.fileName);
      return !existsSync(join(dir, oldest.fileName));
    }
    const hadBallast = dropBallast(dir);
    if (hadBallast) this.#log('disk full: the ballast is removed');
    return hadBallast;
  }

  #retain(): void {
    const { dir, maxAgeMs, now = Date.now } = this.#options;
    if (now() < this.#retainAtMs && this.#retainAtMs - now() <= retainEveryMs) return;
    this.#retainAtMs = now() + retainEveryMs;
    const segments = listSegments(dir);
    for (const [i, segment] of segments.entries()) {
      if (segment.fileName === this.#active?.name.fileName) continue;
      const endMs = Number(bucketStartUnixNs(endBucket(segment, segments[i + 1])) / 1_000_000n);
      if (endMs > now() - maxAgeMs) continue;
      this.#tend(segment.fileName, () => {
        if (isNotOurs(dir, segment.fileName)) return;
        this.#log(`segment ${segment.fileName} is older than the age limit and is removed`);
        unlinkSegment(dir, segment.fileName);
      });
    }
  }

  #quarantine(fileName: string): void {
    this.#log(`segment ${fileName} is damaged and is moved to quarantine`);
    quarantineSegment(this.#options.dir, fileName);
  }

  /** Work on a segment that must not stop the rest. */
  #tend(fileName: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!isOutside(error)) throw error;
      this.#log(`segment ${fileName}: ${(error as Error).message}`);
    }
  }

  /** A disk that stays full says the same at each flush: once is enough. */
  #log(line: string): void {
    if (line !== this.#lastLine) this.#options.log?.(line);
    this.#lastLine = line;
  }
}

/** A segment ends with its day, or where the next begins. */
function endBucket(segment: SegmentName, next: SegmentName | undefined): number {
  const dayEnd = dayEndBucket(segment.startBucket);
  if (next === undefined || next.startBucket < segment.startBucket) return dayEnd;
  return Math.min(dayEnd, next.startBucket);
}

function translateErrors<T>(dir: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isOutside(error)) throw error;
    const { message } = error as Error;
    if (isDiskFull(dir, error)) {
      throw new OperatingError('disk-full', `the disk of ${dir} is full: ${message}`);
    }
    const sentence = `the data directory ${dir} cannot be used: ${message}`;
    if (errorCode(error) !== 'EMFILE') throw new OperatingError('store-failed', sentence);
    throw new OperatingError('store-failed', sentence, 'Raise the limit of open files (ulimit -n).');
  }
}
