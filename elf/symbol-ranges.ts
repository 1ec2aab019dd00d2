// Symbols that may overlap -> disjoint ranges, sorted by start. The rules stand in
// symbols.ts. (hot: typed arrays only)

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
const maxGroup = 1024;

/** Columns of rows, 13 bytes a row. Room that is asked for but not written to costs no memory: the
 *  kernel gives pages at the first write. **Units**: addresses relative to the file's lowest
 *  segment, string table offsets. */
export class SymbolColumns {
  starts: Uint32Array;
  ends: Uint32Array;
  names: Uint32Array;
  flags: Uint8Array;
  count = 0;

  /** At most 2^21 rows. */
  constructor(rows: number) {
    const length = Math.min(rows, maxSymbols);
    this.starts = new Uint32Array(length);
    this.ends = new Uint32Array(length);
    this.names = new Uint32Array(length);
    this.flags = new Uint8Array(length);
  }

  get byteLength(): number {
    return (
      this.starts.byteLength + this.ends.byteLength + this.names.byteLength + this.flags.byteLength
    );
  }

  /** False, and nothing added, when there is no room. */
  push(start: number, end: number, name: number, flags: number): boolean {
    const row = this.count;
    if (row === this.starts.length) return false;
    this.starts[row] = start;
    this.ends[row] = end;
    this.names[row] = name;
    this.flags[row] = flags;
    this.count = row + 1;
    return true;
  }

  /** Gives back the room that is not used. */
  trim(): void {
    this.starts = this.starts.slice(0, this.count);
    this.ends = this.ends.slice(0, this.count);
    this.names = this.names.slice(0, this.count);
    this.flags = this.flags.slice(0, this.count);
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

/** Ranges beyond 2^21 are dropped, those of the highest addresses. Marks
 *  aliases in `symbols` itself. */
export function layFlat(symbols: SymbolColumns): { columns: SymbolColumns; aliases: Uint32Array } {
  const order = sortedByStart(symbols);
  const sweep = new Sweep(symbols);
  for (let next = 0; next < order.length; ) next = sweep.enterNext(order, next);
  sweep.advance(2 ** 32);
  sweep.ranges.trim();
  return { columns: sweep.ranges, aliases: Uint32Array.from(sweep.aliases) };
}

/** Row numbers in order of start, equal ones in order of row: both fit
 *  into the 53 bits of one key. */
function sortedByStart({ starts, count }: SymbolColumns): Uint32Array {
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i++) keys[i] = starts[i]! * maxSymbols + i;
  keys.sort();
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = keys[i]! % maxSymbols;
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

/** Goes over the addresses upwards with a stack of the symbols that are
 *  open; the top one owns the code. */
class Sweep {
  readonly ranges: SymbolColumns;
  readonly aliases: number[] = [];
  readonly #symbols: SymbolColumns;
  readonly #open: number[] = [];
  /** Everything below is done. */
  #at = 0;

  constructor(symbols: SymbolColumns) {
    this.#symbols = symbols;
    this.ranges = new SymbolColumns(2 * symbols.count);
  }

  /** Opens the symbols that begin where row `order[from]` does, of very many the first 1024.
   *  Returns where the next ones stand in `order`. */
  enterNext(order: Uint32Array, from: number): number {
    const { starts, flags } = this.#symbols;
    const start = starts[order[from]!]!;
    let to = from;
    // Equal rows stay in the order in which they were pushed: those of .symtab come first.
    let own = from;
    for (; to < order.length && starts[order[to]!]! === start; to++) {
      if ((flags[order[to]!]! & symbolFlag.dynamic) === 0) own = to + 1;
    }
    if (own === from) own = to;
    this.advance(start);
    if (own - from === 1) this.#enter(start, order[from]!);
    else this.#enterGroup(start, order.subarray(from, Math.min(own, from + maxGroup)));
    return to;
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

  /** Opens a symbol that begins here, inside of those that are open. A guess
   *  ends where any other begins. */
  #enter(start: number, row: number): void {
    const { flags } = this.#symbols;
    const top = this.#open.length === 0 ? undefined : this.#open[this.#open.length - 1]!;
    if (top !== undefined && (flags[top]! & symbolFlag.guess) !== 0) this.#open.pop();
    if (this.#open.length > 0 && (flags[row]! & symbolFlag.guess) !== 0) return;
    this.#open.push(row);
    this.#at = start;
  }

  /** Opens the preferred symbol of those that begin here, inside of those that reach beyond it. */
  #enterGroup(start: number, group: Uint32Array): void {
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
      for (const row of wider) this.#enter(start, row);
    }
    this.#enter(start, best);
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
