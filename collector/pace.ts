// Long work in pieces of a few milliseconds: between them the thread looks for what else is due.

import { setImmediate } from 'node:timers/promises';

const PIECE_MS = 4;

export class Pace {
  #restMs = performance.now() + PIECE_MS;

  /** To be awaited between two pieces; passes at once while there is time left. */
  async rest(): Promise<void> {
    if (performance.now() < this.#restMs) return;
    await setImmediate();
    this.#restMs = performance.now() + PIECE_MS;
  }
}
