// Draining weighted stacks without loss: programs write to one of two generations; flip, wait 2 ms
// until the last of them has left the old one, then take it out in batches.
//
//   programs    ── generation 0 ──┊── generation 1 ──────────────
//   front                        flip ─ 2 ms ─ drain(0)
//
// Hot path: typed arrays only; nothing is decoded here but the weights.

import type { MemoryMap } from '../ffi/memory-map.js';
import { assert } from '../storage/model/errors.js';
import type { StackOutput } from './descriptor.js';
import * as wire from './generated/wire.js';
import type { LoadedProbe } from './loaded-probe.js';
import { BatchBuffer, valueStride, type BpfMap } from './map.js';

/** To wait between flip() and drain(): every program that saw the old generation is through by
 *  then. A timer may fire up to 1 ms early: ask it for one more. */
export const FLIP_PAUSE_MS = 2;

const GENERATIONS = 2;
const WEIGHT_BYTES = 8;
const HASH_BYTES = 8;

export interface Flip {
  /** What to give to drain(). */
  readonly retired: number;
  /** CLOCK_MONOTONIC. */
  readonly flipKtimeNs: bigint;
}

/** One generation's content, valid until the next drain. A stack may come
 *  one generation before its counts.
 */
export interface Drained {
  readonly count: number;
  /** struct fk_sample_key, one after the other. */
  readonly keys: Uint8Array;
  /** One for each key; exact below 2^53. */
  readonly weights: Float64Array;
  readonly stackCount: number;
  /** Content hash of each stack. */
  readonly stackHashes: BigUint64Array;
  /** struct fk_stack, one after the other. */
  readonly stacks: Uint8Array;
  /** struct fk_sample_stats for each sample type, summed over all CPUs. */
  readonly stats: DataView;
  /** struct fk_clock for each CPU, copied after the flip. */
  readonly clocks: DataView;
}

export class DoubleBuffer {
  /** struct fk_clock for each CPU, shared with the kernel; a CPU's entry is ours only while
   *  its clock event is disabled. */
  readonly clocks: DataView;
  readonly #counts: BpfMap;
  readonly #stacks: BpfMap;
  readonly #stats: BpfMap;
  readonly #clockMap: MemoryMap;
  readonly #generation: Uint32Array;
  readonly #flipKtimeNs: BigUint64Array;
  readonly #countBatch: BatchBuffer;
  readonly #stackBatch: BatchBuffer;

  /** **Errors**: sizes that are not those of the wire structs are an
   *  assertion; throws CallError. */
  constructor(probe: LoadedProbe, output: StackOutput) {
    this.#counts = probe.map(output.counts);
    this.#stacks = probe.map(output.stacks);
    this.#stats = probe.map(output.stats);
    const clocks = probe.map(output.clocks);
    for (let index = 0; index < GENERATIONS; index++) {
      checkSizes(this.#counts.inner(index), wire.FK_SAMPLE_KEY_SIZE, WEIGHT_BYTES);
      checkSizes(this.#stacks.inner(index), HASH_BYTES, wire.FK_STACK_SIZE);
    }
    checkSizes(this.#stats, 4, wire.FK_SAMPLE_STATS_SIZE);
    checkSizes(clocks, 4, wire.FK_CLOCK_SIZE);
    assert(
      this.#stats.maxEntries === GENERATIONS * wire.FkLimit.FK_SAMPLE_TYPES,
      `map ${this.#stats.name} has an entry for each generation and sample type`,
    );
    this.#generation = probe.globals.u32('fk_generation');
    this.#flipKtimeNs = probe.globals.u64('fk_flip_ktime_ns');
    this.#countBatch = new BatchBuffer(this.#counts.inner(0));
    this.#stackBatch = new BatchBuffer(this.#stacks.inner(0));
    this.#clockMap = clocks.mapValues();
    this.clocks = new DataView(this.#clockMap.bytes, 0, clocks.maxEntries * wire.FK_CLOCK_SIZE);
  }

  /** Counts the flips; its lowest bit says where the programs write. As in fk_clock.generation. */
  get generation(): number {
    return Atomics.load(this.#generation, 0);
  }

  /** Sends the programs to the other generation, which must have been drained. */
  flip(): Flip {
    const retired = this.generation % GENERATIONS;
    const flipKtimeNs = process.hrtime.bigint();
    Atomics.store(this.#flipKtimeNs, 0, flipKtimeNs);
    Atomics.add(this.#generation, 0, 1);
    return { retired, flipKtimeNs };
  }

  /** Empties a retired generation, FLIP_PAUSE_MS or more after its flip.
   *  **Errors**: throws CallError. */
  drain(retired: number): Drained {
    assert(retired !== this.generation % GENERATIONS, 'only a retired generation is drained');
    const counts = this.#counts.inner(retired).drainBatch(this.#countBatch);
    const stacks = this.#stacks.inner(retired).drainBatch(this.#stackBatch);
    return {
      count: counts.count,
      keys: counts.keys,
      weights: toWeights(counts.values),
      stackCount: stacks.count,
      stackHashes: new BigUint64Array(stacks.keys.buffer, stacks.keys.byteOffset, stacks.count),
      stacks: stacks.values,
      stats: this.#takeStats(retired),
      clocks: new DataView(this.#clockMap.bytes.slice(0, this.clocks.byteLength)),
    };
  }

  /** Before the probe is closed. */
  close(): void {
    this.#clockMap.close();
  }

  /** All fields of the struct are 64-bit sums, so they are added without knowing them. */
  #takeStats(retired: number): DataView {
    const types = wire.FkLimit.FK_SAMPLE_TYPES;
    const words = wire.FK_SAMPLE_STATS_SIZE / 8;
    const sums = new BigUint64Array(types * words);
    const zero = new Uint8Array(this.#stats.elementSize);
    for (let type = 0; type < types; type++) {
      const key = new Uint8Array(Uint32Array.of(retired * types + type).buffer);
      const perCpu = this.#stats.lookup(key);
      assert(perCpu !== undefined, `map ${this.#stats.name} is an array`);
      const values = new BigUint64Array(perCpu.buffer);
      values.forEach((value, index) => (sums[type * words + (index % words)]! += value));
      this.#stats.update(key, zero);
    }
    return new DataView(sums.buffer);
  }
}

function checkSizes(map: BpfMap, keyBytes: number, valueBytes: number): void {
  const isAsDeclared = map.keySize === keyBytes && map.valueSize === valueBytes;
  assert(isAsDeclared, `map ${map.name} has keys of ${keyBytes} and values of ${valueBytes} bytes`);
  assert(valueStride(valueBytes) === valueBytes, `values of ${map.name} lie without gaps`);
}

function toWeights(values: Uint8Array): Float64Array {
  const halves = new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
  const weights = new Float64Array(halves.length / 2);
  for (let i = 0; i < weights.length; i++) {
    weights[i] = halves[2 * i]! + halves[2 * i + 1]! * 2 ** 32;
  }
  return weights;
}
