// One BPF map by its descriptor: look-up, update, emptying in batches, the maps inside a map.
// Source: bpf(2); kernel/bpf/hashtab.c for what a batch is.

import { assert } from '../storage/model/errors.js';
import {
  createMap,
  deleteElement,
  lookupElement,
  possibleCpus,
  takeBatch,
  updateBatch,
  updateElement,
  type MapShape,
} from '../ffi/libbpf.js';
import { closeFd } from '../ffi/libc.js';
import { MemoryMap, pageSizeBytes } from '../ffi/memory-map.js';
import { readFdInfo } from './fd-info.js';

/** enum bpf_map_type, as far as it is used here. */
export const mapType = {
  hash: 1,
  array: 2,
  percpuHash: 5,
  percpuArray: 6,
  lruPercpuHash: 10,
  arrayOfMaps: 12,
  ringbuf: 27,
} as const;

/** Array maps of any length may stand in an array of maps. */
export const BPF_F_INNER_MAP = 0x1000;

const perCpuTypes: readonly number[] = [
  mapType.percpuHash,
  mapType.percpuArray,
  mapType.lruPercpuHash,
];

/** Room for one read of the next batch; hash buckets are seldom longer. */
const BATCH_ENTRIES = 256;

export class BpfMap {
  readonly name: string;
  readonly fd: number;
  readonly type: number;
  /** **Units**: bytes; so is valueSize, of one value: a per-CPU map
   *  holds one for each possible CPU. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly #inner: readonly BpfMap[];
  readonly #innerShape: MapShape | undefined;

  /** An array of maps has its maps, or the shape of those that come later. */
  constructor(
    name: string,
    fd: number,
    shape: Omit<MapShape, 'flags'>,
    { inner = [], innerShape }: { inner?: readonly BpfMap[]; innerShape?: MapShape } = {},
  ) {
    this.name = name;
    this.fd = fd;
    this.type = shape.type;
    this.keySize = shape.keySize;
    this.valueSize = shape.valueSize;
    this.maxEntries = shape.maxEntries;
    this.#inner = inner;
    this.#innerShape = innerShape;
  }

  /** Of an array of maps. */
  inner(index: number): BpfMap {
    const map = this.#inner[index];
    assert(map !== undefined, `map ${this.name} has a map ${index} inside`);
    return map;
  }

  /** Puts an array map of these values, one after the other, into a place of an array of maps; what
   *  was there goes when no program uses it any more. Returns the memory it is charged for.
   *  **Units**: bytes. **Errors**: throws CallError (`ENOMEM`). */
  putInner(index: number, values: Uint8Array): number {
    const shape = this.#innerShape;
    assert(shape !== undefined, `maps of any length may be put into map ${this.name}`);
    const maxEntries = values.byteLength / shape.valueSize;
    const fd = createMap(`${this.name.slice(0, 10)}_${index}`, { ...shape, maxEntries });
    try {
      updateBatch(fd, Uint32Array.from({ length: maxEntries }, (_, i) => i), values);
      updateElement(this.fd, u32Bytes(index), u32Bytes(fd));
      return Number(readFdInfo(fd)['memlock'] ?? 0);
    } finally {
      closeFd(fd);
    }
  }

  get innerMaps(): readonly BpfMap[] {
    return this.#inner;
  }

  /** What look-up and update move: of a per-CPU map, the values of all
   *  possible CPUs, 8-byte aligned each. */
  get elementSize(): number {
    return this.isPerCpu ? valueStride(this.valueSize) * possibleCpus() : this.valueSize;
  }

  get isPerCpu(): boolean {
    return perCpuTypes.includes(this.type);
  }

  /** Undefined when the key is not there. **Errors**: throws CallError. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    assert(key.byteLength === this.keySize, `keys of ${this.name} have ${this.keySize} bytes`);
    const value = new Uint8Array(this.elementSize);
    return lookupElement(this.fd, key, value) ? value : undefined;
  }

  /** **Errors**: throws CallError (`E2BIG`: the map is full). */
  update(key: Uint8Array, value: Uint8Array): void {
    assert(key.byteLength === this.keySize, `keys of ${this.name} have ${this.keySize} bytes`);
    assert(
      value.byteLength === this.elementSize,
      `values of ${this.name} have ${this.elementSize} bytes`,
    );
    updateElement(this.fd, key, value);
  }

  /** False when it was not there. **Errors**: throws CallError. */
  delete(key: Uint8Array): boolean {
    assert(key.byteLength === this.keySize, `keys of ${this.name} have ${this.keySize} bytes`);
    return deleteElement(this.fd, key);
  }

