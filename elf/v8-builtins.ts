// Where the built-in functions of V8 lie in a file that embeds it (node, Electron, Deno). V8's own
// assembler makes them as one block, with frame pointers and, in many builds, without call frame
// information. Source: V8, src/snapshot/embedded: two local symbols name the block and the word
// that holds its size. A stripped file has lost them.

import type { CodeRange } from './code-ranges.js';
import { codeRangeAt } from './code-ranges.js';
import type { ElfFile, ElfSection, ReadAt } from './elf-file.js';
import { readSigned64, sectionType, segmentType, viewOf } from './elf-file.js';

const blockName = '\0v8_Default_embedded_blob_code_\0';
const sizeName = '\0v8_Default_embedded_blob_code_size_\0';
/** Of a string or symbol table; one that is larger is not looked at. */
const maxTableBytes = 64 << 20;
const entryBytes = 24;
const chunkBytes = entryBytes * 40_000;

/** **Limits**: `code` bounds the answer. Undefined when there is none. */
export function v8Builtins(
  read: ReadAt, file: ElfFile, code: readonly CodeRange[],
): CodeRange | undefined {
  const symbols = file.sections.find(({ type }) => type === sectionType.symbols);
  const strings = symbols && file.sections[symbols.link];
  if (symbols === undefined || strings === undefined) return undefined;
  if (Math.max(symbols.sizeBytes, strings.sizeBytes) > maxTableBytes) return undefined;
  const names = [blockName, sizeName].map((name) => findText(read, strings, name));
  if (names.includes(-1)) return undefined;
  // A name begins behind the NUL that ends the one before.
  const [start, sizeAddress] = valuesOf(read, symbols, names.map((at) => at + 1));
  if (start === undefined || sizeAddress === undefined) return undefined;
  const range = codeRangeAt(code, start);
  const sizeBytes = readWord(read, file, sizeAddress);
  if (range === undefined || sizeBytes === undefined) return undefined;
  return { start, end: Math.min(start + sizeBytes, range.end) };
}

/** Where a text begins in a section, -1 when it does not occur. */
function findText(read: ReadAt, { offset, sizeBytes }: ElfSection, text: string): number {
  const overlap = text.length - 1;
  for (let at = 0; at < sizeBytes; at += chunkBytes) {
    const bytes = read(offset + at, Math.min(chunkBytes + overlap, sizeBytes - at));
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const found = chunk.indexOf(text, 0, 'latin1');
    if (found >= 0) return at + found;
  }
  return -1;
}

/** The values of the symbols with these names, by their places in the string table. */
function valuesOf(
  read: ReadAt,
  { offset, sizeBytes }: ElfSection,
  names: readonly number[],
): (number | undefined)[] {
  const values: (number | undefined)[] = names.map(() => undefined);
  for (let at = 0; at < sizeBytes; at += chunkBytes) {
    const view = viewOf(read(offset + at, Math.min(chunkBytes, sizeBytes - at)));
    for (let entry = 0; entry + entryBytes <= view.byteLength; entry += entryBytes) {
      const index = names.indexOf(view.getUint32(entry, true));
      if (index >= 0) values[index] ??= readSigned64(view, entry + 8);
    }
  }
  return values;
}

function readWord(read: ReadAt, { segments }: ElfFile, address: number): number | undefined {
  const loads = segments.filter(({ type }) => type === segmentType.load);
  const segment = loads.find(
    (s) => address >= s.address && address + 4 <= s.address + s.fileSizeBytes,
  );
  if (segment === undefined) return undefined;
  const bytes = read(segment.offset + (address - segment.address), 4);
  return bytes.length === 4 ? viewOf(bytes).getUint32(0, true) : undefined;
}
