// Where a file's code is loaded: the extents of its executable segments. What unwind information says of any
// other place is left out (linkers leave entries of discarded functions behind, at address 0).

import type { ElfFile } from './elf-file.js';
import { segmentType } from './elf-file.js';

/** Virtual addresses, [start, end). */
export interface CodeRange {
  readonly start: number;
  readonly end: number;
}

const maxRanges = 16;

/** At most 16; files have one, seldom up to three. */
export function codeRanges(file: ElfFile): CodeRange[] {
  return file.segments
    .filter((s) => s.type === segmentType.load && s.isExecutable && s.fileSizeBytes > 0)
    .slice(0, maxRanges)
    .map((s) => ({ start: s.address, end: s.address + s.fileSizeBytes }));
}

/** The range that holds this address. */
export function codeRangeAt(ranges: readonly CodeRange[], address: number): CodeRange | undefined {
  return ranges.find(({ start, end }) => address >= start && address < end);
}

/** The lowest address that the file is loaded at, undefined when it is not. Addresses in tables are relative
 *  to it. */
export function lowestLoadAddress(file: ElfFile): number | undefined {
  const lowest = file.segments
    .filter((s) => s.type === segmentType.load)
    .reduce((least, s) => Math.min(least, s.address), Infinity);
  return lowest === Infinity ? undefined : lowest;
}
