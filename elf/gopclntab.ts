// Go's own table of functions: how deep the stack is at each instruction, even in stripped binaries. Layouts
// of Go 1.18 and of 1.20 to 1.26, for 64-bit little-endian machines. Source: go1.26 src/runtime/symtab.go
// (pcHeader, step), runtime2.go (_func), internal/abi/symtab.go.
//
//   header | names | cutab | files | pctab | functab | _func ...
//                                      |       u32 entry, relative to the text, and u32 place of the _func
//                                      pairs of varints: change of the value, bytes of code that it holds for

import type { CodeRange } from './code-ranges.js';
import { codeRangeAt } from './code-ranges.js';
import { DwarfReader } from './dwarf-reader.js';
import type { ElfFile, ElfSection, ReadAt } from './elf-file.js';
import { readCString, readSigned64, viewOf } from './elf-file.js';

export type GoTableReason = 'no-go-table' | 'unknown-go-version' | 'over-budget';

/** How a function's caller is found. */
export type GoFrameKind = 'sized' | 'outermost' | 'frame-pointer' | 'signal-return';

export interface GoFrameVisitor {
  begin(start: number, end: number, kind: GoFrameKind): void;
  /** Of `sized` functions: from this address on so many bytes lie between the stack pointer and the return
   *  address. */
  depth(address: number, stackBytes: number): void;
  end(address: number): void;
}

const maxTableBytes = 64 << 20;
const maxFunctions = 1 << 19;
/** Of all functions of a file together; the largest known have 4 million. */
const maxSteps = 1 << 24;
const headerBytes = 72;
const moduleBytes = 184;
const magic118 = 0xfffffff0;
const magic120 = 0xfffffff1;
const flagOutermost = 1;
const flagWritesSp = 2;
const flagAssembly = 4;
const maxNameBytes = 64;
const signalReturn = /^runtime\.sigreturn(__sigaction)?(\.abi0)?$/;
/** Go's own tracebacks end at the signal handler; what it has interrupted is below it. */
const signalHandler = /^runtime\.sigtramp(\.abi0)?$/;

/** Reads the table of a Go file. **Limits**: 64 MB, 2^19 functions. What the reader gave is used until the
 *  last `interpret`: read nothing else with it in between. */
export function readGoTable(
  read: ReadAt, file: ElfFile, code: readonly CodeRange[],
): GoTable | { readonly reason: GoTableReason } {
  const section = file.sections.find((s) => s.name === '.gopclntab' || s.name === '.data.rel.ro.gopclntab');
  if (section === undefined) return { reason: 'no-go-table' };
  if (section.sizeBytes > maxTableBytes) return { reason: 'over-budget' };
  const moduleText = textStartOfModule(read, file, section);
  const bytes = read(section.offset, section.sizeBytes);
  if (bytes.length < headerBytes) return { reason: 'no-go-table' };
  const view = viewOf(bytes);
  const magic = view.getUint32(0, true);
  const isKnown = (magic === magic118 || magic === magic120) && view.getUint8(7) === 8;
  const textStart = readSigned64(view, 24) || moduleText;
  if (!isKnown || textStart === undefined || codeRangeAt(code, textStart) === undefined) {
    return { reason: 'unknown-go-version' };
  }
  const count = readSigned64(view, 8);
  if (!(count >= 0 && count <= maxFunctions)) return { reason: 'over-budget' };
  return new GoTable(bytes, { count, textStart, code, flagAt: magic === magic118 ? 37 : 41 });
}

/** Since Go 1.26 the header does not say where the text begins, but `.go.module` does: runtime.moduledata,
 *  whose first word is the header's address and whose 23rd is `text`. */
function textStartOfModule(read: ReadAt, file: ElfFile, table: ElfSection): number | undefined {
  const section = file.sections.find((s) => s.name === '.go.module');
  const bytes = section && read(section.offset, moduleBytes);
  if (bytes === undefined || bytes.length < moduleBytes) return undefined;
  const view = viewOf(bytes);
  return readSigned64(view, 0) === table.address ? readSigned64(view, 176) : undefined;
}

interface Layout {
  readonly count: number;
  readonly textStart: number;
  readonly code: readonly CodeRange[];
  /** Of the byte of flags in a _func. */
  readonly flagAt: number;
}

export class GoTable {
  /** Virtual addresses, ascending. What lies outside of executable segments is cut off. */
  readonly starts: Float64Array;
  /** Where the last one ends. */
  readonly #limit: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #reader: DwarfReader;
  readonly #flagAt: number;
  readonly #names: number;
  readonly #pctab: number;
  readonly #functions: number;
  readonly #minInstructionBytes: number;
  #stepsLeft = maxSteps;

  /** Use `readGoTable`. */
  constructor(bytes: Uint8Array, { count, textStart, code, flagAt }: Layout) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#reader = new DwarfReader(bytes, 0);
    this.#flagAt = flagAt;
    this.#minInstructionBytes = bytes[6]!;
    [this.#names, this.#pctab, this.#functions] = [32, 56, 64].map((at) => readSigned64(this.#view, at)) as
      [number, number, number];
    const text = codeRangeAt(code, textStart)!;
    const addresses = new Float64Array(count + 1);
    let sorted = 0;
    for (; sorted <= count; sorted++) {
      const offset = this.#u32(this.#functions + sorted * 8);
      const address = textStart + (offset ?? Infinity);
      if (address > text.end || (sorted > 0 && address < addresses[sorted - 1]!)) break;
      addresses[sorted] = address;
    }
    this.starts = addresses.subarray(0, Math.max(0, sorted - 1));
    this.#limit = addresses[Math.max(0, sorted - 1)]!;
  }

  interpret(index: number, visitor: GoFrameVisitor): void {
    const start = this.starts[index]!;
    const end = this.starts[index + 1] ?? this.#limit;
    const place = this.#functions + (this.#u32(this.#functions + index * 8 + 4) ?? Infinity);
    const pcsp = this.#u32(place + 16);
    if (end <= start || pcsp === undefined) return;
    const kind = this.#kindOf(place);
    visitor.begin(start, end, kind);
    if (kind === 'sized') this.#depths(start, end, this.#pctab + pcsp, visitor);
    visitor.end(end);
  }

  #kindOf(place: number): GoFrameKind {
    const flags = this.#bytes[place + this.#flagAt] ?? 0;
    if ((flags & flagAssembly) !== 0) {
      const name = readCString(this.#bytes, this.#names + (this.#u32(place + 4) ?? Infinity), maxNameBytes);
      if (signalReturn.test(name)) return 'signal-return';
      if (signalHandler.test(name)) return 'sized';
    }
    if ((flags & flagOutermost) !== 0) return 'outermost';
    return (flags & flagWritesSp) === 0 ? 'sized' : 'frame-pointer';
  }

  /** Pairs of varints: change of the depth, zigzag, from -1 on; then for how much code it holds. */
  #depths(start: number, end: number, place: number, visitor: GoFrameVisitor): void {
    const reader = this.#reader;
    reader.seek(place, this.#bytes.length);
    let address = start;
    let depth = -1;
    while (address < end && this.#stepsLeft-- > 0) {
      const change = reader.uleb();
      depth += change % 2 === 0 ? change / 2 : -(change + 1) / 2;
      const next = address + reader.uleb() * this.#minInstructionBytes;
      if (reader.isBroken || next === address || (change === 0 && address !== start)) return;
      visitor.depth(address, depth);
      address = next;
    }
  }

  #u32(at: number): number | undefined {
    return at >= 0 && at + 4 <= this.#bytes.length ? this.#view.getUint32(at, true) : undefined;
  }
}
