// /proc/kallsyms -> where the kernel's functions begin, with those of modules and BPF
// programs: typed arrays, 10 bytes a symbol, and one pool of names. Source:
// kernel/kallsyms.c; nm(1) for the types.
//
//   ffffffff81234560 t do_thing\t[module]\n     address, type (t T w W: code), name, module if not the kernel
//
// There are no sizes: a function reaches to the next symbol of any type, the last one of a module
// 64 KB at most. Of several that begin at one address: global before local before weak, then the
// shortest name, then the alphabet.

import { lastAtOrBelow } from '../../elf/symbol-ranges.js';

const maxSymbols = 2 ** 21;
const maxLineBytes = 1024;
const maxLastBytes = 64 << 10;
const maxModules = 65_535;
/** Instead of a name: no code begins here. A pool of 2^21 short lines never is this long. */
const hole = 0xffffffff;
/** The name's place in a line. */
const symbolAt = 19;
const tab = 9;
const newline = 10;
const space = 32;

/** Pieces of the file, in order, of any length; each is valid until the next one is asked
 *  for. undefined when there is nothing to see: the kernel hides its addresses as zeros from
 *  those who may not know them. */
export function parseKallsyms(pieces: Iterable<Uint8Array>): KernelTable | undefined {
  const lines = new LineCollector();
  let rest = new Uint8Array(0);
  for (const piece of pieces) {
    let bytes = piece;
    if (rest.length > 0) {
      bytes = new Uint8Array(rest.length + piece.length);
      bytes.set(rest);
      bytes.set(piece, rest.length);
    }
    const end = bytes.lastIndexOf(newline) + 1;
    lines.addLines(bytes, end);
    rest = new Uint8Array(bytes.subarray(end, end + maxLineBytes));
  }
  return lines.build();
}

export class KernelTable {
  readonly #base: number;
  readonly #starts: Uint32Array;
  readonly #names: Uint32Array;
  readonly #modules: Uint16Array;
  readonly #pool: Uint8Array;
  readonly #moduleNames: readonly string[];

  /** Use `parseKallsyms`. */
  constructor(columns: {
    base: number; starts: Uint32Array; names: Uint32Array; modules: Uint16Array;
    pool: Uint8Array; moduleNames: string[];
  }) {
    this.#base = columns.base;
    this.#starts = columns.starts;
    this.#names = columns.names;
    this.#modules = columns.modules;
    this.#pool = columns.pool;
    this.#moduleNames = columns.moduleNames;
  }

  get count(): number {
    return this.#starts.length;
  }

  get keptBytes(): number {
    return this.#starts.length * 10 + this.#pool.length;
  }

