// perf_event_open(2): attributes by name, the descriptor, its ioctls.
// Source: include/uapi/linux/perf_event.h. Attributes are encoded at
// PERF_ATTR_SIZE_VER5, which every kernel since 4.1 knows and which holds all the fields
// used here, so there is no size to negotiate.

import assert from 'node:assert/strict';
import { lastErrno, libcFunction, systemCall } from './native.js';

const ATTR_BYTES = 112;
const PERF_FLAG_PID_CGROUP = 4;
const PERF_FLAG_FD_CLOEXEC = 8;

const IOC_ENABLE = 0x2400;
const IOC_DISABLE = 0x2401;
const IOC_ID = 0x80082407;
const IOC_SET_BPF = 0x40042408;

export const perfType = { hardware: 0, software: 1, tracepoint: 2, hwCache: 3, raw: 4 } as const;

export const softwareEvent = {
  cpuClock: 0,
  taskClock: 1,
  pageFaults: 2,
  contextSwitches: 3,
  cpuMigrations: 4,
  pageFaultsMinor: 5,
  pageFaultsMajor: 6,
  alignmentFaults: 7,
  emulationFaults: 8,
  dummy: 9,
  bpfOutput: 10,
  cgroupSwitches: 11,
} as const;

/** Bits of sample_type: what a record carries, and with sampleIdAll what
 *  follows a side-band record. */
export const sampleBit = {
  ip: 1 << 0,
  tid: 1 << 1,
  time: 1 << 2,
  addr: 1 << 3,
  id: 1 << 6,
  cpu: 1 << 7,
  period: 1 << 8,
} as const;

/** Bits of read_format: what read(2) gives. With `group` it begins with the number of the group's
 *  events, then the times, then one value an event. */
export const readBit = { timeEnabled: 1 << 0, timeRunning: 1 << 1, group: 1 << 3 } as const;

/** Bit numbers of the flag word. */
const flagBit = {
  disabled: 0,
  inherit: 1,
  pinned: 2,
  excludeUser: 4,
  excludeKernel: 5,
  excludeHypervisor: 6,
  excludeIdle: 7,
  mmap: 8,
  comm: 9,
  enableOnExec: 12,
  task: 13,
  sampleIdAll: 18,
  mmap2: 23,
  commExec: 24,
  contextSwitch: 26,
  ksymbol: 29,
  bpfEvent: 30,
  cgroup: 32,
  textPoke: 33,
  buildId: 34,
} as const;

export type PerfFlag = keyof typeof flagBit;

/** **Shape**: exactly one of `frequencyHz` and `period` for what samples; neither for what only
 *  counts or tells. `wakeupBytes` (a ring wakes its reader when so much waits) and `wakeupEvents`
 *  share one field: at most one of them. An event that has no ring is free to carry any number in
 *  `wakeupEvents`; a BPF program finds it in event->attr. */
export interface PerfEventAttr {
  readonly type: number;
  readonly config: number | bigint;
  readonly config1?: bigint;
  readonly config2?: bigint;
  readonly frequencyHz?: number;
  readonly period?: number | bigint;
  readonly sampleType?: number;
  readonly readFormat?: number;
  readonly flags?: readonly PerfFlag[];
  /** CLOCK_* of the records' times; without it they are of the kernel's own clock. */
  readonly clockId?: number;
  readonly wakeupBytes?: number;
  readonly wakeupEvents?: number;
}

/** One CPU, and there all threads, one (`tid`; 0 is the caller) or those of a cgroup of version 2
 *  (`cgroupFd`: its open folder). CPU -1 with a tid: wherever that thread runs. `groupFd`: the
 *  leader with which the event counts at the same times. */
export interface PerfTarget {
  readonly cpu: number;
  readonly tid?: number;
  readonly cgroupFd?: number;
  readonly groupFd?: number;
}

const perfEventOpen = systemCall('perf_event_open', ['void *', 'int', 'int', 'int', 'ulong']);
const ioctlNumber = libcFunction('ioctl', 'int', ['int', 'ulong', 'ulong']);
const ioctlPointer = libcFunction('ioctl', 'int', ['int', 'ulong', 'void *']);

/** Opens an event; closeFd() ends it. **Errors**: as a value: `ENOENT` no such event
 *  here, `EACCES` or `EPERM` not allowed, `EINVAL` a flag this kernel does not know,
 *  `ENODEV` the CPU is offline. */
export function openPerfEvent(
  attr: PerfEventAttr,
  target: PerfTarget,
): { readonly fd: number } | { readonly errno: string } {
  const { cpu, tid = -1, cgroupFd, groupFd = -1 } = target;
  const flags = PERF_FLAG_FD_CLOEXEC | (cgroupFd === undefined ? 0 : PERF_FLAG_PID_CGROUP);
  const fd = perfEventOpen(encodeAttr(attr), cgroupFd ?? tid, cpu, groupFd, flags) as number;
  return fd < 0 ? { errno: lastErrno() } : { fd };
}

/** struct perf_event_attr. */
export function encodeAttr(attr: PerfEventAttr): Buffer {
  assert(
    attr.frequencyHz === undefined || attr.period === undefined,
    'a frequency or a period, not both',
  );
  assert(
    attr.wakeupBytes === undefined || attr.wakeupEvents === undefined,
    'bytes or events, not both',
  );
  let flags = 0n;
  for (const flag of attr.flags ?? []) flags |= 1n << BigInt(flagBit[flag]);
  if (attr.frequencyHz !== undefined) flags |= 1n << 10n;
  if (attr.wakeupBytes !== undefined) flags |= 1n << 14n;
  if (attr.clockId !== undefined) flags |= 1n << 25n;

  const bytes = Buffer.alloc(ATTR_BYTES);
  bytes.writeUInt32LE(attr.type, 0);
  bytes.writeUInt32LE(ATTR_BYTES, 4);
  bytes.writeBigUInt64LE(BigInt(attr.config), 8);
  bytes.writeBigUInt64LE(BigInt(attr.frequencyHz ?? attr.period ?? 0), 16);
  bytes.writeBigUInt64LE(BigInt(attr.sampleType ?? 0), 24);
  bytes.writeBigUInt64LE(BigInt(attr.readFormat ?? 0), 32);
  bytes.writeBigUInt64LE(flags, 40);
  bytes.writeUInt32LE(attr.wakeupBytes ?? attr.wakeupEvents ?? 0, 48);
  bytes.writeBigUInt64LE(attr.config1 ?? 0n, 56);
  bytes.writeBigUInt64LE(attr.config2 ?? 0n, 64);
  bytes.writeInt32LE(attr.clockId ?? 0, 92);
  return bytes;
}

/** The four below return undefined, or the errno by name. */
export function enablePerfEvent(fd: number): string | undefined {
  return ioctlNumber(fd, IOC_ENABLE, 0) === 0 ? undefined : lastErrno();
}

export function disablePerfEvent(fd: number): string | undefined {
  return ioctlNumber(fd, IOC_DISABLE, 0) === 0 ? undefined : lastErrno();
}

/** Lets the program run at each overflow. It holds the program until the event is closed. */
export function setPerfEventProgram(fd: number, programFd: number): string | undefined {
  return ioctlNumber(fd, IOC_SET_BPF, programFd) === 0 ? undefined : lastErrno();
}

/** The id that the event's records carry. */
export function perfEventId(fd: number): { readonly id: bigint } | { readonly errno: string } {
  const id = Buffer.alloc(8);
  return ioctlPointer(fd, IOC_ID, id) === 0 ? { id: id.readBigUInt64LE() } : { errno: lastErrno() };
}
