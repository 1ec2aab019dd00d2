// Merges what the rings of all CPUs hold by time. Rings read one after the other give an exit
// before its fork, so events are believed only up to a horizon that is safely in the past; what is
// later waits for the next read. Pure.
//
//   CPU 0  ──f──m────────┆─e──▶   read(horizon) gives  f c m   and keeps  e
//   CPU 1  ─────c────────┆────▶
//                     horizon

import type { SidebandEvent } from './sideband-records.js';

export class EventMerger {
  /** Events that came after others of a later time had been given out. */
  lateEvents = 0;
  #waiting: SidebandEvent[] = [];
  #deliveredNs = -Infinity;

  get waitingEvents(): number {
    return this.#waiting.length;
  }

  add(event: SidebandEvent): void {
    this.#waiting.push(event);
  }

  /** Events up to the horizon, in the order of their times. */
  read(horizonNs: number): SidebandEvent[] {
    const due: SidebandEvent[] = [];
    const later: SidebandEvent[] = [];
    for (const event of this.#waiting) (event.ns <= horizonNs ? due : later).push(event);
    this.#waiting = later;
    due.sort((a, b) => a.ns - b.ns);
    for (const { ns } of due) {
      if (ns >= this.#deliveredNs) break;
      this.lateEvents++;
    }
    this.#deliveredNs = Math.max(this.#deliveredNs, due.at(-1)?.ns ?? -Infinity);
    return due;
  }
}
