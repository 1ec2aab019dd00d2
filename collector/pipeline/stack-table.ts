// Grows a StackTable: frames of one stack after the other, in arrays that double.

import type { StackTable } from '../messages.js';

export class StackTableBuilder {
  #starts = new Uint32Array(256);
  #ends = new Uint8Array(256);
  #modules = new Int32Array(4096);
  #offsets = new Float64Array(4096);
  #stacks = 0;
  #frames = 0;

  addFrame(module: number, offset: number): void {
    if (this.#frames === this.#modules.length) {
      this.#modules = grown(this.#modules, new Int32Array(this.#frames * 2));
      this.#offsets = grown(this.#offsets, new Float64Array(this.#frames * 2));
    }
    this.#modules[this.#frames] = module;
    this.#offsets[this.#frames++] = offset;
  }

  /** Ends the stack of the frames added since the last call; gives its index. */
  finish(end: number): number {
    if (this.#stacks + 1 === this.#starts.length) {
      this.#starts = grown(this.#starts, new Uint32Array(this.#starts.length * 2));
      this.#ends = grown(this.#ends, new Uint8Array(this.#ends.length * 2));
    }
    this.#ends[this.#stacks] = end;
    this.#starts[++this.#stacks] = this.#frames;
    return this.#stacks - 1;
  }

  /** The table so far, in arrays of its own size. */
  build(): StackTable {
    return {
      starts: this.#starts.slice(0, this.#stacks + 1),
      ends: this.#ends.slice(0, this.#stacks),
      frameModules: this.#modules.slice(0, this.#frames),
      frameOffsets: this.#offsets.slice(0, this.#frames),
    };
  }
}

function grown<T extends { set(from: T): void }>(from: T, into: T): T {
  into.set(from);
  return into;
}
