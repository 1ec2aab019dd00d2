// The rest of what the front needs of libc: clocks, a limit, closing a descriptor, starting node again.

import { CallError } from './errno.js';
import { lastErrno, libcFunction } from './native.js';

const CLOCK_REALTIME = 0;
const CLOCK_BOOTTIME = 7;
const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = (1n << 64n) - 1n;

/** The tightest of these brackets decides; one is enough unless the thread is preempted inside it. */
const CLOCK_ROUNDS = 8;

const close = libcFunction('close', 'int', ['int']);
const execveCall = libcFunction('execve', 'int', ['str', 'const char **', 'const char **']);
const clockGettime = libcFunction('clock_gettime', 'int', ['int', 'void *']);
const setrlimit = libcFunction('setrlimit', 'int', ['int', 'void *']);

export function closeFd(fd: number): void {
  close(fd);
}

/** What to add to a CLOCK_MONOTONIC time. **Units**: ns. */
export interface ClockOffsets {
  readonly bootMinusMonotonicNs: bigint;
  readonly unixMinusMonotonicNs: bigint;
}

/** Reads each clock between two readings of CLOCK_MONOTONIC, so it is right to half the time between those two:
 *  below a microsecond. The first offset grows when the host was suspended, the second when its clock is set. */
export function clockOffsets(): ClockOffsets {
  return {
    bootMinusMonotonicNs: offsetOf(CLOCK_BOOTTIME),
    unixMinusMonotonicNs: offsetOf(CLOCK_REALTIME),
  };
}

function offsetOf(clock: number): bigint {
  const time = Buffer.alloc(16);
  let best = 0n;
  let bestWidthNs: bigint | undefined;
  for (let round = 0; round < CLOCK_ROUNDS; round++) {
    const before = process.hrtime.bigint();
    const status = clockGettime(clock, time) as number;
    const after = process.hrtime.bigint();
    if (status !== 0) throw new CallError(`clock_gettime of clock ${clock}`, lastErrno());
    if (bestWidthNs !== undefined && after - before >= bestWidthNs) continue;
    bestWidthNs = after - before;
    best = time.readBigInt64LE(0) * 1_000_000_000n + time.readBigInt64LE(8) - (before + after) / 2n;
  }
  return best;
}

/** Replaces this process by another program, with the same process id; node's own descriptors close by themselves.
 *  Returns only when that failed: the errno by name. */
export function execve(path: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`);
  execveCall(path, [...args, null], [...pairs, null]);
  return lastErrno();
}

/** Kernels before 5.11 count maps and programs against RLIMIT_MEMLOCK. EPERM (no CAP_SYS_RESOURCE) is worth a note only. */
export function raiseMemlock(): { readonly ok: true } | { readonly errno: string } {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(RLIM_INFINITY, 0);
  limit.writeBigUInt64LE(RLIM_INFINITY, 8);
  return setrlimit(RLIMIT_MEMLOCK, limit) === 0 ? { ok: true } : { errno: lastErrno() };
}
