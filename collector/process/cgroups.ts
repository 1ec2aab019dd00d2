// Control group id -> path. Samples carry a ranked id (rank of the hierarchy in the top byte,
// kernfs id below); on 64-bit kernels the kernfs id is the inode number of the group's directory.
// Paths come from the kernel's records of groups made and renamed, and from scans of the mounted
// hierarchies. A path outlives its group: ids are not used again.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { Pace } from '../pace.js';
import { parseCgroupMounts, parseHierarchyIds } from './cgroup-parse.js';
import type { CgroupMount, HierarchyIds } from './cgroup-parse.js';

const RANK_SHIFT = 56n;
const MAX_PATHS = 32_768;
const MAX_SCANNED = 65_536;
const MIN_SCAN_INTERVAL_NS = 30_000_000_000n;

export interface CgroupHierarchies {
  /** Hierarchy ids of version 1 in the order of their ranks: systemd,
   *  memory, cpu, blkio; 0 = not mounted. */
  readonly ids: HierarchyIds;
  readonly mounts: readonly CgroupMount[];
}

/** What is mounted here; nothing where /proc cannot be read. */
export function cgroupHierarchies(): CgroupHierarchies {
  const mounts = parseCgroupMounts(readText('/proc/self/mountinfo'));
  return { ids: parseHierarchyIds(readText('/proc/self/cgroup')), mounts };
}

/** **Limits**: MAX_PATHS paths; the oldest ones go first. */
export class CgroupPaths {
  /** Paths forgotten to make room. */
  evicted = 0;
  readonly #mounts: readonly CgroupMount[];
  readonly #paths = new Map<bigint, string>();
  #isScanWanted = true;
  #isScanning = false;
  #nextScanNs = 0n;

  constructor(mounts: readonly CgroupMount[]) {
    this.#mounts = mounts;
  }

  get size(): number {
    return this.#paths.size;
  }

  /** A group was made, renamed, or found; one with another path than before
   *  takes those below it along. */
  apply({ id, path }: { readonly id: bigint; readonly path: string }): void {
    const before = this.#paths.get(id);
    if (before === path) return;
    if (before !== undefined) this.#moveBelow(id >> RANK_SHIFT, before, path);
    this.#paths.delete(id);
    if (this.#paths.size >= MAX_PATHS) {
      this.#paths.delete(this.#paths.keys().next().value!);
      this.evicted++;
    }
    this.#paths.set(id, path);
  }

  /** Path below its hierarchy's root; '' for the root and when it is not
   *  known, which asks for a scan. */
  path(id: bigint): string {
    if (id === 0n) return '';
    const path = this.#paths.get(id);
    if (path === undefined) this.#isScanWanted = true;
    return path ?? '';
  }

  /** Scans the hierarchies if an id was asked for that is not known, at most every 30 s;
   *  the first call always does. Works in slices of a few milliseconds. **Units**:
   *  `nowNs` of CLOCK_MONOTONIC. */
  async scanIfWanted(nowNs: bigint): Promise<void> {
    if (!this.#isScanWanted || this.#isScanning || nowNs < this.#nextScanNs) return;
    this.#isScanning = true;
    this.#isScanWanted = false;
    this.#nextScanNs = nowNs + MIN_SCAN_INTERVAL_NS;
    try {
      for (const mount of this.#mounts) await this.#scan(mount);
    } finally {
      this.#isScanning = false;
    }
  }

  async #scan({ rank, mountPoint, root }: CgroupMount): Promise<void> {
    const waiting = [''];
    const pace = new Pace();
    for (let i = 0; i < waiting.length; i++) {
      await pace.rest();
      const below = waiting[i]!;
      const path = root + below;
      const inode = inodeOf(mountPoint + below);
      if (inode === undefined) continue;
      if (path !== '') this.apply({ id: (BigInt(rank) << RANK_SHIFT) | inode, path });
      for (const name of directoriesIn(mountPoint + below)) {
        if (waiting.length < MAX_SCANNED) waiting.push(`${below}/${name}`);
      }
    }
  }

  #moveBelow(rank: bigint, from: string, to: string): void {
    for (const [id, path] of this.#paths) {
      const isBelow = id >> RANK_SHIFT === rank && path.startsWith(`${from}/`);
      if (isBelow) this.#paths.set(id, to + path.slice(from.length));
    }
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function directoriesIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
