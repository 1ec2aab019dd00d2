// Function symbols of an ELF file: .symtab and .dynsym, laid flat into sorted, disjoint ranges
// in typed arrays, 13 bytes each; names stay in the file until asked for. Source: System V
// gABI, chapter 4, "Symbol Table".
//
// Where symbols overlap, the one that begins last wins; after its end the enclosing one goes on:
//
//   outer  |--------------------|         outer | inner | outer | (gap) | guess ... next symbol, or
//   inner         |-----|            ->                                             end of section
//
// Of several that begin at one address: sized before unsized, global before local before weak, long
// before short, then the shortest name, then the alphabet; .dynsym counts only where .symtab has
// none. A symbol without a size reaches to the next symbol, at most to the end of its section, and
// only where no sized one is; it is marked as a guess.

import type { ElfFile, ElfSection, ElfSegment, ReadAt } from './elf-file.js';
import { readCString, readSection, sectionType, segmentType } from './elf-file.js';
import { SymbolColumns, lastAtOrBelow, layFlat, symbolFlag } from './symbol-ranges.js';

export type SymbolsReason = 'no-symbols' | 'over-budget';

const maxTableBytes = 64 << 20;
/** More loaded segments are not looked at: each may be asked about once a symbol. */
const maxLoads = 64;
const maxNameBytes = 4096;
const firstReadBytes = 256;
const entryBytes = 24;
const entryWords = entryBytes / 4;
const chunkBytes = entryBytes * 1000;
const typeFunction = 2;
const typeIndirectFunction = 10;
const firstReservedSection = 0xff00;
const maxOffset = 2 ** 32 - 1;

/** Reads both symbol tables. **Limits**: 64 MB a table, 2^21 functions a
 *  file: beyond it `over-budget`. */
export function readSymbols(
  read: ReadAt,
  file: ElfFile,
): SymbolTable | { readonly reason: SymbolsReason } {
  const loads = file.segments.filter((s) => s.type === segmentType.load).slice(0, maxLoads);
  const base = loads.reduce((lowest, s) => Math.min(lowest, s.address), Infinity);
  if (base === Infinity) return { reason: 'no-symbols' };
  const { symbols, dynamicSymbols } = sectionType;
  const tables = [
    { flag: 0, section: file.sections.find((s) => s.type === symbols) },
    { flag: symbolFlag.dynamic, section: file.sections.find((s) => s.type === dynamicSymbols) },
  ];
  const sizes = tables.map(({ section }) => section?.sizeBytes ?? 0);
  if (Math.max(...sizes) > maxTableBytes) return { reason: 'over-budget' };
  const columns = new SymbolColumns(Math.ceil((sizes[0]! + sizes[1]!) / entryBytes));
  const names: NameTable[] = [];
  for (const { section, flag } of tables) {
    const strings = section && file.sections[section.link];
    names.push({ section: strings, bytes: undefined });
    if (section === undefined || strings === undefined) continue;
    const into = { file, loads, base, flag, columns };
    if (!collect(read, section, into)) return { reason: 'over-budget' };
  }
  if (columns.count === 0) return { reason: 'no-symbols' };
  return new SymbolTable(base, layFlat(columns), names);
}

interface NameTable {
  readonly section: ElfSection | undefined;
  /** The whole string table, once kept. */
  bytes: Uint8Array | undefined;
}

export interface SymbolRange {
  /** Virtual addresses, [start, end). */
  readonly start: number;
  readonly end: number;
  readonly isGuess: boolean;
}

export class SymbolTable {
  readonly #base: number;
  readonly #columns: SymbolColumns;
  readonly #aliases: Uint32Array;
  readonly #names: readonly NameTable[];

  /** Use `readSymbols`. */
  constructor(
    base: number,
    ranges: { columns: SymbolColumns; aliases: Uint32Array },
    names: NameTable[],
  ) {
    this.#base = base;
    this.#columns = ranges.columns;
    this.#aliases = ranges.aliases;
    this.#names = names;
  }

  /** Ranges, not symbols: aliases share one, and a symbol around another one has two. */
  get count(): number {
    return this.#columns.count;
  }

  /** Bytes held in typed arrays. */
  get keptBytes(): number {
    const names = this.#names.reduce((sum, { bytes }) => sum + (bytes?.byteLength ?? 0), 0);
    return this.#columns.byteLength + this.#aliases.byteLength + names;
  }

  /** Bytes of the string tables that names are read from. */
  get nameBytes(): number {
    return this.#names.reduce((sum, { section }) => sum + (section?.sizeBytes ?? 0), 0);
  }

