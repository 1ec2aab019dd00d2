// libc as this process has it already (glibc or musl), and the system call numbers that libc has no
// function for.
// Source: the kernel's syscall_64.tbl (x86-64) and asm-generic/unistd.h (aarch64).

import koffi, { type LibraryHandle } from 'koffi';
import { errnoName } from './errno.js';

export type NativeFunction = ReturnType<LibraryHandle['func']>;

interface SyscallNumbers {
  readonly perf_event_open: number;
  readonly openat2: number;
}

const syscallTable: Readonly<Record<string, SyscallNumbers>> = {
  x64: { perf_event_open: 298, openat2: 437 },
  arm64: { perf_event_open: 241, openat2: 437 },
};

const libc = koffi.load(null);

/** A function of libc; arguments and result by koffi's type names. **Errors**: throws when
 *  libc has none of that name. */
export function libcFunction(name: string, result: string, parameters: string[]): NativeFunction {
  return libc.func(name, result, parameters);
}

/** The same, or undefined where this libc lacks it (malloc_trim in musl). */
export function optionalLibcFunction(
  name: string,
  result: string,
  parameters: string[],
): NativeFunction | undefined {
  try {
    return libc.func(name, result, parameters);
  } catch {
    return undefined;
  }
}

/** A system call by number. Fixed parameters are passed as variadic ones are on both architectures.
 *  **Errors**: throws on an architecture that the table does not have. */
export function systemCall(name: keyof SyscallNumbers, parameters: string[]): NativeFunction {
  const numbers = syscallTable[process.arch];
  if (numbers === undefined) throw new Error(`no system call numbers for ${process.arch}`);
  const call = libc.func('syscall', 'long', ['long', ...parameters]);
  const number = numbers[name];
  const bound = (...args: unknown[]): unknown => call(number, ...args);
  return Object.assign(bound, {
    async: (...args: unknown[]) => call.async(number, ...args),
    info: call.info,
  }) as NativeFunction;
}

/** The errno of the call made last on this thread, by name. Read it before anything else runs. */
export function lastErrno(): string {
  return errnoName(koffi.errno());
}
