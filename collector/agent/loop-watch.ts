// The longest time that a thread's event loop was busy without looking for what else is due: what
// waits for a flush, a ring or an answer waits that long at most.
//
//   loop     wait | timers, callbacks | check | wait ...
//   busy           =========================|      one round's, without its wait
//
// An immediate that does not keep the loop going runs in each round that there is, 3 us each, so
// that nothing wakes for this. Source: libuv's design overview, "The I/O loop".

export class LoopWatch {
  #atMs = performance.now();
  #idleMs = performance.nodeTiming.idleTime;
  #longestMs = 0;

  constructor() {
    this.#arm();
  }

  /** Since the last call, the round under way included. */
  takeLongestMs(): number {
    this.#look();
    const longestMs = this.#longestMs;
    this.#longestMs = 0;
    return longestMs;
  }

  #arm(): void {
    setImmediate(() => {
      this.#look();
      this.#begin();
      this.#arm();
    }).unref();
  }

  #look(): void {
    const idleMs = performance.nodeTiming.idleTime - this.#idleMs;
    this.#longestMs = Math.max(this.#longestMs, performance.now() - this.#atMs - idleMs);
  }

  #begin(): void {
    this.#atMs = performance.now();
    this.#idleMs = performance.nodeTiming.idleTime;
  }
}
