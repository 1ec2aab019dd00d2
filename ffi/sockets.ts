// The two sockets that node cannot make: kobject uevents (a CPU came or went) and systemd's notification socket.
// Source: netlink(7), sd_notify(3), lib/kobject_uevent.c.

import { closeFd } from './libc.js';
import { lastErrno, libcFunction } from './native.js';

const AF_UNIX = 1;
const AF_NETLINK = 16;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_KOBJECT_UEVENT = 15;
const KERNEL_UEVENTS = 1;
const MAX_UNIX_PATH_BYTES = 107;

/** A burst longer than this is met again at the next wake. */
const MAX_DATAGRAMS = 256;

const socket = libcFunction('socket', 'int', ['int', 'int', 'int']);
const bind = libcFunction('bind', 'int', ['int', 'void *', 'uint32_t']);
const recv = libcFunction('recv', 'ssize_t', ['int', 'void *', 'size_t', 'int']);
const sendto = libcFunction('sendto', 'ssize_t', ['int', 'void *', 'size_t', 'int', 'void *', 'uint32_t']);
const datagram = Buffer.alloc(2048);

/** Readable when a device of the host came, went or changed; what to do then is to look at /sys again. */
export function openUeventSocket(): { readonly fd: number } | { readonly errno: string } {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT) as number;
  if (fd < 0) return { errno: lastErrno() };
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(KERNEL_UEVENTS, 8);
  if (bind(fd, address, address.length) === 0) return { fd };
  const errno = lastErrno();
  closeFd(fd);
  return { errno };
}

/** Empties a non-blocking datagram socket. True when a uevent of a CPU was among it, or when some were lost. */
export function drainUevents(fd: number): boolean {
  let isCpu = false;
  for (let i = 0; i < MAX_DATAGRAMS; i++) {
    const size = recv(fd, datagram, datagram.length, 0) as number;
    if (size < 0) return isCpu || lastErrno() === 'ENOBUFS';
    isCpu ||= datagram.subarray(0, size).includes('\0SUBSYSTEM=cpu\0');
  }
  return true;
}

/** One message to systemd (`READY=1`, `WATCHDOG=1`, `STOPPING=1`). False when there is nobody to tell. */
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
