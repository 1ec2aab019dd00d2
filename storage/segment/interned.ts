// A list of distinct things with dense ids, kept in the dictionary as JSON arrays: names hold any
// character, so no separator would be safe.

import { BrokenBlob } from './bytes.js';

/** How items become JSON and back. `decode` throws BrokenBlob on anything it did not write. */
export interface ItemCodec<T> {
  key(item: T): string;
  encode(item: T): unknown;
  decode(json: unknown): T;
}

export class Interned<T> {
  /** Index is the id; undefined where a chunk was lost. */
  readonly items: (T | undefined)[] = [];
  readonly #codec: ItemCodec<T>;
  /** Made when the first id is looked up: readers need none. */
  #ids: Map<string, number> | undefined;

  constructor(codec: ItemCodec<T>) {
    this.#codec = codec;
  }

  get size(): number {
    return this.items.length;
  }

  /** The id of an equal item, if there is one. */
  find(item: T): number | undefined {
    return (this.#ids ??= this.#indexItems()).get(this.#codec.key(item));
  }

  /** The id of an equal item. When there is none a copy is kept that equals what a
   *  reader of the chunk will get. */
  idOf(item: T): number {
    const ids = (this.#ids ??= this.#indexItems());
    const key = this.#codec.key(item);
    let id = ids.get(key);
    if (id === undefined) {
      const json: unknown = JSON.parse(JSON.stringify(this.#codec.encode(item)));
      id = this.items.length;
      this.items.push(this.#codec.decode(json));
      ids.set(key, id);
    }
    return id;
  }

  /** The items [first, size) as the stream of a dictionary chunk. */
  encodeFrom(first: number): Uint8Array {
    const json = this.items.slice(first).map((item) => this.#codec.encode(item!));
    return Buffer.from(JSON.stringify(json));
  }

  /** Puts a chunk at its place, wherever that is. False (or BrokenBlob) when it
   *  is broken: its ids are lost. */
  load(first: number, count: number, streams: readonly Uint8Array[]): boolean {
    const json = parseJsonArray(streams[0]);
    if (json === undefined || json.length !== count) return false;
    this.#ids = undefined;
    while (this.items.length < first + count) this.items.push(undefined);
    // One by one: an item may name an earlier one of its own chunk.
    for (const [i, item] of json.entries()) this.items[first + i] = this.#codec.decode(item);
    return true;
  }

  #indexItems(): Map<string, number> {
    const ids = new Map<string, number>();
    for (const [id, item] of this.items.entries()) {
      if (item !== undefined) ids.set(this.#codec.key(item), id);
    }
    return ids;
  }
}

/** A JSON array of foreign origin; undefined when it is none. */
export function parseJsonArray(bytes: Uint8Array | undefined): unknown[] | undefined {
  if (bytes === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(),
    );
    return Array.isArray(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

export function decodeString(json: unknown): string {
  if (typeof json !== 'string') throw new BrokenBlob('not a string');
  return json;
}

export function decodeInteger(json: unknown): number {
  if (!Number.isSafeInteger(json)) throw new BrokenBlob('not an integer');
  return json as number;
}

export function decodeArray(json: unknown): unknown[] {
  if (!Array.isArray(json)) throw new BrokenBlob('not an array');
  return json;
}

export function decodeObject(json: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
  if (!isObject) throw new BrokenBlob('not an object');
  return json as Record<string, unknown>;
}