  /** The function that holds this address (signed, exact), or -1. */
  find(address: number): number {
    const index = this.#before(address);
    if (index < 0 || this.#names[index] === hole) return -1;
    const isLast = index + 1 === this.count || this.#modules[index + 1] !== this.#modules[index];
    return isLast && address - this.start(index) >= maxLastBytes ? -1 : index;
  }

  start(index: number): number {
    return this.#base + this.#starts[index]!;
  }

  name(index: number): string {
    return nameInPool(this.#pool, this.#names[index]!);
  }

  /** `[nf_tables]`, `[bpf]`; '' for the kernel itself. */
  moduleName(index: number): string {
    return this.#moduleNames[this.#modules[index]!]!;
  }

  /** The last entry that is not above the address, or -1. */
  #before(address: number): number {
    return lastAtOrBelow(this.#starts, this.count, address - this.#base);
  }
}

const ranks: Readonly<Record<string, number>> = { T: 0, t: 1, W: 2, w: 2 };
const rankOfHole = 3;
const rankByType = new Uint8Array(256).map(
  (_, type) => ranks[String.fromCharCode(type)] ?? rankOfHole,
);
const paddingPrefix = new TextEncoder().encode('__pfx_');
const utf8 = new TextDecoder();

/** Gathers lines, in plain columns that are dropped after `build`. */
class LineCollector {
  readonly #addresses: number[] = [];
  readonly #names: number[] = [];
  readonly #ranks: number[] = [];
  readonly #modules: number[] = [];
  readonly #moduleIds = new Map([['', 0]]);
  #pool = new Uint8Array(1 << 16);
  #poolLength = 0;

  /** `end` is behind a newline. What is no line of kallsyms is left out, and
   *  so is all beyond the limits. */
  addLines(bytes: Uint8Array, end: number): void {
    for (let from = 0; from < end; ) {
      const to = bytes.indexOf(newline, from);
      if (to - from > symbolAt && to - from < maxLineBytes && this.#addresses.length < maxSymbols) {
        this.#addLine(bytes, from, to);
      }
      from = to + 1;
    }
  }

  /** undefined without a text symbol in the kernel's half of the addresses. */
  build(): KernelTable | undefined {
    let base = 0;
    for (let i = 0; i < this.#addresses.length; i++) {
      if (this.#ranks[i] !== rankOfHole && this.#addresses[i]! < base) base = this.#addresses[i]!;
    }
    if (base === 0) return undefined;
    const order = this.#orderFrom(base);
    const starts = new Uint32Array(order.length);
    const names = new Uint32Array(order.length);
    const modules = new Uint16Array(order.length);
    let count = 0;
    for (let from = 0, to = 0; from < order.length; from = to) {
      const address = this.#addresses[order[from]!]!;
      let best = order[from]!;
      for (; to < order.length && this.#addresses[order[to]!] === address; to++) {
        if (this.#isBefore(order[to]!, best)) best = order[to]!;
      }
      const isHole = this.#ranks[best] === rankOfHole;
      if (isHole && count > 0 && names[count - 1] === hole) continue;
      starts[count] = address - base;
      names[count] = isHole ? hole : this.#names[best]!;
      modules[count] = this.#modules[best]!;
      count++;
    }
    return new KernelTable({
      base,
      starts: starts.slice(0, count),
      names: names.slice(0, count),
      modules: modules.slice(0, count),
      pool: this.#pool.slice(0, this.#poolLength),
      moduleNames: [...this.#moduleIds.keys()],
    });
  }

  #addLine(bytes: Uint8Array, from: number, to: number): void {
    const address = addressAt(bytes, from);
    if (!(address < 0) || bytes[from + symbolAt - 1] !== space) return;
    const rank = rankByType[bytes[from + symbolAt - 2]!]!;
    const nameFrom = from + symbolAt;
    const tabAt = bytes.subarray(nameFrom, to).indexOf(tab);
    const nameTo = tabAt < 0 ? to : nameFrom + tabAt;
    if (rank !== rankOfHole && isPadding(bytes, nameFrom, nameTo)) return;
    this.#addresses.push(address);
    this.#ranks.push(rank);
    this.#names.push(rank === rankOfHole ? hole : this.#keepName(bytes.subarray(nameFrom, nameTo)));
    this.#modules.push(tabAt < 0 ? 0 : this.#moduleId(utf8.decode(bytes.subarray(nameTo + 1, to))));
  }

  /** Offset in the pool; the names stand there each with a NUL behind. */
  #keepName(name: Uint8Array): number {
    const at = this.#poolLength;
    const need = at + name.length + 1;
    if (need > this.#pool.length) {
      const larger = new Uint8Array(need * 2);
      larger.set(this.#pool);
      this.#pool = larger;
    }
    this.#pool.set(name, at);
    this.#poolLength = need;
    return at;
  }

  /** Modules beyond the 65,535th count as the kernel. */
  #moduleId(name: string): number {
    let id = this.#moduleIds.get(name);
    if (id === undefined) {
      if (this.#moduleIds.size === maxModules) return 0;
      id = this.#moduleIds.size;
      this.#moduleIds.set(name, id);
    }
    return id;
  }

  /** Rows within 4 GB of the base, by address: 32 bits of it and the row's
   *  number make one 53-bit key. */
  #orderFrom(base: number): Uint32Array {
    const keys = new Float64Array(this.#addresses.length);
    let count = 0;
    for (let i = 0; i < keys.length; i++) {
      const offset = this.#addresses[i]! - base;
      if (offset >= 0 && offset < 2 ** 32) keys[count++] = offset * maxSymbols + i;
    }
    return Uint32Array.from(keys.subarray(0, count).sort(), (key) => key % maxSymbols);
  }

  #isBefore(a: number, b: number): boolean {
    if (this.#ranks[a] !== this.#ranks[b]) return this.#ranks[a]! < this.#ranks[b]!;
    if (a === b || this.#ranks[a] === rankOfHole) return false;
    const nameA = nameInPool(this.#pool, this.#names[a]!);
    const nameB = nameInPool(this.#pool, this.#names[b]!);
    return nameA.length < nameB.length || (nameA.length === nameB.length && nameA < nameB);
  }
}

/** 16 hexadecimal digits as a signed Number; NaN when they are not. */
function addressAt(bytes: Uint8Array, at: number): number {
  let high = 0;
  let low = 0;
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + i]!;
    const isLetter = byte >= 0x61 && byte <= 0x66;
    if (!isLetter && (byte < 0x30 || byte > 0x39)) return NaN;
    const digit = byte - (isLetter ? 0x57 : 0x30);
    if (i < 8) high = (high << 4) | digit;
    else low = (low << 4) | digit;
  }
  return high * 2 ** 32 + (low >>> 0);
}

/** `__pfx_NAME` marks the padding before a function, which never runs; such kernels
 *  have one for each function. */
function isPadding(bytes: Uint8Array, from: number, to: number): boolean {
  return (
    to - from > paddingPrefix.length && paddingPrefix.every((byte, i) => bytes[from + i] === byte)
  );
}

function nameInPool(pool: Uint8Array, at: number): string {
  return utf8.decode(pool.subarray(at, pool.indexOf(0, at)));
}
