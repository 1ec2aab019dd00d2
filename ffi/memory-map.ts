// Memory shared with the kernel: a file descriptor mapped once and read in place, as a plain
// ArrayBuffer. Atomics work on its integer arrays.

import koffi from 'koffi';
import { CallError } from './errno.js';
import { lastErrno, libcFunction } from './native.js';

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = (1n << 64n) - 1n;
const SC_PAGESIZE = 30;

const mmap = libcFunction('mmap', 'void *', ['void *', 'size_t', 'int', 'int', 'int', 'int64_t']);
const munmap = libcFunction('munmap', 'int', ['void *', 'size_t']);
const sysconf = libcFunction('sysconf', 'long', ['int']);

export const pageSizeBytes: number = Number(sysconf(SC_PAGESIZE));

export interface MapRequest {
  readonly lengthBytes: number;
  /** Into the file; a multiple of the page size. */
  readonly offsetBytes: number;
  readonly isWritable: boolean;
}

/** **Limits**: a view made of `bytes` must not be touched after close(): the memory is
 *  gone, and the process with it. */
export class MemoryMap {
  readonly bytes: ArrayBuffer;
  readonly #address: bigint;
  readonly #lengthBytes: number;
  #isOpen = true;

  /** **Errors**: throws CallError (EPERM: over the limit of locked memory; ENOMEM; EACCES). */
  constructor(fd: number, request: MapRequest) {
    const protection = request.isWritable ? PROT_READ | PROT_WRITE : PROT_READ;
    const { lengthBytes, offsetBytes } = request;
    const address = mmap(null, lengthBytes, protection, MAP_SHARED, fd, offsetBytes) as
      bigint | null;
    if (address === null || address === MAP_FAILED) {
      throw new CallError(`mmap of ${lengthBytes} bytes`, lastErrno());
    }
    this.#address = address;
    this.#lengthBytes = lengthBytes;
    this.bytes = koffi.view(address, lengthBytes);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    munmap(this.#address, this.#lengthBytes);
  }
}
