// Giving memory back: free heap to the kernel, and the pages of node's own code that only the start
// needed. They are the file's; what is used again comes back from the page cache.

import { readFileSync } from 'node:fs';
import { libcFunction, optionalLibcFunction } from './native.js';

const MADV_DONTNEED = 4;

const madvise = libcFunction('madvise', 'int', ['uint64_t', 'size_t', 'int']);
const mallocTrimCall = optionalLibcFunction('malloc_trim', 'int', ['size_t']);

/** Gives free heap memory back to the kernel; nothing where this libc cannot. */
export function trimHeap(): void {
  mallocTrimCall?.(0);
}

/** Drops the resident pages of node's executable. Call it once, when start-up is over: each
 *  page used again costs a fault.
 *  **Units**: returns the bytes that were resident. */
export function dropOwnText(): number {
  let droppedBytes = 0;
  const smaps = readFileSync('/proc/self/smaps', 'utf8');
  for (const { start, lengthBytes, residentBytes } of cleanMappings(smaps, process.execPath)) {
    if (madvise(start, lengthBytes, MADV_DONTNEED) === 0) droppedBytes += residentBytes;
  }
  return droppedBytes;
}

export interface CleanMapping {
  readonly start: bigint;
  readonly lengthBytes: number;
  readonly residentBytes: number;
}

/** The read-only mappings of `path` without a page of their own: dropping one that
 *  was written to would lose it. */
export function cleanMappings(smaps: string, path: string): CleanMapping[] {
  const found: CleanMapping[] = [];
  for (const block of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.*)$/m.exec(block);
    if (head === null || head[3] !== path) continue;
    if (kilobytes(block, 'Anonymous') !== 0 || kilobytes(block, 'Private_Dirty') !== 0) continue;
    const start = BigInt(`0x${head[1]}`);
    const lengthBytes = Number(BigInt(`0x${head[2]}`) - start);
    found.push({ start, lengthBytes, residentBytes: (kilobytes(block, 'Rss') ?? 0) * 1024 });
  }
  return found;
}

function kilobytes(block: string, field: string): number | undefined {
  const match = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(block);
  return match === null ? undefined : Number(match[1]);
}
