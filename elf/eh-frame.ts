// `.eh_frame`: which code has which call frame instructions. It is found by its section, or by
// PT_GNU_EH_FRAME where a file has no section headers (the vDSO as it lies in memory). Source: LSB,
// "Exception Frames".
//
//   CIE | FDE | FDE | 0 | CIE | FDE ... | 0           a length of 0 ends what one input of the linker gave:
//         [u32 length][u32 CIE pointer, 0 in a CIE]   several occur. FDEs are in no order.

import type { CodeRange } from './code-ranges.js';
import { codeRangeAt } from './code-ranges.js';
import type { CfiProgram, CfiVisitor } from './cfi.js';
import { CfiInterpreter } from './cfi.js';
import { DwarfReader, pointerEncoding } from './dwarf-reader.js';
import type { ElfFile, ReadAt } from './elf-file.js';
import { sectionType, segmentType } from './elf-file.js';

export type EhFrameReason = 'no-eh-frame' | 'over-budget';

const maxSectionBytes = 32 << 20;
const maxEntries = 1 << 20;
const maxAugmentationBytes = 16;
/** Both together bound what a file can make of many FDEs that each name another, overlapping CIE. */
const maxCies = 1 << 14;
const maxCieBytes = 1 << 10;
const hdrBytes = 20;

interface Cie extends CfiProgram {
  readonly isSignalFrame: boolean;
  readonly hasAugmentationData: boolean;
}

interface Entry {
  start: number;
  end: number;
  cie: Cie | undefined;
}

interface Place {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly address: number;
  /** A length of 0 is the end once so many FDEs were seen; Infinity where only the size says where the end
   *  is. */
  readonly entryCount: number;
}

export interface EhFrameOptions {
  /** Entries for any other code are left out. */
  readonly code: readonly CodeRange[];
  /** DWARF numbers of the registers in CfiState, the return address last. */
  readonly registers: readonly number[];
}

/** Reads the section and lists its entries. **Limits**: 32 MB, 2^20 FDEs: beyond it `over-budget`. What the
 *  reader gave is used until the last `interpret`: read nothing else with it in between. */
export function readEhFrame(
  read: ReadAt, file: ElfFile, options: EhFrameOptions,
): EhFrame | { readonly reason: EhFrameReason } {
  const place = placeBySection(file) ?? placeByHeader(read, file);
  if (place === undefined) return { reason: 'no-eh-frame' };
  if (place.sizeBytes > maxSectionBytes) return { reason: 'over-budget' };
  const reader = new DwarfReader(read(place.offset, place.sizeBytes), place.address);
  const frame = new EhFrame(reader, options);
  return frame.list(place.entryCount) ? frame : { reason: 'over-budget' };
}

/** By name, as its type differs between linkers (SHT_PROGBITS, SHT_X86_64_UNWIND). */
function placeBySection(file: ElfFile): Place | undefined {
  const section = file.sections.find((s) => s.name === '.eh_frame' && s.type !== sectionType.noBits);
  return section && section.sizeBytes > 0 ? { ...section, entryCount: Infinity } : undefined;
}

/** The header: u8 version, three u8 encodings (pointer, count, table), pointer to .eh_frame, FDE count. */
function placeByHeader(read: ReadAt, file: ElfFile): Place | undefined {
  const segment = file.segments.find((s) => s.type === segmentType.ehFrame);
  if (segment === undefined) return undefined;
  const reader = new DwarfReader(read(segment.offset, hdrBytes), segment.address);
  const [version, pointer, count] = [reader.u8(), reader.u8(), reader.u8()];
  reader.skip(1);
  const address = reader.pointer(pointer);
  if (reader.isBroken || version !== 1) return undefined;
  const entries = reader.pointer(count);
  const load = file.segments.find((s) => s.type === segmentType.load
    && address >= s.address && address < s.address + s.fileSizeBytes);
  if (load === undefined) return undefined;
  const skipped = address - load.address;
  return {
    offset: load.offset + skipped,
    sizeBytes: Math.min(load.fileSizeBytes - skipped, maxSectionBytes),
    address,
    entryCount: reader.isBroken ? 0 : entries,
  };
}

/** Hears of one FDE: its extent, its rows, its end. */
export interface EntryVisitor extends CfiVisitor {
  begin(start: number, end: number, isSignalFrame: boolean): void;
  end(address: number): void;
}

export class EhFrame {
  #count = 0;
  #starts = new Float64Array(1024);
  #places = new Uint32Array(1024);
  readonly #reader: DwarfReader;
  readonly #interpreter: CfiInterpreter;
  readonly #code: readonly CodeRange[];
  readonly #returnRegister: number;
  readonly #cies = new Map<number, Cie | undefined>();
  /** What #readEntry has found last. */
  readonly #entry: Entry = { start: 0, end: 0, cie: undefined };

  /** Use `readEhFrame`. */
  constructor(reader: DwarfReader, { code, registers }: EhFrameOptions) {
    this.#reader = reader;
    this.#interpreter = new CfiInterpreter(reader, registers);
    this.#code = code;
    this.#returnRegister = registers.at(-1)!;
  }

