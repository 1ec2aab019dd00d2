// Draining weighted stacks, their counters and clocks, generation by generation. Hot path: typed
// arrays only; nothing is decoded here but the weights.

import type { MemoryMap } from '../ffi/memory-map.js';
import { assert } from '../storage/model/errors.js';
import type { StackOutput } from './descriptor.js';
import * as wire from './generated/wire.js';
import { GENERATIONS, Generations, takePerCpuSums, toNumbers } from './generations.js';
import type { Flip } from './generations.js';
import type { LoadedProbe } from './loaded-probe.js';
import { BatchBuffer, valueStride, type BpfMap, type MapFill } from './map.js';

const WEIGHT_BYTES = 8;
const HASH_BYTES = 8;

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
  readonly #generations: Generations;
  readonly #countBatch: BatchBuffer;
  readonly #stackBatch: BatchBuffer;
  /** Of the last drain. */
  fills: readonly MapFill[] = [];

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
    this.#generations = new Generations(probe);
    this.#countBatch = new BatchBuffer(this.#counts.inner(0));
    this.#stackBatch = new BatchBuffer(this.#stacks.inner(0));
    this.#clockMap = clocks.mapValues();
    this.clocks = new DataView(this.#clockMap.bytes, 0, clocks.maxEntries * wire.FK_CLOCK_SIZE);
  }

  /** Counts the flips; its lowest bit says where the programs write. As in fk_clock.generation. */
  get generation(): number {
    return this.#generations.count;
  }

  /** Sends the programs to the other generation, which must have been drained. */
  flip(): Flip {
    return this.#generations.flip();
  }

  /** Empties a retired generation, FLIP_PAUSE_MS or more after its flip.
   *  **Errors**: throws CallError. */
  drain(retired: number): Drained {
    this.#generations.checkRetired(retired);
    const types = wire.FkLimit.FK_SAMPLE_TYPES;
    const counts = this.#counts.inner(retired).drainBatch(this.#countBatch);
    const stacks = this.#stacks.inner(retired).drainBatch(this.#stackBatch);
    this.fills = [
      { map: this.#counts.name, share: counts.count / this.#counts.inner(retired).maxEntries },
      { map: this.#stacks.name, share: stacks.count / this.#stacks.inner(retired).maxEntries },
    ];
    return {
      count: counts.count,
      keys: counts.keys,
      weights: toNumbers(counts.values),
      stackCount: stacks.count,
      stackHashes: new BigUint64Array(stacks.keys.buffer, stacks.keys.byteOffset, stacks.count),
      stacks: stacks.values,
      stats: new DataView(takePerCpuSums(this.#stats, retired * types, types).buffer),
      clocks: new DataView(this.#clockMap.bytes.slice(0, this.clocks.byteLength)),
    };
  }

  /** Before the probe is closed. */
  close(): void {
    this.#clockMap.close();
  }
}

function checkSizes(map: BpfMap, keyBytes: number, valueBytes: number): void {
  const isAsDeclared = map.keySize === keyBytes && map.valueSize === valueBytes;
  assert(isAsDeclared, `map ${map.name} has keys of ${keyBytes} and values of ${valueBytes} bytes`);
  assert(valueStride(valueBytes) === valueBytes, `values of ${map.name} lie without gaps`);
}
