// Accounts of the sampling clock: every period that fell due on a CPU is
// captured, idle, lost or not fired.
//
//   anchor          F0 (flip)                     F1 (flip)
//     |--.--.--.--.--|--.--.--x--x--x--.--x--x--x--|        . tick   x period that passed without one
//                     \______ this generation ____/
//
// The BPF program adds what it sees at each tick (stats.not_fired, signed: from F0 or the last tick
// to this one, less one). What is due between a CPU's last tick and the flip it cannot see: that is
// added here, and the program starts the next generation from the flip, so that each period counts
// once, in the bucket it fell due in.

import type { Counters } from '../../storage/model/completeness.js';

/** One CPU's clock as read after the flip. **Units**: ktime ns and counts of periods. */
export interface ClockReading {
  readonly cpu: number;
  readonly anchorKtimeNs: bigint;
  /** Of the last tick: periods due up to it, and the generation it fell in. */
  readonly due: bigint;
  readonly generation: number;
  /** The same of the last tick in an earlier generation than that. */
  readonly dueBeforeFlip: bigint;
  readonly generationBeforeFlip: number;
}

/** Sums over all CPUs of one generation and sample type, from struct fk_sample_stats. */
export interface StatsSums {
  readonly captured: number;
  /** Sum of the weights of what was captured. */
  readonly capturedWeight: number;
  readonly idle: number;
  readonly notFired: number;
  /** By reason's name. */
  readonly lost: Readonly<Record<string, number>>;
}

export class TickAccounts {
  readonly #periodNs: bigint;
  /** CPU -> its anchor and the periods due at the last flip, already accounted for. */
  readonly #cpus = new Map<number, { anchor: bigint; dueAtFlip: bigint }>();
  /** What CPUs that went away since the last flip leave behind. */
  #leftExpected = 0n;
  #leftPending = 0n;

  constructor(periodNs: bigint) {
    this.#periodNs = periodNs;
  }

  /** Counters of the generation `retired`, which ended at `flipKtimeNs`. */
  close(
    flipKtimeNs: bigint,
    retired: number,
    clocks: readonly ClockReading[],
    stats: StatsSums,
  ): Counters {
    let expected = this.#leftExpected;
    let pending = this.#leftPending;
    this.#leftExpected = 0n;
    this.#leftPending = 0n;
    for (const clock of clocks) {
      if (clock.anchorKtimeNs === 0n || clock.anchorKtimeNs > flipKtimeNs) continue;
      const due = this.#dueSinceFlip(clock, flipKtimeNs, retired);
      expected += due.expected;
      pending += due.pending;
      this.#cpus.set(clock.cpu, { anchor: clock.anchorKtimeNs, dueAtFlip: due.dueNow });
    }
    const counters: Record<string, number> = {
      expected: Number(expected),
      captured: stats.captured,
      idle: stats.idle,
      not_fired: stats.notFired + Number(pending),
    };
    for (const [reason, count] of Object.entries(stats.lost)) {
      if (count > 0) counters[`lost.${reason}`] = count;
    }
    return counters;
  }

  /** The CPU goes away at `atKtimeNs` in `generation`; when it comes back its
   *  clock starts with a new anchor. */
  retire(clock: ClockReading, atKtimeNs: bigint, generation: number): void {
    if (clock.anchorKtimeNs === 0n) return;
    const due = this.#dueSinceFlip(clock, atKtimeNs, generation);
    this.#leftExpected += due.expected;
    this.#leftPending += due.pending;
    this.#cpus.delete(clock.cpu);
  }

  /** A CPU's periods since the last flip, and those of them that its ticks in
   *  `generation` did not tell of. */
  #dueSinceFlip(clock: ClockReading, atKtimeNs: bigint, generation: number) {
    const dueNow = (atKtimeNs - clock.anchorKtimeNs) / this.#periodNs;
    const known = this.#cpus.get(clock.cpu);
    const dueBefore =
      known !== undefined && known.anchor === clock.anchorKtimeNs ? known.dueAtFlip : 0n;
    let told = dueBefore;
    if (clock.generation === generation) told = clock.due;
    else if (clock.generationBeforeFlip === generation) told = clock.dueBeforeFlip;
    return { dueNow, expected: dueNow - dueBefore, pending: dueNow - told };
  }
}
