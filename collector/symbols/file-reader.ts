// Bounded reads of an open file, by descriptor, into one buffer that
// all readers of this thread share.

import { closeSync, fstatSync, readSync } from 'node:fs';
import type { ReadAt } from '../../elf/elf-file.js';
import { contentStamp } from '../process/file-contents.js';

/** Kept between files; what a large one needed is let go by releaseBuffer(). */
const keptBytes = 1 << 20;

let scratch = new Uint8Array(1 << 16);

/** Reads the file from `origin` on. A failing read gives no bytes; what was read is valid
 *  until any reader reads again. */
export function fileReader(fd: number, origin = 0): ReadAt {
  return (position, length) => {
    if (length > scratch.length) scratch = new Uint8Array(length);
    let done = 0;
    try {
      while (done < length) {
        const count = readSync(fd, scratch, done, length - done, origin + position + done);
        if (count === 0) break;
        done += count;
      }
    } catch {
      // The bytes before the error are as good as those before the end of the file.
    }
    return scratch.subarray(0, done);
  };
}

/** Makes the readers' buffer small again; what they gave is not valid any more. */
export function releaseBuffer(): void {
  if (scratch.length > keptBytes) scratch = new Uint8Array(keptBytes);
}

/** What the open file holds now; '' when it cannot be told. */
export function fileStamp(fd: number): string {
  try {
    const { mtimeNs, size } = fstatSync(fd, { bigint: true });
    return contentStamp(mtimeNs, size);
  } catch {
    return '';
  }
}

export function closeFile(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Nothing was written: there is nothing to lose.
  }
}
