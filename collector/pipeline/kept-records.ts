// Records of a ring, copied one behind the other until the flush: a storm brings thousands, and an
// object for each would cost more than the copy.

const FIRST_BYTES = 16_384;

/** A record's kind, and where its bytes begin in `view`. */
export class KeptRecords<Kind extends { readonly sizeBytes: number }> {
  readonly kinds: Kind[] = [];
  readonly starts: number[] = [];
  /** Of all bytes; another one after push() and retain(). */
  view = new DataView(new ArrayBuffer(FIRST_BYTES));
  #bytes = new Uint8Array(this.view.buffer);
  #usedBytes = 0;

  get count(): number {
    return this.kinds.length;
  }

  push(kind: Kind, from: DataView, offset: number): void {
    const { sizeBytes } = kind;
    const start = this.#usedBytes;
    if (start + sizeBytes > this.#bytes.length) {
      this.#grow(Math.max(2 * this.#bytes.length, start + sizeBytes));
    }
    for (let i = 0; i < sizeBytes; i++) this.#bytes[start + i] = from.getUint8(offset + i);
    this.kinds.push(kind);
    this.starts.push(start);
    this.#usedBytes += sizeBytes;
  }

  /** Forgets all records but those at these places, given in their order. */
  retain(places: readonly number[]): void {
    const kept = places.map((place) => ({ kind: this.kinds[place]!, start: this.starts[place]! }));
    const before = this.view;
    this.kinds.length = 0;
    this.starts.length = 0;
    this.#usedBytes = 0;
    this.#bytes = new Uint8Array(0);
    this.#grow(FIRST_BYTES);
    for (const { kind, start } of kept) this.push(kind, before, start);
  }

  #grow(sizeBytes: number): void {
    const bytes = new Uint8Array(sizeBytes);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}
