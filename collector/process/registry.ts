// All processes that the table holds, live ones and those ended a while ago, with every
// limit in one place: what is over is refused or dropped oldest first, and counted. Knows
// nothing of events or snapshots.

import { AddressSpace } from './address-space.js';
import type { MappingBudget } from './address-space.js';
import type { ImageStart, Incarnation } from './incarnation.js';
import { ModuleTable } from './modules.js';
import type { ModuleRef } from './modules.js';
import { Process } from './process.js';
import type { ProcessStart } from './process.js';
import { isEndedSince } from './thread-map.js';
import type { ThreadMap } from './thread-map.js';

export interface TableLimits {
  /** Program images kept, live and ended. */
  readonly images: number;
  /** Thread names kept. */
  readonly threads: number;
  /** Mapping entries of all processes; a space shared after fork counts
   *  once. About 100 bytes each. */
  readonly mappings: number;
  readonly mappingsPerProcess: number;
  readonly modules: number;
  /** Threads, and processes, whose last exit is remembered. */
  readonly exits: number;
}

export const defaultLimits: TableLimits = {
  images: 65_536,
  threads: 262_144,
  mappings: 131_072,
  mappingsPerProcess: 16_384,
  modules: 65_536,
  exits: 16_384,
};

const FIRST_MODULE_SWEEP = 1024;

type EndedThread = readonly [threads: ThreadMap, tid: number];

export class Registry {
  readonly modules: ModuleTable;
  readonly mappings: MappingBudget;
  images = 0;
  threads = 0;
  liveProcesses = 0;
  /** Forks, execs and snapshots for which there was no room; ended images
   *  forgotten early to make room. */
  droppedProcesses = 0;
  evictedImages = 0;
  droppedThreads = 0;
  readonly #limits: TableLimits;
  readonly #byTgid = new Map<number, Process>();
  /** tid -> time of its last exit, known or not: a fork may come later than the exit. */
  readonly #exits = new Map<number, number>();
  /** tgid -> time of the last exit of a thread of it. */
  readonly #groupExits = new Map<number, number>();
  /** Oldest first, as far as they ended in order. */
  #endedImages: Incarnation[] = [];
  #endedThreads: EndedThread[] = [];
  readonly #spacesWithRemoved = new Set<AddressSpace>();
  #nextImageId = 0;
  #sweepModulesAt = FIRST_MODULE_SWEEP;

  constructor(limits: TableLimits) {
    this.#limits = limits;
    this.modules = new ModuleTable(limits.modules);
    this.mappings = {
      used: 0,
      dropped: 0,
      limit: limits.mappings,
      limitPerSpace: limits.mappingsPerProcess,
    };
  }

  /** The newest one with this tgid, live or ended. */
  find(tgid: number): Process | undefined {
    return this.#byTgid.get(tgid);
  }

