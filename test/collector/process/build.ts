// Short ways to write side-band events and snapshots in timelines.

import type {
  CommEvent,
  ExitEvent,
  ForkEvent,
  LostEvent,
  MmapEvent,
} from '../../../collector/process/sideband-records.js';
import type { ProcSnapshot } from '../../../collector/process/snapshot-merge.js';
import type { Incarnation } from '../../../collector/process/table.js';
import { ProcessTable } from '../../../collector/process/table.js';
import type { TableLimits } from '../../../collector/process/registry.js';

/** Table time 0 is ktime 5 s, which is 65 s after boot. */
export const baseKtimeNs = 5_000_000_000n;
export const bootMinusMonotonicNs = 60_000_000_000n;
const BOOT_AT_ZERO = 65_000_000_000;

export function newTable(limits: Partial<TableLimits> = {}): ProcessTable {
  return new ProcessTable({ baseKtimeNs, bootMinusMonotonicNs, limits });
}

export function bootNs(tableNs: number): number {
  return tableNs + BOOT_AT_ZERO;
}

/** A process forks another. */
export function fork(ns: number, parentTgid: number, tgid: number, parentTid = parentTgid): ForkEvent {
  return { kind: 'fork', ns, tgid, tid: tgid, parentTgid, parentTid };
}

/** A process starts a thread. */
export function clone(ns: number, tgid: number, tid: number, parentTid = tgid): ForkEvent {
  return { kind: 'fork', ns, tgid, tid, parentTgid: tgid, parentTid };
}

export function exit(ns: number, tgid: number, tid = tgid): ExitEvent {
  return { kind: 'exit', ns, tgid, tid };
}

export function exec(ns: number, tgid: number, comm: string): CommEvent {
  return { kind: 'comm', ns, tgid, tid: tgid, comm, isExec: true };
}

export function rename(ns: number, tgid: number, tid: number, comm: string): CommEvent {
  return { kind: 'comm', ns, tgid, tid, comm, isExec: false };
}

/** Pages [start, limit) of 4 KB. */
type Pages = readonly [start: number, limit: number];

export function mmap(ns: number, tgid: number, pages: Pages, path: string, offset = 0): MmapEvent {
  const [start, limit] = [pages[0] * 4096, pages[1] * 4096];
  const file = { path, device: '8:1', inode: inodeOf(path) };
  return { kind: 'mmap', ns, tgid, tid: tgid, start, limit, fileOffset: offset * 4096, ...file };
}

export function lost(ns: number, count = 1): LostEvent {
  return { kind: 'lost', ns, count };
}

export interface SnapshotOf {
  readonly tgid: number;
  readonly readAt: readonly [begin: number, end: number];
  /** In table time. */
  readonly startNs: number;
  readonly comm?: string;
  readonly executable?: string;
  readonly threads?: readonly { readonly tid: number; readonly comm: string }[];
  readonly mappings?: readonly (readonly [...Pages, path: string, offsetPage?: number])[];
}

export function snapshot(of: SnapshotOf): ProcSnapshot {
  const { tgid, comm = 'proc', executable = '', readAt } = of;
  return {
    tgid,
    parentTgid: 1,
    startBootNs: Math.floor(bootNs(of.startNs) / 1e7) * 1e7,
    comm,
    executable,
    threads: of.threads ?? [{ tid: tgid, comm }],
    mappings: (of.mappings ?? []).map(([start, limit, path, offset = 0]) => ({
      start: start * 4096,
      limit: limit * 4096,
      fileOffset: offset * 4096,
      path,
      device: '8:1',
      inode: inodeOf(path),
    })),
    beginNs: readAt[0],
    endNs: readAt[1],
  };
}

/** `path+page` at a page of an image; '-' where nothing is. */
export function fileAt(image: Incarnation | undefined, page: number): string {
  const mapping = image?.findMapping(page * 4096);
  if (mapping === undefined) return '-';
  return `${mapping.module.module.path}+${page + (mapping.fileOffset - mapping.start) / 4096}`;
}

function inodeOf(path: string): bigint {
  return path === '' ? 0n : BigInt(path.length + 1000);
}