  /** Virtual addresses at which the code of each FDE begins, in the file's order. */
  get starts(): Float64Array {
    return this.#starts.subarray(0, this.#count);
  }

  /** Of the section: expressions in a CfiState lie in it. */
  get bytes(): Uint8Array {
    return this.#reader.bytes;
  }

  interpret(index: number, visitor: EntryVisitor): void {
    if (!this.#readEntry(this.#places[index]!)) return;
    const { start, end, cie } = this.#entry;
    const limit = Math.min(end, codeRangeAt(this.#code, start)!.end);
    visitor.begin(start, limit, cie!.isSignalFrame);
    this.#interpreter.run(cie!, start, limit, visitor);
    visitor.end(limit);
  }

  /** Finds all FDEs; false when there are too many. Entries that are broken are left out. */
  list(entryCount: number): boolean {
    const reader = this.#reader;
    const { length } = reader.bytes;
    let seen = 0;
    for (let at = 0; at + 4 <= length;) {
      const next = this.#endOf(at);
      if (next === undefined) break;
      if (next === at + 4) {
        if (seen >= entryCount) break;
      } else if (this.#readEntry(at)) {
        seen++;
        const { start, end } = this.#entry;
        const isCode = end > start && codeRangeAt(this.#code, start) !== undefined;
        if (isCode && !this.#push(start, at)) return false;
      }
      at = next;
    }
    return true;
  }

  /** Where the entry ends; the reader stands behind its length. undefined when that is broken. */
  #endOf(at: number): number | undefined {
    const reader = this.#reader;
    reader.seek(at, reader.bytes.length);
    const sizeBytes = reader.u32();
    const end = sizeBytes === 0xffffffff ? reader.s64() + at + 12 : sizeBytes + at + 4;
    return !reader.isBroken && end > at && end <= reader.bytes.length ? end : undefined;
  }

  /** Leaves the reader at the instructions of an FDE. False for a CIE and for what is broken. */
  #readEntry(at: number): boolean {
    const reader = this.#reader;
    const end = this.#endOf(at);
    if (end === undefined) return false;
    const origin = reader.at;
    const distance = reader.u32();
    if (distance === 0 || distance > origin || reader.isBroken) return false;
    const cie = this.#cieAt(origin - distance);
    if (cie === undefined) return false;
    reader.seek(origin + 4, end);
    const start = reader.pointer(cie.pointerEncoding);
    const sizeBytes = reader.pointer(cie.pointerEncoding & 0x0f);
    if (cie.hasAugmentationData) reader.skip(reader.uleb());
    this.#entry.start = start;
    this.#entry.end = start + sizeBytes;
    this.#entry.cie = cie;
    return !reader.isBroken;
  }

  #cieAt(at: number): Cie | undefined {
    if (this.#cies.has(at)) return this.#cies.get(at);
    if (this.#cies.size === maxCies) return undefined;
    const cie = this.#readCie(at);
    this.#cies.set(at, cie);
    return cie;
  }

  /** u8 version, augmentation string, alignments, return register, augmentation data, instructions. */
  #readCie(at: number): Cie | undefined {
    const reader = this.#reader;
    const end = this.#endOf(at);
    if (end === undefined || end - at > maxCieBytes || reader.u32() !== 0) return undefined;
    reader.limit = end;
    const version = reader.u8();
    if (version !== 1 && version !== 3 && version !== 4) return undefined;
    const augmentation = reader.ascii(maxAugmentationBytes);
    if (version === 4 && (reader.u8() !== 8 || reader.u8() !== 0)) return undefined;
    const codeAlignment = reader.uleb();
    const dataAlignment = reader.sleb();
    if ((version === 1 ? reader.u8() : reader.uleb()) !== this.#returnRegister) return undefined;
    const hasAugmentationData = augmentation.startsWith('z');
    if (!hasAugmentationData && augmentation !== '') return undefined;
    let pointer: number = pointerEncoding.absolute;
    const instructions = hasAugmentationData ? reader.uleb() + reader.at : reader.at;
    for (const letter of augmentation.slice(1)) {
      if (letter === 'R') pointer = reader.u8();
      else if (letter === 'L') reader.skip(1);
      else if (letter === 'P') reader.pointer(reader.u8() & 0x7f);
      else if (letter !== 'S' && letter !== 'B') break;
    }
    if (reader.isBroken) return undefined;
    const program = { codeAlignment, dataAlignment, pointerEncoding: pointer, initial: undefined };
    reader.seek(instructions, end);
    const initial = this.#interpreter.run(program, 0, Infinity, { row: () => undefined }).slice();
    return { ...program, initial, isSignalFrame: augmentation.includes('S'), hasAugmentationData };
  }

  #push(start: number, place: number): boolean {
    if (this.#count === maxEntries) return false;
    if (this.#count === this.#starts.length) {
      this.#starts = grown(this.#starts, new Float64Array(this.#count * 2));
      this.#places = grown(this.#places, new Uint32Array(this.#count * 2));
    }
    this.#starts[this.#count] = start;
    this.#places[this.#count++] = place;
    return true;
  }
}

function grown<T extends Float64Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
