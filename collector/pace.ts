// Long work in pieces of a few milliseconds: between them the thread looks for what else is due.

import { setImmediate } from 'node:timers/promises';

const PIECE_MS = 4;

/** Work that may rest wherever it yields. */
export type Pieces<T> = Generator<undefined, T>;

export class Pace {
  #restMs = performance.now() + PIECE_MS;

  /** To be awaited between two pieces; passes at once while there is time left. */
  async rest(): Promise<void> {
    if (performance.now() < this.#restMs) return;
    await setImmediate();
    this.#restMs = performance.now() + PIECE_MS;
  }

  async through<T>(pieces: Pieces<T>): Promise<T> {
    for (;;) {
      const { value, done } = pieces.next();
      if (done === true) return value;
      await this.rest();
    }
  }
}

/** Without a rest. */
export function atOnce<T>(pieces: Pieces<T>): T {
  for (;;) {
    const { value, done } = pieces.next();
    if (done === true) return value;
  }
}
