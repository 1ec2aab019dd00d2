// The bucket that is running, kept merged in memory because each flush rewrites its row, and
// buckets that a full disk has kept from being written.

import type { Flush } from './flush.js';
import type { Live } from './segment/live.js';
import { addCounters, decodeLive, mergeLive, newLive } from './segment/live.js';
import { LivePoints } from './segment/live-points.js';
import type { LiveRow, SegmentWriter } from './segment/segment-writer.js';

/** Bounds of what waits for a disk with room. */
const maxUnsavedFlushes = 6;
const maxUnsavedBytes = 8_000_000;

export class RunningBuckets {
  readonly #segment: SegmentWriter;
  /** Bucket -> stream -> all that is known of it. */
  readonly #buckets = new Map<number, Map<number, Live>>();
  readonly #dirty = new Map<number, Set<number>>();
  unsavedFlushes = 0;

  constructor(segment: SegmentWriter) {
    this.#segment = segment;
  }

  hasRoomFor(flush: Flush): boolean {
    if (this.unsavedFlushes === 0) return true;
    if (this.unsavedFlushes >= maxUnsavedFlushes) return false;
    return this.#unsavedBytes() + flush.sizeBytes <= maxUnsavedBytes;
  }

  merge(flush: Flush): void {
    for (const [stream, more] of flush.staged) {
      const live = this.#find(flush.bucket, stream);
      if (live === undefined) this.#put(flush.bucket, stream, more);
      else mergeLive(live, more, this.#segment.dictionary);
      this.#markDirty(flush.bucket, stream);
    }
    this.unsavedFlushes++;
  }

  /** Gives up a flush. Where its bucket is being kept, its counters say so; else the bucket
   *  is missing, which shows too. */
  drop(flush: Flush): void {
    const names = this.#segment.dictionary;
    if (!this.#buckets.has(flush.bucket)) return;
    for (const [stream, given] of flush.staged) {
      const { header } = given;
      const empty = newLive(names, stream, { ...header, counters: new Map() });
      const live = this.#find(flush.bucket, stream) ?? empty;
      for (const [id, value] of header.counters) {
        const name = names.counterNameAt(id);
        const isKept = name !== 'captured' && name !== 'recorded';
        addCounters(live, { [isKept ? name : 'lost.not_stored']: value }, names);
      }
      // Points are not counted as they are captured.
      if (given instanceof LivePoints) addCounters(live, { 'lost.not_stored': given.size }, names);
      this.#put(flush.bucket, stream, live);
      this.#markDirty(flush.bucket, stream);
    }
  }

  rows(): LiveRow[] {
    const rows: LiveRow[] = [];
    for (const [bucket, streams] of this.#dirty) {
      for (const stream of streams) {
        rows.push({ stream, bucket, data: this.#buckets.get(bucket)!.get(stream)!.encode() });
      }
    }
    return rows;
  }

  /** Call when `rows` have been committed; only the running bucket is kept on. */
  markSaved(): void {
    this.#dirty.clear();
    this.unsavedFlushes = 0;
    const running = Math.max(...this.#buckets.keys());
    for (const bucket of this.#buckets.keys()) {
      if (bucket !== running) this.#buckets.delete(bucket);
    }
  }

  /** In memory, or in the file when an earlier process wrote it. */
  #find(bucket: number, stream: number): Live | undefined {
    const live = this.#buckets.get(bucket)?.get(stream);
    if (live !== undefined || bucket > this.#segment.lastBucket) return live;
    const blob = this.#segment.read(stream, bucket);
    const read = blob && decodeLive(this.#segment.dictionary, stream, blob);
    if (read !== undefined) this.#put(bucket, stream, read);
    return read;
  }

  #put(bucket: number, stream: number, live: Live): void {
    let streams = this.#buckets.get(bucket);
    if (streams === undefined) this.#buckets.set(bucket, (streams = new Map()));
    streams.set(stream, live);
  }

  #markDirty(bucket: number, stream: number): void {
    let streams = this.#dirty.get(bucket);
    if (streams === undefined) this.#dirty.set(bucket, (streams = new Set()));
    streams.add(stream);
  }

  #unsavedBytes(): number {
    let sizeBytes = 0;
    for (const streams of this.#buckets.values()) {
      for (const live of streams.values()) sizeBytes += live.sizeBytes;
    }
    return sizeBytes;
  }
}