  /** The range that covers this virtual address, or -1. */
  find(address: number): number {
    const index = lastAtOrBelow(this.#columns.starts, this.count, address - this.#base);
    return index >= 0 && address - this.#base < this.#columns.ends[index]! ? index : -1;
  }

  range(index: number): SymbolRange {
    return {
      start: this.#base + this.#columns.starts[index]!,
      end: this.#base + this.#columns.ends[index]!,
      isGuess: (this.#columns.flags[index]! & symbolFlag.guess) !== 0,
    };
  }

  /** Equal for all ranges of one function. */
  functionId(index: number): number {
    return this.#columns.names[index]! * 256 + this.#columns.flags[index]!;
  }

  /** Where the code between two symbols begins that this uncovered address lies in;
   *  undefined before the first. */
  gapStart(address: number): number | undefined {
    const index = lastAtOrBelow(this.#columns.starts, this.count, address - this.#base);
    return index < 0 ? undefined : this.#base + this.#columns.ends[index]!;
  }

  /** Its name without the version (`memcpy@@GLIBC_2.14`), at most 4
   *  KB; '' when it cannot be read. */
  name(index: number, read: ReadAt): string {
    const reference = this.#columns.names[index]!;
    const flags = this.#columns.flags[index]!;
    const table = this.#names[(flags & symbolFlag.dynamic) === 0 ? 0 : 1]!;
    if ((flags & symbolFlag.aliases) === 0) return nameAt(read, table, reference);
    let best = '';
    for (let i = 1; i <= this.#aliases[reference]!; i++) {
      const name = nameAt(read, table, this.#aliases[reference + i]!);
      const isShorter = name.length < best.length || (name.length === best.length && name < best);
      if (best === '' || (name !== '' && isShorter)) best = name;
    }
    return best;
  }

  /** Reads the names' string tables as a whole, so that `name` needs no file any more.
   *  False when they cannot be read, or have more than 64 MB. */
  keepNames(read: ReadAt): boolean {
    for (const table of this.#names) {
      if (table.section === undefined) continue;
      table.bytes ??= readSection(read, table.section, maxTableBytes);
      if (table.bytes === undefined) return false;
    }
    return true;
  }
}

/** What `collect` adds to, and how. */
interface Collecting {
  readonly file: ElfFile;
  readonly loads: readonly ElfSegment[];
  readonly base: number;
  readonly flag: number;
  readonly columns: SymbolColumns;
}

/** Adds the functions of one table; false when there are too many. */
function collect(read: ReadAt, section: ElfSection, into: Collecting): boolean {
  for (let done = 0; done + entryBytes <= section.sizeBytes; done += chunkBytes) {
    const words = wordsOf(
      read(section.offset + done, Math.min(chunkBytes, section.sizeBytes - done)),
    );
    if (words.length === 0) break;
    if (!collectEntries(words, into)) return false;
  }
  return true;
}

/** (hot; runs mostly before it is compiled, hence words: numbers beyond 31 bits cost an
 *  allocation each) An entry: u32 name, u8 binding << 4 | type, u8 visibility, u16
 *  section, u64 value, u64 size. */
function collectEntries(words: Uint32Array, into: Collecting): boolean {
  const { base, flag, columns } = into;
  const baseLow = base >>> 0;
  const baseHigh = Math.floor(base / 2 ** 32) >>> 0;
  for (let at = 0; at + entryWords <= words.length; at += entryWords) {
    const info = words[at + 1]!;
    const type = info & 15;
    if (type !== typeFunction && type !== typeIndirectFunction) continue;
    const sectionIndex = info >>> 16;
    const name = words[at]!;
    const low = words[at + 2]!;
    const high = words[at + 3]!;
    const highOfStart = high - baseHigh - (low < baseLow ? 1 : 0);
    const start = (low - baseLow) >>> 0;
    const isZero = low === 0 && high === 0;
    if (sectionIndex === 0 || name === 0 || isZero || highOfStart !== 0 || start === maxOffset) {
      continue;
    }
    let end = words[at + 5] === 0 ? start + words[at + 4]! : maxOffset;
    let flags = flag | bindingFlag((info >>> 4) & 15);
    if (end === start) {
      end = limitOf(into, sectionIndex, base + start) - base;
      flags |= symbolFlag.guess;
    }
    if (end > start && !columns.push(start, Math.min(end, maxOffset), name, flags)) return false;
  }
  return true;
}

/** Whole words only; the hosts of this program are little-endian as its files are. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.length / 4));
}

/** How far a symbol without a size may reach: the end of its section, else of its
 *  segment; 0 when it lies in neither. */
function limitOf({ file, loads }: Collecting, sectionIndex: number, address: number): number {
  const section = sectionIndex < firstReservedSection ? file.sections[sectionIndex] : undefined;
  if (section !== undefined) return section.address + section.sizeBytes;
  const segment = loads.find(
    (s) => address >= s.address && address - s.address < s.memorySizeBytes,
  );
  return segment === undefined ? 0 : segment.address + segment.memorySizeBytes;
}

/** STB_LOCAL 0, STB_WEAK 2; global and what is like it (unique) carry no flag. */
function bindingFlag(binding: number): number {
  return binding === 0 ? symbolFlag.local : binding === 2 ? symbolFlag.weak : 0;
}

function nameAt(read: ReadAt, table: NameTable, offset: number): string {
  if (table.section === undefined || offset >= table.section.sizeBytes) return '';
  if (table.bytes !== undefined) {
    return withoutVersion(readCString(table.bytes, offset, maxNameBytes));
  }
  const left = table.section.sizeBytes - offset;
  let bytes = read(table.section.offset + offset, Math.min(left, firstReadBytes));
  if (bytes.length === firstReadBytes && !bytes.includes(0)) {
    bytes = read(table.section.offset + offset, Math.min(left, maxNameBytes));
  }
  return withoutVersion(readCString(bytes, 0, maxNameBytes));
}

function withoutVersion(name: string): string {
  const at = name.indexOf('@');
  return at > 0 ? name.slice(0, at) : name;
}
