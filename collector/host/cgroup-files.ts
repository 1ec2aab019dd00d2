// CPU and memory of the cgroups whose processes were busy lately, and of the groups above them, from
// whichever hierarchies are mounted. (front)

import { statSync } from 'node:fs';
import type { CgroupMount } from '../process/cgroup-parse.js';
import type { SampleRows } from '../messages.js';
import { cgroupParsers } from '../pipeline/cgroup-text.js';
import type { CgroupParser } from '../pipeline/cgroup-text.js';
import type { Tell } from '../pipeline/host-text.js';
import { KeptFile } from './kept-file.js';

/** Flushes that a group is followed after it was busy last. */
const FOLLOW_ROUNDS = 30;
/** The cpu controller's files lie in one of these, the memory controller's in the other. */
const RANK_V2 = 0;
const RANK_MEMORY = 2;
const RANK_CPU = 3;
const namesByRank: ReadonlyMap<number, readonly string[]> = new Map([
  [RANK_V2, ['cpu.stat', 'memory.current', 'memory.events']],
  [RANK_MEMORY, ['memory.usage_in_bytes', 'memory.oom_control', 'memory.failcnt']],
  [RANK_CPU, ['cpu.stat', 'cpuacct.usage_user', 'cpuacct.usage_sys']],
]);

interface Followed {
  readonly files: readonly { readonly file: KeptFile; readonly parse: CgroupParser }[];
  readonly inodes: string;
  busyRound: number;
}

export class CgroupFiles {
  readonly #mounts: readonly CgroupMount[];
  readonly #maxGroups: number;
  readonly #followed = new Map<string, Followed>();
  #round = 0;

  constructor(mounts: readonly CgroupMount[], options: { readonly maxGroups: number }) {
    this.#mounts = mounts.filter(({ rank }) => namesByRank.has(rank));
    this.#maxGroups = options.maxGroups;
  }

  read(samples: readonly SampleRows[], tell: Tell): void {
    this.#round++;
    this.#follow(groupsOf(samples));
    for (const [path, { files }] of this.#followed) {
      for (const { file, parse } of files) {
        const text = file.isOpen || file.problem === undefined ? file.read() : undefined;
        if (text !== undefined) parse(text, path, tell);
      }
    }
  }

  close(): void {
    for (const path of this.#followed.keys()) this.#forget(path);
  }

  /** A group that is gone, or made anew, begins again. */
  #follow(busy: ReadonlySet<string>): void {
    for (const path of busy) {
      const inodes = this.#inodes(path);
      const known = this.#followed.get(path);
      const isSame = known?.inodes === inodes;
      if (!isSame) this.#forget(path);
      const files = isSame ? known.files : this.#filesOf(path);
      this.#followed.delete(path);
      this.#followed.set(path, { files, inodes, busyRound: this.#round });
    }
    for (const [path, { busyRound }] of this.#followed) {
      const isOld = busyRound < this.#round - FOLLOW_ROUNDS;
      if (isOld || this.#followed.size > this.#maxGroups) this.#forget(path);
    }
  }

  #filesOf(path: string): Followed['files'] {
    return this.#mounts.flatMap(({ rank, mountPoint, root }) => {
      const folder = folderOf(path, mountPoint, root);
      if (folder === undefined) return [];
      return namesByRank.get(rank)!.map((name) => ({
        file: new KeptFile(`${folder}/${name}`),
        parse: cgroupParsers[name]!,
      }));
    });
  }

  #inodes(path: string): string {
    const inodes = this.#mounts.map(({ mountPoint, root }) => {
      const folder = folderOf(path, mountPoint, root);
      return folder && statSync(folder, { throwIfNoEntry: false })?.ino;
    });
    return inodes.join(' ');
  }

  #forget(path: string): void {
    for (const { file } of this.#followed.get(path)?.files ?? []) file.close();
    this.#followed.delete(path);
  }
}

/** The groups that processes were sampled in and those above them, the least busy first. */
function groupsOf(samples: readonly SampleRows[]): ReadonlySet<string> {
  const groups = new Set<string>();
  for (const { series } of samples) {
    for (let { cgroup } of series) {
      // Behind a mount that shows a part of the tree only, paths begin with `/..`.
      if (cgroup.startsWith('/..')) continue;
      for (; cgroup.length > 1; cgroup = cgroup.slice(0, cgroup.lastIndexOf('/'))) groups.add(cgroup);
    }
  }
  return groups;
}

function folderOf(path: string, mountPoint: string, root: string): string | undefined {
  if (root !== '' && path !== root && !path.startsWith(`${root}/`)) return undefined;
  return mountPoint + path.slice(root.length);
}
