// What the front needs of libc: clocks, a limit, closing a descriptor, starting node again,
// and the two sockets that node cannot make: kobject uevents (a CPU came or went) and
// systemd's notification socket.
// Source: netlink(7), lib/kobject_uevent.c, sd_notify(3).

import { CallError } from './errno.js';
import { lastErrno, libcFunction } from './native.js';

const CLOCK_REALTIME = 0;
const CLOCK_BOOTTIME = 7;
const F_SETFD = 2;
const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = (1n << 64n) - 1n;

const AF_UNIX = 1;
const AF_NETLINK = 16;
const SEEK_END = 2;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_KOBJECT_UEVENT = 15;
const KERNEL_UEVENTS = 1;
const MAX_UNIX_PATH_BYTES = 107;

/** A burst longer than this is met again at the next wake. */
const MAX_DATAGRAMS = 256;

/** The tightest of these brackets decides; one is enough unless the
 *  thread is preempted inside it. */
const CLOCK_ROUNDS = 8;

const close = libcFunction('close', 'int', ['int']);
const execveCall = libcFunction('execve', 'int', ['str', 'const char **', 'const char **']);
const fcntl = libcFunction('fcntl', 'int', ['int', 'int', '...']);
const clockGettime = libcFunction('clock_gettime', 'int', ['int', 'void *']);
const setrlimit = libcFunction('setrlimit', 'int', ['int', 'void *']);
const socket = libcFunction('socket', 'int', ['int', 'int', 'int']);
const bind = libcFunction('bind', 'int', ['int', 'void *', 'uint32_t']);
const recv = libcFunction('recv', 'long', ['int', 'void *', 'size_t', 'int']);
const lseek = libcFunction('lseek', 'long', ['int', 'long', 'int']);
const sendto = libcFunction('sendto', 'long', [
  'int',
  'void *',
  'size_t',
  'int',
  'void *',
  'uint32_t',
]);
const datagram = Buffer.alloc(2048);

export function closeFd(fd: number): void {
  close(fd);
}

/** What the file holds already will not be read. False when it cannot be passed over. */
export function seekToEnd(fd: number): boolean {
  return (lseek(fd, 0, SEEK_END) as number) >= 0;
}

/** What to add to a CLOCK_MONOTONIC time. **Units**: ns. */
export interface ClockOffsets {
  readonly bootMinusMonotonicNs: bigint;
  readonly unixMinusMonotonicNs: bigint;
}

/** Reads each clock between two readings of CLOCK_MONOTONIC, so it is right to half the time
 *  between those two: below a microsecond. The first offset grows when the host was suspended, the
 *  second when its clock is set. */
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

/** Replaces this process by another program, with the same process id; node's own descriptors close
 *  by themselves, and standard input and output, which node marks to close too, stay. Returns only
 *  when that failed: the errno by name. */
export function execve(path: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 'int', 0);
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`);
  execveCall(path, [...args, null], [...pairs, null]);
  return lastErrno();
}

/** Kernels before 5.11 count maps and programs against RLIMIT_MEMLOCK. EPERM (no
 *  CAP_SYS_RESOURCE) is worth a note only. */
export function raiseMemlock(): { readonly ok: true } | { readonly errno: string } {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(RLIM_INFINITY, 0);
  limit.writeBigUInt64LE(RLIM_INFINITY, 8);
  return setrlimit(RLIMIT_MEMLOCK, limit) === 0 ? { ok: true } : { errno: lastErrno() };
}

/** Readable when a device of the host came, went or changed; what to do
 *  then is to look at /sys again. */
export function openUeventSocket(): { readonly fd: number } | { readonly errno: string } {
  const fd = socket(
    AF_NETLINK,
    SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
    NETLINK_KOBJECT_UEVENT,
  ) as number;
  if (fd < 0) return { errno: lastErrno() };
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(KERNEL_UEVENTS, 8);
  if (bind(fd, address, address.length) === 0) return { fd };
  const errno = lastErrno();
  closeFd(fd);
  return { errno };
}

/** Empties a non-blocking datagram socket. True when a uevent of a CPU was among
 *  it, or when some were lost. */
export function drainUevents(fd: number): boolean {
  let isCpu = false;
  for (let i = 0; i < MAX_DATAGRAMS; i++) {
    const size = recv(fd, datagram, datagram.length, 0) as number;
    if (size < 0) return isCpu || lastErrno() === 'ENOBUFS';
    isCpu ||= datagram.subarray(0, size).includes('\0SUBSYSTEM=cpu\0');
  }
  return true;
}

/** One message to systemd (`READY=1`, `WATCHDOG=1`, `STOPPING=1`). False
 *  when there is nobody to tell. */
export function sendSdNotify(text: string): boolean {
  const path = process.env['NOTIFY_SOCKET'] ?? '';
  const address = unixAddress(path);
  if (address === undefined) return false;
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number;
  if (fd < 0) return false;
  const message = Buffer.from(text);
  const sent = sendto(fd, message, message.length, 0, address, address.length) as number;
  closeFd(fd);
  return sent === message.length;
}

/** struct sockaddr_un; a leading `@` stands for the abstract namespace. */
function unixAddress(path: string): Buffer | undefined {
  const bytes = Buffer.from(path);
  const isNamed = path.startsWith('/');
  if (!isNamed && !path.startsWith('@')) return undefined;
  if (bytes.length > MAX_UNIX_PATH_BYTES || bytes.includes(0)) return undefined;
  if (!isNamed) bytes[0] = 0;
  const address = Buffer.alloc(2 + bytes.length + (isNamed ? 1 : 0));
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}
