// The ring of one perf event, read in place. The kernel writes at head and never past
// tail; records are 8-byte aligned and may wrap around the end of the data, then they are
// put together in a scratch buffer.
// Source: perf_event_open(2), "MMAP layout"; include/uapi/linux/perf_event.h.
// Hot path: no object per record.

import assert from 'node:assert/strict';
import { MemoryMap, pageSizeBytes } from './memory-map.js';

const HEAD_WORD = 1024 / 8;
const TAIL_WORD = 1032 / 8;
const HEADER_BYTES = 8;
const LOST_COUNT_OFFSET = 16;

const PERF_RECORD_LOST = 2;

/** One reader at a time on this thread, so all rings share it. A record's size is a u16. */
const scratch = new Uint8Array(0x10000);
const scratchView = new DataView(scratch.buffer);

/** Record at `offset` of `view`, header included; valid until the callback returns.
 *  **Units**: `size` in bytes; `type` PERF_RECORD_*, `misc` the header's flags. */
export type OnPerfRecord = (
  view: DataView,
  offset: number,
  size: number,
  type: number,
  misc: number,
) => void;

export class PerfRing {
  readonly sizeBytes: number;
  readonly #map: MemoryMap;
  readonly #positions: BigUint64Array;
  readonly #data: Uint8Array;
  readonly #view: DataView;
  #isOpen = true;
  #lostCount = 0;
  #brokenCount = 0;

  /** **Limits**: `pages` is a power of two; all rings of a user share perf_event_mlock_kb.
   *  **Errors**: throws CallError (`EPERM` over that limit, `EINVAL`
   *  the event cannot have a ring). */
  constructor(fd: number, pages: number) {
    assert(Number.isInteger(Math.log2(pages)), 'a ring has 2^n pages');
    this.sizeBytes = pages * pageSizeBytes;
    this.#map = new MemoryMap(fd, {
      lengthBytes: pageSizeBytes + this.sizeBytes,
      offsetBytes: 0,
      isWritable: true,
    });
    this.#positions = new BigUint64Array(this.#map.bytes, 0, pageSizeBytes / 8);
    this.#data = new Uint8Array(this.#map.bytes, pageSizeBytes, this.sizeBytes);
    this.#view = new DataView(this.#map.bytes, pageSizeBytes, this.sizeBytes);
  }

  /** Records that the kernel dropped because the ring was full, as it told
   *  in the records read so far. */
  get lostCount(): number {
    return this.#lostCount;
  }

  /** Times that a record's size made no sense and all that waited was skipped. */
  get brokenCount(): number {
    return this.#brokenCount;
  }

  /** Bytes that wait to be read. */
  get waitingBytes(): number {
    if (!this.#isOpen) return 0;
    return Number(
      Atomics.load(this.#positions, HEAD_WORD) - Atomics.load(this.#positions, TAIL_WORD),
    );
  }

  /** Hands over what waits, oldest first, and frees its room. Returns the number of records.
   *  **Limits**: `maxRecords`, and what was there at the call, so at most the ring's size. What the
   *  callback throws comes out of here, and the record it failed on is not seen again. */
  read(onRecord: OnPerfRecord, maxRecords = Infinity): number {
    if (!this.#isOpen) return 0;
    const head = Number(Atomics.load(this.#positions, HEAD_WORD));
    let tail = Number(Atomics.load(this.#positions, TAIL_WORD));
    let count = 0;
    try {
      while (tail < head && count < maxRecords) {
        const at = tail % this.sizeBytes;
        const type = this.#view.getUint32(at, true);
        const misc = this.#view.getUint16(at + 4, true);
        const size = this.#view.getUint16(at + 6, true);
        if (size < HEADER_BYTES || (size & 7) !== 0 || size > head - tail) {
          this.#brokenCount++;
          tail = head;
          break;
        }
        tail += size;
        count++;
        const isWrapped = at + size > this.sizeBytes;
        if (isWrapped) this.#unwrap(at, size);
        const view = isWrapped ? scratchView : this.#view;
        const offset = isWrapped ? 0 : at;
        if (type === PERF_RECORD_LOST && size >= LOST_COUNT_OFFSET + 8) {
          this.#lostCount += Number(view.getBigUint64(offset + LOST_COUNT_OFFSET, true));
        }
        onRecord(view, offset, size, type, misc);
      }
    } finally {
      Atomics.store(this.#positions, TAIL_WORD, BigInt(tail));
    }
    return count;
  }

  /** Unmaps the ring. The event's descriptor stays with who opened it. */
  close(): void {
    this.#isOpen = false;
    this.#map.close();
  }

  #unwrap(at: number, size: number): void {
    const untilEnd = this.sizeBytes - at;
    scratch.set(this.#data.subarray(at, this.sizeBytes), 0);
    scratch.set(this.#data.subarray(0, size - untilEnd), untilEnd);
  }
}
