// Opening a file by the path another process sees, inside that process's root, or by the place it has
// it mapped at. The path is hostile: it cannot leave the root, a FIFO or a device cannot block us,
// and a slow disk blocks a pool thread instead of this one.
// Source: openat2(2), RESOLVE_IN_ROOT; proc(5), map_files.

import { closeSync, constants, fstat, open as openAsync, openSync } from 'node:fs';
import { lastErrno, systemCall } from './native.js';

const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_IN_ROOT = 0x10n;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const HOW_BYTES = 24;
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | O_CLOEXEC;

/** Each open may hold a thread of libuv's pool of four, which all file
 *  work of the process shares. */
const MAX_CONCURRENT = 2;
const MAX_QUEUED = 4096;
const TIMEOUT_MS = 10_000;

export type OpenResult = { readonly fd: number } | { readonly errno: string };

interface Waiting {
  readonly rootPath: string;
  readonly path: string;
  readonly settle: (result: OpenResult) => void;
  isSettled: boolean;
}

const openat2 = systemCall('openat2', ['int', 'str', 'void *', 'size_t']);
const how = openHow();
const queue: Waiting[] = [];
let running = 0;

/** Opens a regular file for reading; the caller closes it.
 *  **Shape**: `rootPath` is a directory (`/proc/PID/root`, or `/`), `path`
 *  what a process inside it sees.
 *  **Limits**: two at a time, 4096 waiting (`EAGAIN` beyond), 10 s each
 *  (`ETIMEDOUT`; a late descriptor is closed).
 *  **Errors**: never rejects. `EINVAL` stands for what is no regular file, and
 *  for a path with a NUL byte. */
export function openInRoot(rootPath: string, path: string): Promise<OpenResult> {
  if (path.includes('\0') || rootPath.includes('\0')) return Promise.resolve({ errno: 'EINVAL' });
  if (queue.length >= MAX_QUEUED) return Promise.resolve({ errno: 'EAGAIN' });
  return new Promise((resolve) => {
    const timer = setTimeout(() => waiting.settle({ errno: 'ETIMEDOUT' }), TIMEOUT_MS);
    const settle = (result: OpenResult): void => {
      if (waiting.isSettled) {
        if ('fd' in result) closeSync(result.fd);
        return;
      }
      waiting.isSettled = true;
      clearTimeout(timer);
      resolve(result);
    };
    const waiting: Waiting = { rootPath, path, settle, isSettled: false };
    queue.push(waiting);
    startNext();
  });
}

/** Opens what a process has mapped at [start, limit), the exact bounds of one mapping, for reading:
 *  the file itself, also when it was deleted or replaced since. The caller closes it.
 *  **Errors**: never rejects. `EPERM`: needs CAP_CHECKPOINT_RESTORE; `EINVAL`: no regular file. */
export function openMapped(tgid: number, start: number, limit: number): Promise<OpenResult> {
  const path = `/proc/${tgid}/map_files/${start.toString(16)}-${limit.toString(16)}`;
  return new Promise((resolve) => {
    openAsync(path, O_PATH | O_CLOEXEC, (error, pathFd) => {
      if (error !== null) return resolve({ errno: error.code ?? 'EIO' });
      refuseUnlessRegular(pathFd, (result) => {
        if ('errno' in result) return resolve(result);
        openAsync(`/proc/self/fd/${pathFd}`, READ_FLAGS, (failure, fd) => {
          closeSync(pathFd);
          resolve(failure === null ? { fd } : { errno: failure.code ?? 'EIO' });
        });
      });
    });
  });
}

function startNext(): void {
  while (running < MAX_CONCURRENT) {
    const next = queue.shift();
    if (next === undefined) return;
    if (next.isSettled) continue;
    running++;
    open(next, (result) => {
      running--;
      next.settle(result);
      startNext();
    });
  }
}

function open({ rootPath, path }: Waiting, done: (result: OpenResult) => void): void {
  let rootFd: number;
  try {
    rootFd = openSync(rootPath, O_PATH | constants.O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    setImmediate(done, { errno: (error as NodeJS.ErrnoException).code ?? 'EIO' });
    return;
  }
  openat2.async(rootFd, path, how, HOW_BYTES, (failure: unknown, fd: number) => {
    const errno = lastErrno();
    closeSync(rootFd);
    if (failure !== null) done({ errno: 'EIO' });
    else if (fd < 0) done({ errno });
    else refuseUnlessRegular(fd, done);
  });
}

function refuseUnlessRegular(fd: number, done: (result: OpenResult) => void): void {
  fstat(fd, (error, stats) => {
    if (error === null && stats.isFile()) return done({ fd });
    closeSync(fd);
    done({ errno: error?.code ?? 'EINVAL' });
  });
}

/** struct open_how { u64 flags, mode, resolve }. */
function openHow(): Buffer {
  const bytes = Buffer.alloc(HOW_BYTES);
  bytes.writeBigUInt64LE(BigInt(READ_FLAGS), 0);
  bytes.writeBigUInt64LE(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, 16);
  return bytes;
}
