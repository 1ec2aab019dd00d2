// A file of /proc, /sys or a cgroup that is read again and again: kept open and read from its
// start, which costs half of opening it each time (facts: 2 to 30 µs against 7 to 40).

import { closeSync, openSync, readSync } from 'node:fs';

/** /proc/stat of 8,192 CPUs, or a thousand interfaces, is below this. */
const MAX_BYTES = 1 << 20;
/** The kernel gives less than a page only when the next line does not fit or there is none, and no
 *  line is half a page long: what is shorter is all, and need not be asked for more. */
const SURE_END_BYTES = 2048;

let shared = Buffer.allocUnsafeSlow(16 << 10);

export class KeptFile {
  readonly path: string;
  #fd: number | undefined;
  /** Errno of the last attempt, by name. */
  #problem: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** What the file says now, or its first `maxBytes`; undefined when it is not there or cannot be read, which is tried
   *  again at the next call. The bytes are valid until another file is read. */
  readBytes(maxBytes = MAX_BYTES): Buffer | undefined {
    try {
      this.#fd ??= openSync(this.path, 'r');
      let length = 0;
      for (;;) {
        if (length === shared.length) grow();
        const room = Math.min(shared.length, maxBytes) - length;
        const n = readSync(this.#fd, shared, length, room, length);
        length += n;
        if (n < SURE_END_BYTES || length === maxBytes) break;
      }
      this.#problem = undefined;
      return shared.subarray(0, length);
    } catch (error) {
      this.#problem = (error as NodeJS.ErrnoException).code ?? String(error);
      this.close();
      return undefined;
    }
  }

  read(): string | undefined {
    return this.readBytes()?.toString('utf8');
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function grow(): void {
  const larger = Buffer.allocUnsafeSlow(Math.min(MAX_BYTES, shared.length * 2));
  shared.copy(larger);
  shared = larger;
}

/** A file that is read once; undefined when it is not there or cannot be read. */
export function readOnce(path: string): string | undefined {
  const file = new KeptFile(path);
  const text = file.read();
  file.close();
  return text;
}
