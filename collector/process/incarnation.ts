// One program image of a process: what samples are attributed to. It lives from fork or exec to the
// next exec or the exit, and is kept for a while after that.

import type { AddressSpace, Mapping } from './address-space.js';
import { ThreadMap } from './thread-map.js';

export interface ImageStart {
  readonly parentTgid: number;
  readonly startNs: number;
  readonly comm: string;
  readonly space: AddressSpace;
  /** Relative to its lineage. */
  readonly execOffset: number;
  readonly isExec: boolean;
}

/** **Units**: times in ns of the process table. */
export class Incarnation {
  readonly id: number;
  readonly tgid: number;
  readonly execOffset: number;
  /** Began by an exec that was seen; else by fork, or before the table did. */
  readonly isExec: boolean;
  /** Of the fork or exec; the process's start where it was read from /proc. */
  startNs: number;
  parentTgid: number;
  /** Name of the leader; '' when not known yet. */
  comm: string;
  /** Infinity while it runs. */
  endedNs = Infinity;
  /** Changes whenever a mapping does. */
  mappingGeneration = 0;
  /** When events were last lost, unless /proc was read since; else -Infinity. */
  doubtNs = -Infinity;
  readonly threads = new ThreadMap();
  #space: AddressSpace;

  constructor(of: { readonly id: number; readonly tgid: number }, start: ImageStart) {
    this.id = of.id;
    this.tgid = of.tgid;
    this.parentTgid = start.parentTgid;
    this.startNs = start.startNs;
    this.comm = start.comm;
    this.execOffset = start.execOffset;
    this.isExec = start.isExec;
    this.#space = start.space;
  }

  get space(): AddressSpace {
    return this.#space;
  }

  /** Path of the program as the process saw it; '' when not known, and for kernel threads. */
  get executable(): string {
    return this.#space.executable;
  }

  /** The mapping at this address now, else the one most recently there. */
  findMapping(address: number): Mapping | undefined {
    return this.#space.find(address);
  }

  /** The last name known of this thread, which may have ended; else the leader's. */
  threadName(tid: number): string {
    return this.threads.get(tid)?.comm || this.comm;
  }

  /** The first file that exec maps is the program itself. False: nothing changed. */
  map(mapping: Mapping): boolean {
    const space = this.#ownSpace();
    if (!space.insert(mapping)) return false;
    const isProgram = this.isExec && space.executable === '' && mapping.module.kind === 'file';
    if (isProgram) space.executable = mapping.module.module.path;
    this.mappingGeneration++;
    return true;
  }

  get isDoubtful(): boolean {
    return this.doubtNs !== -Infinity;
  }

  /** Its mappings have to be read from /proc. */
  get needsReading(): boolean {
    return this.isDoubtful || !this.#space.isComplete;
  }

  /** Takes over mappings and executable read from /proc. Those who share a space that was
   *  incomplete gain from it too: none of them has changed it since. */
  rebase(mappings: readonly Mapping[], executable: string, readNs: number): void {
    const { isDoubtful } = this;
    if (readNs >= this.doubtNs) this.doubtNs = -Infinity;
    if (this.#space.isComplete && this.#space.equals(mappings)) return;
    const space = this.#space.isComplete || isDoubtful ? this.#ownSpace() : this.#space;
    if (isDoubtful) space.clear(readNs);
    space.rebase(mappings, readNs);
    if (executable !== '' || isDoubtful) space.executable = executable;
    this.mappingGeneration++;
  }

  #ownSpace(): AddressSpace {
    if (this.#space.owners > 1) {
      const copy = this.#space.clone();
      this.#space.release();
      this.#space = copy;
    }
    return this.#space;
  }
}
