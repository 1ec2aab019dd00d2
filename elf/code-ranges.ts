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

/** [offset, limit) of a file is code; its address in the file's unwind table is offset +
 *  pcMinusOffset. */
export interface CodeSegment {
  readonly offset: number;
  readonly limit: number;
  readonly pcMinusOffset: number;
}

/** As many as one entry of the kernel's map of files holds. */
const maxSegments = 4;

/** Where code lies in the file, at most 4 places. */
export function codeSegments(file: ElfFile): CodeSegment[] {
  const base = lowestLoadAddress(file);
  if (base === undefined) return [];
  return file.segments
    .filter((s) => s.type === segmentType.load && s.isExecutable && s.fileSizeBytes > 0)
    .slice(0, maxSegments)
    .map(({ offset, fileSizeBytes, address }) => ({
      offset,
      limit: offset + fileSizeBytes,
      pcMinusOffset: address - base - offset,
    }));
}
