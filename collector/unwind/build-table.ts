// One ELF file to one unwind table: `.eh_frame`, Go's own table, and rows for what neither covers: the
// linker's stubs, V8's builtins, the entry. The file is foreign: a broken one gives a wrong or smaller table of itself,
// bounded in size and time, and nothing else.

import type { CodeRange } from '../../elf/code-ranges.js';
import { codeRangeAt, codeRanges, lowestLoadAddress } from '../../elf/code-ranges.js';
import type { CfiState } from '../../elf/cfi.js';
import type { EhFrame, EntryVisitor } from '../../elf/eh-frame.js';
import { readEhFrame } from '../../elf/eh-frame.js';
import type { ElfFile, ReadAt } from '../../elf/elf-file.js';
import type { GoFrameKind, GoFrameVisitor, GoTable } from '../../elf/gopclntab.js';
import { readGoTable } from '../../elf/gopclntab.js';
import { readV8Blob } from '../../elf/v8-blob.js';
import type { UnwindArch } from './arch.js';
import type { Blocks } from './blocks.js';
import { layOutBlocks } from './blocks.js';
import { Rows } from './rows.js';
import { x8664 } from './x86-64.js';

/** `not-elf`: no ELF file, or a broken one. `unsupported-machine`: no rules for its CPU. `no-code`:
 *  nothing executable is loaded.
 *  `no-unwind-information`: neither `.eh_frame` nor a Go table that is known. `over-budget`: the
 *  file, or the table, is larger than the limits. */
export type TableReason =
  'not-elf' | 'unsupported-machine' | 'no-code' | 'no-unwind-information' | 'over-budget';

export interface UnwindTable extends Blocks {
  /** Virtual address that the table's pcs are relative to: the lowest
   *  that the file is loaded at. */
  readonly base: number;
  readonly rows: number;
}

export interface TableLimits {
  readonly maxBytes: number;
}

/** 2 million rows; the largest on a developer's machine (LLVM, rustc) have 1.2. */
export const defaultFileLimits: TableLimits = { maxBytes: 16 << 20 };

/** One thing that knows rules: where each of its functions begins, and the rows of one of them. */
interface Source {
  readonly starts: Float64Array;
  readonly write: (index: number) => void;
}

/** Functions of all sources together, as their numbers are sorted together with their places. */
const maxFunctions = 2 ** 21;
/** pcs have 32 bits; the last one marks rows that are not used. */
const maxSpanBytes = 2 ** 32 - 1;
/** Stubs that the linker made, which only have call frame information when it is GNU's. */
const stubSections = new Set(['.plt', '.plt.got', '.plt.sec', '.iplt']);
const maxStubSections = 16;
/** Of the code at the entry; it is a few instructions. */
const maxEntryBytes = 256;

/** Used again for each file. */
const rows = new Rows();

/** Builds the table of an ELF file. **Limits**: besides `maxBytes` 2^21 rows and what the parsers
 *  allow. `blocks` has a buffer of its own, which may be transferred. */
export function buildTable(
  read: ReadAt, file: ElfFile, { maxBytes }: TableLimits,
): UnwindTable | { readonly reason: TableReason } {
  const arch = [x8664].find(({ machine }) => machine === file.machine);
  if (arch === undefined) return { reason: 'unsupported-machine' };
  const code = codeRanges(file);
  const base = lowestLoadAddress(file);
  if (base === undefined || code.length === 0) return { reason: 'no-code' };
  if (code.some(({ end }) => end - base >= maxSpanBytes)) return { reason: 'over-budget' };
  const v8 = readV8Blob(read, file);
  const isGo = file.sections.some(({ name }) => name.endsWith('.gopclntab'));
  const frame = readEhFrame(isGo ? copying(read) : read, file, { code, registers: arch.registers });
  const go = readGoTable(read, file, code);
  const reasons = [frame, go].flatMap((result) => ('reason' in result ? [result.reason] : []));
  if (reasons.includes('over-budget')) return { reason: 'over-budget' };
  if (reasons.length === 2) return { reason: 'no-unwind-information' };
  const sources = [stubSource(file, code, base, arch)];
  const entry = entryRange(file, code);
  if (entry !== undefined) sources.push(rangeSource(entry, base, arch.outermost));
  if (v8 !== undefined) sources.push(rangeSource(v8, base, arch.framePointer));
  if (!('reason' in go)) sources.push(goSource(go, base, arch));
  if (!('reason' in frame)) sources.push(frameSource(frame, base, arch));
  rows.reset();
  writeInOrder(sources, base);
  rows.finish();
  const table = { base, rows: rows.count, ...layOutBlocks(rows.pcs, rows.rules) };
  const isTooLarge = rows.isOverBudget || table.blocks.length > maxBytes;
  rows.release();
  return isTooLarge ? { reason: 'over-budget' } : table;
}

