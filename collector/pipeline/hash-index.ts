// Where a 64-bit content hash stands in a list: open addressing over its halves, since a Map of
// bigints costs ten times as much. The hashes are spread already, so their low bits are the slot.

export class HashIndex {
  /** Low and high half of each hash. */
  readonly #halves: Uint32Array;
  /** Place + 1; 0 is free. */
  readonly #slots: Int32Array;

  /** The first `count` of `hashes`; of equal ones the first is found. */
  constructor(hashes: BigUint64Array, count: number) {
    this.#halves = new Uint32Array(hashes.buffer, hashes.byteOffset, 2 * count);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * count + 1)));
    for (let place = 0; place < count; place++) {
      const low = this.#halves[2 * place]!;
      const slot = this.#slotOf(low, this.#halves[2 * place + 1]!);
      if (this.#slots[slot] === 0) this.#slots[slot] = place + 1;
    }
  }

  /** -1 when it is not there. */
  find(low: number, high: number): number {
    return this.#slots[this.#slotOf(low, high)]! - 1;
  }

  /** The slot with this hash, else the free one where it would stand. There always is
   *  one: half of them are free. */
  #slotOf(low: number, high: number): number {
    const mask = this.#slots.length - 1;
    let slot = low & mask;
    for (let taken = this.#slots[slot]!; taken !== 0; taken = this.#slots[slot]!) {
      if (this.#halves[2 * taken - 2] === low && this.#halves[2 * taken - 1] === high) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }
}
