// Globals of a loaded object: .bss and .data, mapped once. The kernel's programs and we read and
// write the same memory; use Atomics for what both touch.

import { assert } from '../storage/model/errors.js';
import { findMap, mapFd, mapShape, sectionVariables, type ObjectHandle } from '../ffi/libbpf.js';
import { MemoryMap, pageSizeBytes } from '../ffi/memory-map.js';

interface Place {
  readonly map: MemoryMap;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

export class Globals {
  readonly #places = new Map<string, Place>();
  readonly #maps: MemoryMap[] = [];

  /** **Errors**: throws CallError when the kernel cannot map globals (before 5.5). */
  constructor(object: ObjectHandle) {
    for (const section of ['.bss', '.data']) {
      const handle = findMap(object, section);
      if (handle === undefined) continue;
      const pages = Math.ceil(mapShape(handle).valueSize / pageSizeBytes);
      const request = { lengthBytes: pages * pageSizeBytes, offsetBytes: 0, isWritable: true };
      const map = new MemoryMap(mapFd(handle), request);
      this.#maps.push(map);
      for (const { name, offsetBytes, sizeBytes } of sectionVariables(object, section)) {
        this.#places.set(name, { map, offsetBytes, sizeBytes });
      }
    }
  }

  /** The global, or the elements of the array, as it is now and will be;
   *  not after the probe is closed. */
  u32(name: string): Uint32Array {
    const { map, offsetBytes, sizeBytes } = this.#place(name);
    return new Uint32Array(map.bytes, offsetBytes, sizeBytes / 4);
  }

  u64(name: string): BigUint64Array {
    const { map, offsetBytes, sizeBytes } = this.#place(name);
    return new BigUint64Array(map.bytes, offsetBytes, sizeBytes / 8);
  }

  close(): void {
    for (const map of this.#maps) map.close();
    this.#places.clear();
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    assert(place !== undefined, `the BPF object has a global ${name}`);
    return place;
  }
}
