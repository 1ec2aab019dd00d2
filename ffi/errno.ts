// Names of errno values, and the one exception that ffi throws: a call into libc,
// the kernel or libbpf that failed.

import { getSystemErrorName } from 'node:util';

/** Kernel-internal, but bpf(2) and perf_event_open(2) do return it. */
const ENOTSUPP = 524;
const MAX_ERRNO = 4095;

/** `ENOENT` for 2 and for -2; `errno 4095` when nobody knows its name. */
export function errnoName(errno: number): string {
  const value = Math.abs(errno);
  if (value === ENOTSUPP) return 'ENOTSUPP';
  if (!Number.isInteger(value) || value === 0 || value > MAX_ERRNO) return `errno ${value}`;
  const name = getSystemErrorName(-value);
  return name.startsWith('E') ? name : `errno ${value}`;
}

/** A call failed in a way its caller did not ask to handle. */
export class CallError extends Error {
  /** What was tried: `mmap of 128 pages`. */
  readonly operation: string;
  /** By name: `EPERM`. */
  readonly errno: string;

  constructor(operation: string, errno: string) {
    super(`${operation}: ${errno}`);
    this.name = 'CallError';
    this.operation = operation;
    this.errno = errno;
  }
}

/** A shared library, or a function in it, is not there. */
export class LibraryError extends Error {
  readonly library: string;

  constructor(library: string, message: string) {
    super(message);
    this.name = 'LibraryError';
    this.library = library;
  }
}
