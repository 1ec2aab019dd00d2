// V8's builtins inside the programs that embed it (node, chrome, deno): assembled without call frame
// information, but each keeps a frame pointer, as all of V8's code does. Found by the symbols that V8
// gives them, where the file is not stripped. Source: V8 src/snapshot/embedded/embedded-file-writer.cc.

import type { CodeRange } from './code-ranges.js';
import { codeRanges } from './code-ranges.js';
import type { ElfFile, ElfSection, ReadAt } from './elf-file.js';
import { readSigned64, sectionType, segmentType, viewOf } from './elf-file.js';

const codeSymbol = 'v8_Default_embedded_blob_code_';
/** Of a u32. */
const sizeSymbol = 'v8_Default_embedded_blob_code_size_';
/** They are larger than this: files with less code need not be searched. */
const minCodeBytes = 1 << 20;
const maxTableBytes = 64 << 20;
const pieceBytes = 1 << 18;
const entryBytes = 24;

/** Virtual addresses; undefined where there are none. */
export function readV8Blob(read: ReadAt, file: ElfFile): CodeRange | undefined {
  const code = codeRanges(file);
  const table = file.sections.find(({ type }) => type === sectionType.symbols);
  const strings = table && file.sections[table.link];
  if (!code.some(({ start, end }) => end - start >= minCodeBytes)) return undefined;
  if (table === undefined || strings === undefined) return undefined;
  if (!(table.sizeBytes <= maxTableBytes && strings.sizeBytes <= maxTableBytes)) return undefined;
  const places = [codeSymbol, sizeSymbol].map((name) => placeOf(read, strings, name));
  const [start, sizeAt] = valuesOf(read, table, places);
  const sizeBytes = sizeAt === undefined ? undefined : readU32(read, file, sizeAt);
  if (start === undefined || sizeBytes === undefined) return undefined;
  const range = code.find((each) => start >= each.start && start < each.end);
  return range && { start, end: Math.min(start + sizeBytes, range.end) };
}

/** Of a name in a string table. */
function placeOf(read: ReadAt, { offset, sizeBytes }: ElfSection, name: string): number | undefined {
  const wanted = Buffer.from(`\0${name}\0`, 'latin1');
  const stepBytes = pieceBytes - wanted.length;
  for (let at = 0; at < sizeBytes; at += stepBytes) {
    const { buffer, byteOffset, length } = read(offset + at, Math.min(pieceBytes, sizeBytes - at));
    const found = Buffer.from(buffer, byteOffset, length).indexOf(wanted);
    if (found >= 0) return at + found + 1;
  }
  return undefined;
}

/** Of the first symbol of each name. */
function valuesOf(
  read: ReadAt,
  { offset, sizeBytes }: ElfSection,
  names: readonly (number | undefined)[],
): (number | undefined)[] {
  const values: (number | undefined)[] = names.map(() => undefined);
  if (names.includes(undefined)) return values;
  const stepBytes = Math.floor(pieceBytes / entryBytes) * entryBytes;
  for (let at = 0; at < sizeBytes && values.includes(undefined); at += stepBytes) {
    const view = viewOf(read(offset + at, Math.min(stepBytes, sizeBytes - at)));
    for (let entry = 0; entry + entryBytes <= view.byteLength; entry += entryBytes) {
      const which = names.indexOf(view.getUint32(entry, true));
      if (which >= 0) values[which] ??= readSigned64(view, entry + 8);
    }
  }
  return values;
}

function readU32(read: ReadAt, { segments }: ElfFile, address: number): number | undefined {
  const segment = segments.find(
    (s) =>
      s.type === segmentType.load && address >= s.address && address < s.address + s.fileSizeBytes,
  );
  const bytes = segment && read(segment.offset + (address - segment.address), 4);
  return bytes?.length === 4 ? viewOf(bytes).getUint32(0, true) : undefined;
}
