// Keeps the daemon small: what only the start needed of node's code is dropped once, and what the C
// heap has free (the compiler's work space above all) is given back each minute.

import { dropOwnText, trimHeap } from '../../ffi/own-memory.js';

/** Until then symbol tables are read for the first time, and most of what is hot is compiled. */
const DROP_TEXT_AFTER_MS = 60_000;
const TRIM_EACH_MS = 60_000;

export class OwnSize {
  readonly #dropTextAtMs = performance.now() + DROP_TEXT_AFTER_MS;
  #trimAtMs = performance.now() + TRIM_EACH_MS;
  #isTextDropped = false;

  /** To be called from time to time, best when both threads have nothing to do. */
  tidy(): void {
    const nowMs = performance.now();
    if (nowMs >= this.#trimAtMs) {
      this.#trimAtMs = nowMs + TRIM_EACH_MS;
      trimHeap();
    }
    if (nowMs >= this.#dropTextAtMs && !this.#isTextDropped) {
      this.#isTextDropped = true;
      dropOwnText();
    }
  }
}
