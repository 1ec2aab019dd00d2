// What was read each second of the last minutes, in memory that both threads see: the front writes,
// the back answers, nothing is sent. One column a key; a column takes memory once it is used.
//
//   head (u32): rounds written | columns | bytes of names
//   times  (i64 a slot): unix ns of the reading        spans (f64 a slot): ns since the one before
//   values (f64): column 0: slot 0 1 2 ... | column 1: slot 0 1 2 ...      NaN: nothing to tell
//   names  (u8): ["cpu",0,"user"]\n for each column
//
// The slot that is written next may change while it is read, so the oldest two are not read.

import type { HostStreamName } from '../../storage/model/host-streams.js';
import type { Taken } from './readings.js';

const MAX_COLUMNS = 2048;
const MAX_NAMES_BYTES = 256 << 10;
const HEAD_BYTES = 16;
const [ROUNDS, COLUMNS, NAMES_BYTES] = [0, 1, 2];
const SPARE_SLOTS = 2;

export interface Column {
  readonly stream: HostStreamName;
  readonly keys: readonly (string | number)[];
}

/** Memory for so many seconds; undefined for none. */
export function createSecondsMemory(seconds: number): SharedArrayBuffer | undefined {
  if (seconds === 0) return undefined;
  const slots = seconds + SPARE_SLOTS;
  return new SharedArrayBuffer(HEAD_BYTES + 8 * slots * (2 + MAX_COLUMNS) + MAX_NAMES_BYTES);
}

class SecondsMemory {
  readonly slots: number;
  readonly head: Int32Array;
  readonly times: BigInt64Array;
  readonly spans: Float64Array;
  readonly values: Float64Array;
  readonly names: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    const slots = (memory.byteLength - HEAD_BYTES - MAX_NAMES_BYTES) / (8 * (2 + MAX_COLUMNS));
    this.slots = slots;
    this.head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.times = new BigInt64Array(memory, HEAD_BYTES, slots);
    this.spans = new Float64Array(memory, HEAD_BYTES + 8 * slots, slots);
    this.values = new Float64Array(memory, HEAD_BYTES + 16 * slots, MAX_COLUMNS * slots);
    this.names = new Uint8Array(memory, memory.byteLength - MAX_NAMES_BYTES);
  }
}

/** The front's side. */
export class SecondsWriter {
  /** Values that found no column. */
  overLimit = 0;
  readonly #memory: SecondsMemory;
  /** Id of a series -> its column. */
  readonly #columns = new Map<number, number>();

  constructor(memory: SharedArrayBuffer) {
    this.#memory = new SecondsMemory(memory);
  }

  write({ series, values }: Taken, { unixNs, spanNs }: { unixNs: bigint; spanNs: number }): void {
    const memory = this.#memory;
    const { slots, head } = memory;
    const rounds = Atomics.load(head, ROUNDS);
    const slot = rounds % slots;
    memory.times[slot] = unixNs;
    memory.spans[slot] = spanNs;
    for (let column = 0; column < this.#columns.size; column++) {
      memory.values[column * slots + slot] = NaN;
    }
    for (let i = 0; i < series.length; i++) {
      const { id, stream, keys } = series[i]!;
      const column = this.#columns.get(id) ?? this.#add(id, [stream, ...keys]);
      if (column === undefined) this.overLimit++;
      else memory.values[column * slots + slot] = values[i]!;
    }
    Atomics.store(head, ROUNDS, rounds + 1);
  }

  #add(id: number, name: readonly (string | number)[]): number | undefined {
    const { head, names, slots, values } = this.#memory;
    const column = this.#columns.size;
    const bytes = Buffer.from(`${JSON.stringify(name)}\n`);
    const at = head[NAMES_BYTES]!;
    if (column === MAX_COLUMNS || at + bytes.length > MAX_NAMES_BYTES) return undefined;
    names.set(bytes, at);
    values.fill(NaN, column * slots, (column + 1) * slots);
    this.#columns.set(id, column);
    head[NAMES_BYTES] = at + bytes.length;
    Atomics.store(head, COLUMNS, column + 1);
    return column;
  }
}

/** One reading: its place in `valueAt`, when, and how long since the one before. */
export interface Second {
  readonly slot: number;
  readonly unixNs: bigint;
  readonly spanNs: number;
}

/** The back's side. */
export class SecondsReader {
  readonly #memory: SecondsMemory;
  #columns: readonly Column[] = [];

  constructor(memory: SharedArrayBuffer) {
    this.#memory = new SecondsMemory(memory);
  }

  /** By their number. */
  columns(): readonly Column[] {
    const { head, names } = this.#memory;
    const count = Atomics.load(head, COLUMNS);
    if (count === this.#columns.length) return this.#columns;
    const lines = Buffer.from(names.slice(0, head[NAMES_BYTES])).toString('utf8').split('\n');
    this.#columns = lines.slice(0, count).map((line) => {
      const [stream, ...keys] = JSON.parse(line) as [HostStreamName, ...(string | number)[]];
      return { stream, keys };
    });
    return this.#columns;
  }

  /** The readings there are, the oldest first. */
  seconds(): readonly Second[] {
    const { head, slots, times, spans } = this.#memory;
    const rounds = Atomics.load(head, ROUNDS);
    const seconds: Second[] = [];
    for (let round = Math.max(0, rounds - slots + SPARE_SLOTS); round < rounds; round++) {
      const slot = round % slots;
      seconds.push({ slot, unixNs: times[slot]!, spanNs: spans[slot]! });
    }
    return seconds;
  }

  /** undefined: nothing was told. */
  valueAt(column: number, slot: number): number | undefined {
    const { slots, values } = this.#memory;
    const value = values[column * slots + slot]!;
    return Number.isNaN(value) ? undefined : value;
  }
}
