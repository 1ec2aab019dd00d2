// The texts that were read each second of the last minutes, in memory that both threads see: the front
// writes them as they are, the back parses what it is asked for, nothing is sent. Parsing each second
// would cost several times as much as reading.
//
//   head (i32): rounds written
//   times (i64 a slot): unix ns of the reading       spans (f64 a slot): ns since the one before
//   starts (f64 a slot): bytes written before it     lengths (u32 a slot and file)
//   bytes: a ring; a second that has been overwritten is gone
//
// What is written next may change while it is read: seconds that it could touch are not given.

export const maxFiles = 8;
const HEAD_BYTES = 16;
const ROUNDS = 0;
/** More than the files of one second can have. */
const MAX_RECORD_BYTES = 128 << 10;
/** Two that may change, and the one before the oldest, from which its counters grew. */
const SPARE_SLOTS = 3;
const SLOT_BYTES = 8 * 3 + 4 * maxFiles;
/** Files grow as numbers do. */
const GROWTH = 1.2;
const MAX_RING_BYTES = 32 << 20;

/** Memory for so many seconds of `recordBytes` each; undefined for none. */
export function createSecondsMemory(
  seconds: number,
  recordBytes: number,
): SharedArrayBuffer | undefined {
  if (seconds === 0) return undefined;
  const slots = seconds + SPARE_SLOTS;
  const wanted = Math.ceil(seconds * recordBytes * GROWTH) + 2 * MAX_RECORD_BYTES;
  const ringBytes = Math.min(MAX_RING_BYTES, wanted);
  return new SharedArrayBuffer(HEAD_BYTES + 8 + slots * SLOT_BYTES + ringBytes);
}

class SecondsMemory {
  readonly slots: number;
  readonly head: Int32Array;
  readonly times: BigInt64Array;
  readonly spans: Float64Array;
  readonly starts: Float64Array;
  readonly lengths: Uint32Array;
  readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer, seconds: number) {
    const slots = seconds + SPARE_SLOTS;
    const at = (words: number) => HEAD_BYTES + 8 * slots * words;
    this.slots = slots;
    this.head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.times = new BigInt64Array(memory, at(0), slots);
    this.spans = new Float64Array(memory, at(1), slots);
    this.starts = new Float64Array(memory, at(2), slots);
    this.lengths = new Uint32Array(memory, at(3), slots * maxFiles);
    this.bytes = new Uint8Array(memory, HEAD_BYTES + 8 + slots * SLOT_BYTES);
  }
}

/** The front's side: begin, append the files of the second in their order, end. */
export class SecondsWriter {
  /** Files that were too long to keep. */
  overLimit = 0;
  readonly #memory: SecondsMemory;
  #written = 0;
  #slot = 0;
  #file = 0;
  #recordBytes = 0;

  constructor(memory: SharedArrayBuffer, seconds: number) {
    this.#memory = new SecondsMemory(memory, seconds);
  }

  begin(): void {
    const { head, slots, starts, lengths } = this.#memory;
    this.#slot = Atomics.load(head, ROUNDS) % slots;
    this.#file = 0;
    this.#recordBytes = 0;
    starts[this.#slot] = this.#written;
    lengths.fill(0, this.#slot * maxFiles, (this.#slot + 1) * maxFiles);
  }

  /** The next file, in parts; none when it is not there. */
  append(parts: readonly Uint8Array[]): void {
    const lengthBytes = parts.reduce((sum, { length }) => sum + length, 0);
    const place = this.#slot * maxFiles + this.#file++;
    if (this.#recordBytes + lengthBytes > MAX_RECORD_BYTES) {
      this.overLimit++;
      return;
    }
    this.#recordBytes += lengthBytes;
    this.#memory.lengths[place] = lengthBytes;
    for (const part of parts) this.#copy(part);
  }

  end({ unixNs, spanNs }: { readonly unixNs: bigint; readonly spanNs: number }): void {
    const { head, times, spans } = this.#memory;
    times[this.#slot] = unixNs;
    spans[this.#slot] = spanNs;
    Atomics.store(head, ROUNDS, Atomics.load(head, ROUNDS) + 1);
  }

  #copy(part: Uint8Array): void {
    const { bytes } = this.#memory;
    const at = this.#written % bytes.length;
    const room = bytes.length - at;
    bytes.set(part.length > room ? part.subarray(0, room) : part, at);
    if (part.length > room) bytes.set(part.subarray(room), 0);
    this.#written += part.length;
  }
}

/** One reading: when, and how long since the one before. */
export interface Second {
  readonly slot: number;
  readonly unixNs: bigint;
  readonly spanNs: number;
}

/** The back's side. */
export class SecondsReader {
  readonly #memory: SecondsMemory;

  constructor(memory: SharedArrayBuffer, seconds: number) {
    this.#memory = new SecondsMemory(memory, seconds);
  }

  /** The readings there are, the oldest first. */
  seconds(): readonly Second[] {
    const { head, slots, times, spans, starts, bytes } = this.#memory;
    const rounds = Atomics.load(head, ROUNDS);
    if (rounds === 0) return [];
    // The newest second begins here; what is behind it by the ring's length is being overwritten.
    const newest = starts[(rounds - 1) % slots]!;
    const oldest = newest + 2 * MAX_RECORD_BYTES - bytes.length;
    const seconds: Second[] = [];
    for (let round = Math.max(0, rounds - slots + 2); round < rounds; round++) {
      const slot = round % slots;
      if (starts[slot]! < oldest) continue;
      seconds.push({ slot, unixNs: times[slot]!, spanNs: spans[slot]! });
    }
    return seconds;
  }

  /** A file's text by its number in the order they were appended; '' when it was not there. */
  textAt(slot: number, file: number): string {
    const { starts, lengths, bytes } = this.#memory;
    const own = lengths.subarray(slot * maxFiles, slot * maxFiles + file);
    const start = own.reduce((sum, lengthBytes) => sum + lengthBytes, starts[slot]!);
    const lengthBytes = lengths[slot * maxFiles + file]!;
    const at = start % bytes.length;
    const end = at + lengthBytes;
    const copy = Buffer.allocUnsafe(lengthBytes);
    copy.set(bytes.subarray(at, Math.min(end, bytes.length)));
    if (end > bytes.length) copy.set(bytes.subarray(0, end - bytes.length), bytes.length - at);
    return copy.toString('utf8');
  }
}
