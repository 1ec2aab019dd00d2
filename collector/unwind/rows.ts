// Rows of an unwind table as they are found, in ascending order: equal neighbours become
// one, small gaps between functions are filled. A hot path: two typed arrays, which grow and
// are used again for the next file.

/** Padding between functions is below this; what is longer is a gap. */
const minGapBytes = 16;
const maxRows = 1 << 21;
/** What is kept between files; a larger one is let go. */
const maxIdleRows = 1 << 18;

export class Rows {
  /** More rows than a table may have: what came after is missing. */
  isOverBudget = false;
  #count = 0;
  #pcs = new Uint32Array(4096);
  #rules = new Uint32Array(4096);
  /** Where the last function ended; the gap after it is filled until the next one begins. */
  #end: number | undefined;

  get count(): number {
    return this.#count;
  }

  get pcs(): Uint32Array {
    return this.#pcs.subarray(0, this.#count);
  }

  get rules(): Uint32Array {
    return this.#rules.subarray(0, this.#count);
  }

  /** Forgets all rows; the first one of a table says that nothing is known from pc 0 on. */
  reset(): void {
    this.#count = 0;
    this.isOverBudget = false;
    this.#end = undefined;
    this.add(0, 0);
  }

  /** A function begins. Functions come in ascending order; where two
   *  overlap the later one counts. */
  begin(pc: number): void {
    if (this.#end !== undefined && pc - this.#end >= minGapBytes) this.add(this.#end, 0);
    while (this.#count > 1 && this.#pcs[this.#count - 1]! >= pc) this.#count--;
  }

  /** From `pc` on this rule holds. pcs of one function never fall. */
  add(pc: number, rule: number): void {
    if (this.#count > 1 && this.#pcs[this.#count - 1] === pc) this.#count--;
    if (this.#count > 0 && this.#rules[this.#count - 1] === rule) return;
    if (this.#count === this.#pcs.length) {
      if (this.#count === maxRows) {
        this.isOverBudget = true;
        return;
      }
      this.#resize(this.#count * 2);
    }
    this.#pcs[this.#count] = pc;
    this.#rules[this.#count++] = rule;
  }

  end(pc: number): void {
    this.#end = pc;
  }

  /** After the last function nothing is known. */
  finish(): void {
    if (this.#end !== undefined) this.add(this.#end, 0);
  }

  /** Forgets all rows, and lets go of the room that a large file needed. */
  release(): void {
    this.#count = 0;
    if (this.#pcs.length > maxIdleRows) this.#resize(maxIdleRows);
  }

  #resize(length: number): void {
    const { pcs, rules } = this;
    this.#pcs = new Uint32Array(length);
    this.#rules = new Uint32Array(length);
    this.#pcs.set(pcs);
    this.#rules.set(rules);
  }
}
