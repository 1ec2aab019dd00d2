// Flushes on the wall clock's multiples of the interval, so that a flush is
// a whole bucket of stored time.
//
//   wall clock   10.000      20.000      30.000
//   flush            |10.002     |20.003     |30.002      a little after, never before

const AFTER_BOUNDARY_MS = 2;

export class FlushTimer {
  readonly #intervalMs: number;
  readonly #flush: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #isStopped = false;

  /** `flush` must not reject. A flush that is late makes the next boundary's flush
   *  the next one; none stack up. */
  constructor(intervalMs: number, flush: () => Promise<void>) {
    this.#intervalMs = intervalMs;
    this.#flush = flush;
    this.#arm();
  }

  /** Resolves when the flush under way, if any, is done. No flush starts after the call. */
  stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    return this.#running;
  }

  #arm(): void {
    if (this.#isStopped) return;
    const nowMs = Date.now();
    const dueMs = (Math.floor(nowMs / this.#intervalMs) + 1) * this.#intervalMs + AFTER_BOUNDARY_MS;
    this.#timer = setTimeout(() => {
      if (Date.now() < dueMs - AFTER_BOUNDARY_MS) return this.#arm();
      this.#running = this.#flush().finally(() => this.#arm());
    }, dueMs - nowMs);
  }
}