  *live(): IterableIterator<Process> {
    for (const process of this.#byTgid.values()) if (process.isLive) yield process;
  }

  /** A live process without threads yet; undefined when there is no room. Its
   *  predecessor must have ended. */
  add(process: ProcessStart, image: ImageStart): Process | undefined {
    if (this.images >= this.#limits.images && !this.#evictOldest()) {
      this.droppedProcesses++;
      return undefined;
    }
    const added = new Process(process, this.#byTgid.get(process.tgid));
    this.#byTgid.set(process.tgid, added);
    this.liveProcesses++;
    this.#startImage(added, image);
    return added;
  }

  /** The process executes another program: its leader is the only thread left. */
  exec(process: Process, image: { ns: number; comm: string }): void {
    const { current } = process;
    this.#startImage(process, {
      parentTgid: current.parentTgid,
      startNs: image.ns,
      comm: image.comm,
      space: new AddressSpace(this.mappings, true),
      execOffset: current.execOffset + 1,
      isExec: true,
    });
    process.hasAllThreads = true;
    this.nameThread(process, process.tgid, image.comm, image.ns);
    if (this.images > this.#limits.images) this.#evictOldest();
  }

  /** Starts over with an image of which nothing is known, after an exec was missed. */
  startOver(process: Process, ns: number): void {
    const { parentTgid } = process.current;
    const space = this.unknownSpace();
    this.#startImage(process, {
      parentTgid,
      startNs: ns,
      comm: '',
      space,
      execOffset: 0,
      isExec: false,
    });
    process.forgetExecs(ns);
    process.isStale = false;
  }

  unknownSpace(): AddressSpace {
    return new AddressSpace(this.mappings, false);
  }

  /** Adds a thread, or gives it a new name. */
  nameThread(process: Process, tid: number, comm: string, ns: number): void {
    const { threads } = process.current;
    if (!threads.has(tid)) {
      if (this.threads >= this.#limits.threads && tid !== process.tgid) {
        this.droppedThreads++;
        return;
      }
      this.threads++;
    }
    process.nameThread(tid, comm, ns);
  }

  /** Ends the process with its last thread. False: no such live thread. */
  endThread(process: Process, tid: number, ns: number): boolean {
    if (!process.endThread(tid, ns)) return false;
    if (process.liveThreads === 0 && process.hasAllThreads) this.endProcess(process, ns);
    else this.#endedThreads.push([process.current.threads, tid]);
    return true;
  }

  endProcess(process: Process, ns: number): void {
    if (!process.isLive) return;
    process.end(ns);
    this.liveProcesses--;
    this.#endedImages.push(process.current);
  }

  noteExit(tgid: number, tid: number, ns: number): void {
    setNewest(this.#exits, { key: tid, value: ns, limit: this.#limits.exits });
    setNewest(this.#groupExits, { key: tgid, value: ns, limit: this.#limits.exits });
  }

  /** When a thread of this id last ended; -Infinity when that is not known. */
  lastExit(tid: number): number {
    return this.#exits.get(tid) ?? -Infinity;
  }

  /** When any thread of a process of this tgid last ended; -Infinity when that is not known. */
  lastGroupExit(tgid: number): number {
    return this.#groupExits.get(tgid) ?? -Infinity;
  }

  /** To be called after an image's mappings changed. */
  noteRemoved(space: AddressSpace): void {
    if (space.removed.length > 0) this.#spacesWithRemoved.add(space);
  }

  /** Forgets what ended or was removed before. */
  expire(beforeNs: number): void {
    const images = countHead(this.#endedImages, ({ endedNs }) => endedNs < beforeNs);
    for (const image of this.#endedImages.splice(0, images)) this.#forget(image);
    const threads = countHead(
      this.#endedThreads,
      ([map, tid]) => !isEndedSince(map.get(tid), beforeNs),
    );
    for (const [map, tid] of this.#endedThreads.splice(0, threads)) {
      if (map.get(tid)?.endedNs !== Infinity && map.delete(tid)) this.threads--;
    }
    for (const space of this.#spacesWithRemoved) {
      if (space.owners > 0) space.trim(beforeNs);
      if (space.owners === 0 || space.removed.length === 0) this.#spacesWithRemoved.delete(space);
    }
    for (const exits of [this.#exits, this.#groupExits]) {
      for (const [id, ns] of exits) if (ns < beforeNs) exits.delete(id);
    }
    if (this.modules.size >= this.#sweepModulesAt) this.#sweepModules();
  }

  #startImage(process: Process, image: ImageStart): void {
    const before = process.startImage(this.#nextImageId++, image);
    if (before !== undefined) this.#endedImages.push(before);
    this.images++;
  }

  #evictOldest(): boolean {
    const oldest = this.#endedImages.shift();
    if (oldest === undefined) return false;
    this.evictedImages++;
    this.#forget(oldest);
    return true;
  }

  #forget(image: Incarnation): void {
    this.images--;
    this.threads -= image.threads.size;
    image.threads.clear();
    image.space.release();
    let process = this.#byTgid.get(image.tgid);
    while (process !== undefined && !process.images.includes(image)) process = process.previous;
    if (process === undefined) return; // forgotten with others when execs were missed
    process.images = process.images.filter((each) => each !== image);
    if (process.images.length === 0) this.#unlink(process);
  }

  #unlink(process: Process): void {
    const newest = this.#byTgid.get(process.tgid);
    if (newest === process) {
      if (process.previous === undefined) this.#byTgid.delete(process.tgid);
      else this.#byTgid.set(process.tgid, process.previous);
      return;
    }
    let newer = newest;
    while (newer !== undefined && newer.previous !== process) newer = newer.previous;
    if (newer !== undefined) newer.previous = process.previous;
  }

  #sweepModules(): void {
    const used = new Set<ModuleRef>();
    for (const newest of this.#byTgid.values()) {
      for (
        let process: Process | undefined = newest;
        process !== undefined;
        process = process.previous
      ) {
        for (const { space } of process.images) {
          for (const { module } of space.live) used.add(module);
          for (const { module } of space.removed) used.add(module);
        }
      }
    }
    this.modules.retain(used);
    const nextSize = Math.min(2 * this.modules.size, this.#limits.modules);
    this.#sweepModulesAt = Math.max(FIRST_MODULE_SWEEP, nextSize);
  }
}

/** Sets an entry as the newest of a map that forgets its oldest ones. */
function setNewest(
  map: Map<number, number>,
  entry: { key: number; value: number; limit: number },
): void {
  map.delete(entry.key);
  if (map.size >= entry.limit) map.delete(map.keys().next().value!);
  map.set(entry.key, entry.value);
}

/** Length of the longest head whose items all fulfil the condition. */
function countHead<T>(items: readonly T[], condition: (item: T) => boolean): number {
  const end = items.findIndex((item) => !condition(item));
  return end < 0 ? items.length : end;
}
