// Draining without loss: programs write to one of two generations of maps; flip, wait 2 ms until
// the last of them has left the old one, then take it out in batches.
//
//   programs    ── generation 0 ──┊── generation 1 ──────────────
//   front                        flip ─ 2 ms ─ drain(0)

import { assert } from '../storage/model/errors.js';
import type { LoadedProbe } from './loaded-probe.js';
import type { BpfMap } from './map.js';

/** To wait between flip() and draining: every program that saw the old generation is through by
 *  then. A timer may fire up to 1 ms early: ask it for one more. */
export const FLIP_PAUSE_MS = 2;

export const GENERATIONS = 2;

export interface Flip {
  /** What is to be drained. */
  readonly retired: number;
  /** CLOCK_MONOTONIC. */
  readonly flipKtimeNs: bigint;
}

/** The generations of one probe. */
export class Generations {
  readonly #count: Uint32Array;
  readonly #flipKtimeNs: BigUint64Array;

  constructor(probe: LoadedProbe) {
    this.#count = probe.globals.u32('fk_generation');
    this.#flipKtimeNs = probe.globals.u64('fk_flip_ktime_ns');
  }

  /** Counts the flips; its lowest bit says where the programs write. */
  get count(): number {
    return Atomics.load(this.#count, 0);
  }

  /** Sends the programs to the other generation, which must have been drained. */
  flip(): Flip {
    const retired = this.count % GENERATIONS;
    const flipKtimeNs = process.hrtime.bigint();
    Atomics.store(this.#flipKtimeNs, 0, flipKtimeNs);
    Atomics.add(this.#count, 0, 1);
    return { retired, flipKtimeNs };
  }

  checkRetired(generation: number): void {
    assert(generation !== this.count % GENERATIONS, 'only a retired generation is drained');
  }
}

/** Takes entries of a per-CPU array whose values are 64-bit sums, in order: added over the CPUs,
 *  and set to 0. **Errors**: throws CallError. */
export function takePerCpuSums(map: BpfMap, first: number, entries: number): BigUint64Array {
  const words = map.valueSize / 8;
  const sums = new BigUint64Array(entries * words);
  const zero = new Uint8Array(map.elementSize);
  for (let entry = 0; entry < entries; entry++) {
    const key = new Uint8Array(Uint32Array.of(first + entry).buffer);
    const perCpu = map.lookup(key);
    assert(perCpu !== undefined, `map ${map.name} is an array`);
    const values = new BigUint64Array(perCpu.buffer);
    values.forEach((value, index) => (sums[entry * words + (index % words)]! += value));
    map.update(key, zero);
  }
  return sums;
}

/** Little-endian u64s, exact below 2^53. */
export function toNumbers(bytes: Uint8Array): Float64Array {
  const halves = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const numbers = new Float64Array(halves.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = halves[2 * i]! + halves[2 * i + 1]! * 2 ** 32;
  }
  return numbers;
}
