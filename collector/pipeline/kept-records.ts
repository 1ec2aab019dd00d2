// Records of a ring, copied one behind the other until the flush: a storm brings thousands, and an object for each would
// cost more than the copy.

const FIRST_BYTES = 16_384;

/** A record's kind, and where its bytes begin in `view`. */
export class KeptRecords<Kind extends { readonly sizeBytes: number }> {
  readonly kinds: Kind[] = [];
  readonly starts: number[] = [];
  /** Of all bytes; another one after push() and retain(). */
  view = new DataView(new ArrayBuffer(FIRST_BYTES));
  #usedBytes = 0;

  get count(): number {
    return this.kinds.length;
  }

  push(kind: Kind, from: DataView, offset: number): void {
    const { sizeBytes } = kind;
    if (this.#usedBytes + sizeBytes > this.view.byteLength) this.#grow(sizeBytes);
    bytesOf(this.view).set(new Uint8Array(from.buffer, from.byteOffset + offset, sizeBytes), this.#usedBytes);
    this.kinds.push(kind);
    this.starts.push(this.#usedBytes);
    this.#usedBytes += sizeBytes;
  }

  /** Forgets all records but those at these places, given in their order. */
  retain(places: readonly number[]): void {
    const kept = places.map((place) => ({ kind: this.kinds[place]!, start: this.starts[place]! }));
    const before = this.view;
    this.kinds.length = 0;
    this.starts.length = 0;
    this.#usedBytes = 0;
    if (before.byteLength > FIRST_BYTES) this.view = new DataView(new ArrayBuffer(FIRST_BYTES));
    for (const { kind, start } of kept) this.push(kind, before, start);
  }

  #grow(neededBytes: number): void {
    const bytes = new Uint8Array(Math.max(2 * this.view.byteLength, this.#usedBytes + neededBytes));
    bytes.set(bytesOf(this.view));
    this.view = new DataView(bytes.buffer);
  }
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