/** Of a Go file with C code in it two parts are in use at a time. */
function copying(read: ReadAt): ReadAt {
  return (position, length) => read(position, length).slice();
}

/** All functions by ascending address; of those that begin at one address the last source's counts.
 *  Places and numbers are sorted as one: a key is exact below 2^53, and typed arrays sort fastest
 *  without a comparison of ours. */
function writeInOrder(sources: readonly Source[], base: number): void {
  const firsts: number[] = [];
  let total = 0;
  for (const { starts } of sources) {
    firsts.push(total);
    total += starts.length;
  }
  const order = new Float64Array(total);
  sources.forEach(({ starts }, s) => {
    const first = firsts[s]!;
    for (let i = 0; i < starts.length; i++) {
      order[first + i] = (starts[i]! - base) * maxFunctions + first + i;
    }
  });
  order.sort();
  for (const key of order) {
    const number = key - Math.floor(key / maxFunctions) * maxFunctions;
    let source = sources.length - 1;
    while (firsts[source]! > number) source--;
    sources[source]!.write(number - firsts[source]!);
    if (rows.isOverBudget) return;
  }
}

function frameSource(frame: EhFrame, base: number, arch: UnwindArch): Source {
  let isSignalFrame = false;
  const visitor: EntryVisitor = {
    begin: (start, _, isSignal) => {
      rows.begin(start - base);
      isSignalFrame = isSignal;
    },
    row: (address: number, state: CfiState) => {
      rows.add(address - base, isSignalFrame ? arch.signalFrame : arch.ruleOf(state, frame.bytes));
    },
    end: (address) => rows.end(address - base),
  };
  return { starts: frame.starts, write: (index) => frame.interpret(index, visitor) };
}

function goSource(table: GoTable, base: number, arch: UnwindArch): Source {
  const wholeRules: Readonly<Record<Exclude<GoFrameKind, 'sized'>, number>> = {
    outermost: arch.outermost,
    'frame-pointer': arch.framePointer,
    'signal-return': arch.signalFrame,
  };
  const visitor: GoFrameVisitor = {
    begin: (start, _, kind) => {
      // A handler returns to the first byte of signal-return, and return
      // addresses are looked up one before.
      const pc = start - base - (kind === 'signal-return' ? 1 : 0);
      rows.begin(pc);
      rows.add(pc, kind === 'sized' ? arch.bad : wholeRules[kind]);
    },
    depth: (address, stackBytes) => rows.add(address - base, arch.goRule(stackBytes)),
    end: (address) => rows.end(address - base),
  };
  return { starts: table.starts, write: (index) => table.interpret(index, visitor) };
}

/** Where a program is started, up to the next function: nobody has called it, and the dynamic
 *  linker's says nothing of it. */
function entryRange({ entryAddress: start }: ElfFile, code: readonly CodeRange[]) {
  const range = codeRangeAt(code, start);
  return range && { start, end: Math.min(start + maxEntryBytes, range.end) };
}

/** One rule for all of it. */
function rangeSource({ start, end }: CodeRange, base: number, rule: number): Source {
  const write = () => {
    rows.begin(start - base);
    rows.add(start - base, rule);
    rows.end(end - base);
  };
  return { starts: Float64Array.of(start), write };
}

function stubSource(
  file: ElfFile,
  code: readonly CodeRange[],
  base: number,
  arch: UnwindArch,
): Source {
  const stubs = file.sections
    .filter(
      (s) =>
        stubSections.has(s.name) && s.sizeBytes > 0 && codeRangeAt(code, s.address) !== undefined,
    )
    .slice(0, maxStubSections);
  return {
    starts: Float64Array.from(stubs, (s) => s.address),
    write: (index) => {
      const { name, address, sizeBytes } = stubs[index]!;
      rows.begin(address - base);
      rows.add(address - base, name === '.plt' ? arch.lazyPlt : arch.called);
      rows.end(Math.min(address + sizeBytes, codeRangeAt(code, address)!.end) - base);
    },
  };
}