  /** The values of an array map that was declared BPF_F_MMAPABLE; element i begins at i
   *  * round up to 8 (valueSize). */
  mapValues(): MemoryMap {
    const bytes = valueStride(this.valueSize) * this.maxEntries;
    const lengthBytes = Math.ceil(bytes / pageSizeBytes) * pageSizeBytes;
    return new MemoryMap(this.fd, { lengthBytes, offsetBytes: 0, isWritable: true });
  }

  /** Takes all entries out of a hash map into `into`, whose former content is gone.
   *  **Shape**: entry i has its key at i * keySize and its value at i * valueSize; both
   *  valid until `into` is used again.
   *  **Limits**: a map that is written to meanwhile: at most maxEntries are taken.
   *  **Errors**: throws CallError. */
  drainBatch(into: BatchBuffer): Batch {
    const cursor = new Uint8Array(8);
    const count = new Uint32Array(1);
    let total = 0;
    let wanted = Math.min(BATCH_ENTRIES, this.maxEntries);
    let isFirst = true;
    const isFitting = into.keySize === this.keySize && into.valueSize === this.valueSize;
    assert(isFitting, `the buffer fits map ${this.name}`);
    while (total < this.maxEntries) {
      into.reserve(total + wanted);
      count[0] = into.capacity - total;
      const { keys, values } = into.from(total);
      const from = isFirst ? undefined : cursor;
      const outcome = takeBatch(this.fd, { from, next: cursor, keys, values, count });
      if (outcome === 'ENOSPC') {
        if (wanted >= this.maxEntries) break;
        wanted = Math.min(wanted * 2, this.maxEntries);
        continue;
      }
      isFirst = false;
      total += count[0];
      if (outcome === 'end') break;
    }
    return into.take(total);
  }
}

/** How much of a bounded map was in use: of one that is drained at the drain, of a ring the most since
 *  it was last asked. */
export interface MapFill {
  readonly map: string;
  /** 0..1. */
  readonly share: number;
}

export interface Batch {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

/** Room for what drainBatch() takes out of maps of one shape, used again and again. It grows by
 *  doubling to what such a map can hold, and halves when seven eighths of it were not needed. */
export class BatchBuffer {
  readonly keySize: number;
  readonly valueSize: number;
  readonly #maxEntries: number;
  #capacity: number;
  #keys: Uint8Array;
  #values: Uint8Array;

  constructor(map: BpfMap) {
    this.keySize = map.keySize;
    this.valueSize = map.valueSize;
    this.#maxEntries = map.maxEntries;
    this.#capacity = Math.min(BATCH_ENTRIES, map.maxEntries);
    this.#keys = new Uint8Array(this.#capacity * this.keySize);
    this.#values = new Uint8Array(this.#capacity * this.valueSize);
  }

  /** Entries there is room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Makes room for so many, keeping what is there; never more than a map can hold. */
  reserve(entries: number): void {
    if (Math.min(entries, this.#maxEntries) <= this.#capacity) return;
    const { keys, values } = this.from(0);
    this.#resize(Math.min(Math.max(entries, 2 * this.#capacity), this.#maxEntries));
    this.#keys.set(keys);
    this.#values.set(values);
  }

  /** The room that begins with an entry. */
  from(entry: number): { readonly keys: Uint8Array; readonly values: Uint8Array } {
    return {
      keys: this.#keys.subarray(entry * this.keySize),
      values: this.#values.subarray(entry * this.valueSize),
    };
  }

  /** The first `count` entries. */
  take(count: number): Batch {
    const keys = this.#keys.subarray(0, count * this.keySize);
    const values = this.#values.subarray(0, count * this.valueSize);
    const isOversized = this.#capacity > BATCH_ENTRIES && count < this.#capacity / 8;
    if (isOversized) this.#resize(Math.max(BATCH_ENTRIES, this.#capacity >> 1));
    return { count, keys, values };
  }

  #resize(capacity: number): void {
    this.#capacity = capacity;
    this.#keys = new Uint8Array(capacity * this.keySize);
    this.#values = new Uint8Array(capacity * this.valueSize);
  }
}

/** A u32 as a map's key or value. */
export function u32Bytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Values of an array map, and each CPU's value of a per-CPU map, begin at multiples of 8. */
export function valueStride(valueSize: number): number {
  return Math.ceil(valueSize / 8) * 8;
}
