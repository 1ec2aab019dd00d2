// Draining histograms and counters by key, generation by generation, and the counters beside them.

import type { MetricOutput } from './descriptor.js';
import { Generations, takePerCpuSums, toNumbers } from './generations.js';
import type { Flip } from './generations.js';
import type { LoadedProbe } from './loaded-probe.js';
import { BatchBuffer, type BpfMap, type MapFill } from './map.js';

/** One output's content, valid until the next drain. **Shape**: entry i has its key at i * key size
 *  and its numbers at i * numbers per entry. */
export interface DrainedKeys {
  readonly count: number;
  readonly keys: Uint8Array;
  /** The value's __u64s, exact below 2^53. */
  readonly values: Float64Array;
  /** The members of the struct of `stats`, summed over all CPUs; empty without one. */
  readonly stats: Float64Array;
}

interface Drain {
  readonly map: BpfMap;
  readonly stats: BpfMap | undefined;
  readonly buffer: BatchBuffer;
}

/** All outputs of one probe that are kept by key. */
export class KeyedMaps {
  readonly #generations: Generations;
  readonly #drains: readonly Drain[];
  /** Of the last drain, one an output. */
  fills: readonly MapFill[] = [];

  constructor(probe: LoadedProbe, outputs: readonly MetricOutput[]) {
    this.#generations = new Generations(probe);
    this.#drains = outputs.map(({ map: name, stats }) => {
      const map = probe.map(name);
      const buffer = new BatchBuffer(map.inner(0));
      return { map, buffer, stats: stats === undefined ? undefined : probe.map(stats) };
    });
  }

  /** Sends the programs to the other generation, which must have been drained. */
  flip(): Flip {
    return this.#generations.flip();
  }

  /** Empties a retired generation, FLIP_PAUSE_MS or more after its flip; one entry an output.
   *  **Errors**: throws CallError. */
  drain(retired: number): DrainedKeys[] {
    this.#generations.checkRetired(retired);
    const drained = this.#drains.map(({ map, stats, buffer }) => {
      const { count, keys, values } = map.inner(retired).drainBatch(buffer);
      const sums = stats === undefined ? new BigUint64Array() : takePerCpuSums(stats, retired, 1);
      return { count, keys, values: toNumbers(values), stats: Float64Array.from(sums, Number) };
    });
    this.fills = this.#drains.map(({ map }, i) => {
      return { map: map.name, share: drained[i]!.count / map.inner(retired).maxEntries };
    });
    return drained;
  }
}
