// A BPF ring buffer, read in place. The kernel maps its data twice in a row, so no record wraps; a
// record is there when its busy bit is gone.
// Source: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst. Hot path: no object per record.

import { assert } from '../storage/model/errors.js';
import { MemoryMap, pageSizeBytes } from '../ffi/memory-map.js';
import { mapType, type BpfMap, type MapFill } from './map.js';

const BUSY_BIT = 0x80000000;
const DISCARD_BIT = 0x40000000;
const HEADER_BYTES = 8;
const DEFAULT_MAX_RECORDS = 65_536;

/** One record, without the kernel's header; the view is valid until the callback returns.
 *  **Units**: `size` in bytes. */
export type OnRingRecord = (view: DataView, offset: number, size: number) => void;

export class RingReader {
  /** Readable when the kernel wakes us. */
  readonly fd: number;
  readonly #name: string;
  readonly #sizeBytes: number;
  readonly #consumerMap: MemoryMap;
  readonly #producerMap: MemoryMap;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #lengths: Uint32Array;
  readonly #data: DataView;
  #fullestBytes = 0;
  #isOpen = true;

  /** **Errors**: throws CallError. */
  constructor(map: BpfMap) {
    assert(map.type === mapType.ringbuf, `map ${map.name} is a ring buffer`);
    this.fd = map.fd;
    this.#name = map.name;
    this.#sizeBytes = map.maxEntries;
    const dataBytes = 2 * this.#sizeBytes;
    this.#consumerMap = new MemoryMap(map.fd, {
      lengthBytes: pageSizeBytes,
      offsetBytes: 0,
      isWritable: true,
    });
    this.#producerMap = new MemoryMap(map.fd, {
      lengthBytes: pageSizeBytes + dataBytes,
      offsetBytes: pageSizeBytes,
      isWritable: false,
    });
    this.#consumer = new BigUint64Array(this.#consumerMap.bytes, 0, 1);
    this.#producer = new BigUint64Array(this.#producerMap.bytes, 0, 1);
    this.#lengths = new Uint32Array(this.#producerMap.bytes, pageSizeBytes, dataBytes / 4);
    this.#data = new DataView(this.#producerMap.bytes, pageSizeBytes, dataBytes);
  }

  /** Hands over records, oldest first, until none is ready. Returns how many.
   *  **Limits**: `maxRecords` a call, discarded ones too. What the callback throws comes out of
   *  here; that record is not seen again. */
  read(onRecord: OnRingRecord, maxRecords = DEFAULT_MAX_RECORDS): number {
    if (!this.#isOpen) return 0;
    let count = 0;
    let passed = 0;
    let isReady = true;
    let position = Number(Atomics.load(this.#consumer, 0));
    while (isReady && passed < maxRecords) {
      const produced = Number(Atomics.load(this.#producer, 0));
      if (position >= produced) break;
      if (produced - position > this.#fullestBytes) this.#fullestBytes = produced - position;
      try {
        while (position < produced && passed < maxRecords) {
          const at = position % this.#sizeBytes;
          const length = Atomics.load(this.#lengths, at / 4);
          isReady = (length & BUSY_BIT) === 0;
          if (!isReady) break;
          const size = length & ~DISCARD_BIT;
          passed++;
          position += (HEADER_BYTES + size + 7) & ~7;
          if ((length & DISCARD_BIT) !== 0) continue;
          count++;
          onRecord(this.#data, at + HEADER_BYTES, size);
        }
      } finally {
        Atomics.store(this.#consumer, 0, BigInt(position));
      }
    }
    return count;
  }

  /** What was found in it at most since the last call. */
  takeFill(): MapFill {
    const share = this.#fullestBytes / this.#sizeBytes;
    this.#fullestBytes = 0;
    return { map: this.#name, share };
  }

  /** Unmaps the ring; the map stays its probe's. */
  close(): void {
    this.#isOpen = false;
    this.#consumerMap.close();
    this.#producerMap.close();
  }
}
