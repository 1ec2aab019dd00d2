// Symbols that may overlap -> disjoint ranges, sorted by start. The rules stand in symbols.ts. (hot: typed
// arrays only)

export const symbolFlag = {
  /** Its name is in the dynamic string table. */
  dynamic: 1,
  guess: 2,
  local: 4,
  weak: 8,
  /** `names` is an index into the alias list: a count, then that many string offsets. */
  aliases: 16,
} as const;

const maxSymbols = 2 ** 21;
const maxAliases = 64;

/** Growing columns, 13 bytes a row. **Units**: addresses relative to the file's lowest segment, string table
 *  offsets. */
export class SymbolColumns {
  starts = new Uint32Array(256);
  ends = new Uint32Array(256);
  names = new Uint32Array(256);
  flags = new Uint8Array(256);
  count = 0;

  get byteLength(): number {
    return this.starts.byteLength + this.ends.byteLength + this.names.byteLength + this.flags.byteLength;
  }

  /** False, and nothing added, when 2^21 rows are there. */
  push(start: number, end: number, name: number, flags: number): boolean {
    if (this.count === maxSymbols) return false;
    if (this.count === this.starts.length) this.#resize(this.count * 2);
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.names[this.count] = name;
    this.flags[this.count] = flags;
    this.count++;
    return true;
  }

  /** Gives back the room that is not used. */
  trim(): void {
    this.#resize(this.count);
  }

  #resize(length: number): void {
    const { starts, ends, names, flags } = this;
    const count = Math.min(length, this.count);
    (this.starts = new Uint32Array(length)).set(starts.subarray(0, count));
    (this.ends = new Uint32Array(length)).set(ends.subarray(0, count));
    (this.names = new Uint32Array(length)).set(names.subarray(0, count));
    (this.flags = new Uint8Array(length)).set(flags.subarray(0, count));
  }
}

/** Index of the last of the first `count` sorted values that is not above `value`, or -1. */
export function lastAtOrBelow(sorted: Uint32Array, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Ranges beyond 2^21 are dropped, the highest ones. Marks aliases in `symbols` itself. */
export function layFlat(symbols: SymbolColumns): { columns: SymbolColumns; aliases: Uint32Array } {
  const order = sortedByStart(symbols);
  const sweep = new Sweep(symbols);
  for (let from = 0, to = 0; from < order.length; from = to) {
    const start = symbols.starts[order[from]!]!;
    let own = from; // equal rows stay in the order in which they were pushed: those of .symtab come first
    for (; to < order.length && symbols.starts[order[to]!]! === start; to++) {
      if ((symbols.flags[order[to]!]! & symbolFlag.dynamic) === 0) own = to + 1;
    }
    if (own === from) own = to;
    sweep.advance(start);
    if (own - from === 1) sweep.enter(start, order[from]!);
    else sweep.enterGroup(start, order.subarray(from, own));
  }
  sweep.advance(2 ** 32);
  sweep.ranges.trim();
  return { columns: sweep.ranges, aliases: Uint32Array.from(sweep.aliases) };
}

/** Row numbers in order of start, equal ones in order of row: a radix sort of two 16-bit digits. */
function sortedByStart({ starts, count }: SymbolColumns): Uint32Array {
  let order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  for (const shift of [0, 16]) {
    const places = new Uint32Array(65_537);
    for (let i = 0; i < count; i++) places[((starts[i]! >>> shift) & 0xffff) + 1]!++;
    for (let digit = 0; digit < 65_536; digit++) places[digit + 1]! += places[digit]!;
    const sorted = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const row = order[i]!;
      sorted[places[(starts[row]! >>> shift) & 0xffff]!++] = row;
    }
    order = sorted;
  }
  return order;
}

/** Negative when `a` goes before `b`, 0 when only their names can tell. */
function preference(symbols: SymbolColumns, a: number, b: number): number {
  const byFlags = preferenceOfFlags(symbols.flags[a]!) - preferenceOfFlags(symbols.flags[b]!);
  return byFlags !== 0 ? byFlags : symbols.ends[b]! - symbols.ends[a]!;
}

function preferenceOfFlags(flags: number): number {
  const binding = (flags & symbolFlag.weak) !== 0 ? 2 : (flags & symbolFlag.local) !== 0 ? 1 : 0;
  return ((flags & symbolFlag.guess) !== 0 ? 4 : 0) + binding;
}

/** Goes over the addresses upwards with a stack of the symbols that are open; the top one owns the code. */
class Sweep {
  readonly ranges = new SymbolColumns();
  readonly aliases: number[] = [];
  readonly #symbols: SymbolColumns;
  readonly #open: number[] = [];
  /** Everything below is done. */
  #at = 0;

  constructor(symbols: SymbolColumns) {
    this.#symbols = symbols;
  }

  /** Emits what is open up to `address`, and closes what ends there. */
  advance(address: number): void {
    const { ends, names, flags } = this.#symbols;
    while (this.#open.length > 0) {
      const top = this.#open[this.#open.length - 1]!;
      const end = Math.min(ends[top]!, address);
      if (end > this.#at) {
        this.ranges.push(this.#at, end, names[top]!, flags[top]!);
        this.#at = end;
      }
      if (ends[top]! > address) return;
      this.#open.pop();
    }
  }

  /** Opens a symbol that begins here, inside of those that are open. A guess ends where any other begins. */
  enter(start: number, row: number): void {
    const { flags } = this.#symbols;
    const top = this.#open.length === 0 ? undefined : this.#open[this.#open.length - 1]!;
    if (top !== undefined && (flags[top]! & symbolFlag.guess) !== 0) this.#open.pop();
    if (this.#open.length > 0 && (flags[row]! & symbolFlag.guess) !== 0) return;
    this.#open.push(row);
    this.#at = start;
  }

  /** Opens the preferred symbol of those that begin here, inside of those that reach beyond it. */
  enterGroup(start: number, group: Uint32Array): void {
    const { ends, flags } = this.#symbols;
    let best = group[0]!;
    for (const row of group) if (preference(this.#symbols, row, best) < 0) best = row;
    this.#noteAliases(group, best);
    if ((flags[best]! & symbolFlag.guess) === 0) {
      const wider: number[] = [];
      for (const row of group) {
        if (ends[row]! > ends[best]! && (flags[row]! & symbolFlag.guess) === 0) wider.push(row);
      }
      wider.sort((a, b) => ends[b]! - ends[a]! || a - b);
      for (const row of wider) this.enter(start, row);
    }
    this.enter(start, best);
  }

  #noteAliases(group: Uint32Array, best: number): void {
    const { names, flags } = this.#symbols;
    const equals: number[] = [];
    for (const row of group) {
      const isEqual = preference(this.#symbols, row, best) === 0;
      if (isEqual && !equals.includes(names[row]!)) equals.push(names[row]!);
      if (equals.length === maxAliases) break;
    }
    if (equals.length < 2) return;
    names[best] = this.aliases.length;
    flags[best]! |= symbolFlag.aliases;
    this.aliases.push(equals.length, ...equals);
  }
}
