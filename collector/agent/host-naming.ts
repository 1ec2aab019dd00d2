// Names for samples and events, from the process table, the cgroup
// table and the users' file. (front)

import type { CgroupPaths } from '../process/cgroups.js';
import type { Incarnation, ProcessTable } from '../process/table.js';
import type { UserNames } from '../process/users.js';
import { blockDeviceName } from '../host/block-devices.js';
import type { EventNaming } from '../pipeline/event-columns.js';
import type { KeyNaming } from '../pipeline/metric-columns.js';
import type { SampledImage, SampledMapping } from '../pipeline/samples.js';

/** A process that ended before the flush and lived less than this is folded with others of its
 *  executable: keeping each apart would let a storm of them grow the store without bound. */
const FOLD_BELOW_NS = 60e9;

export class HostNaming implements KeyNaming, EventNaming {
  readonly #table: ProcessTable;
  readonly #cgroups: CgroupPaths;
  readonly #users: UserNames;
  #bootUnixMs = 0;
  #span = { fromNs: -Infinity, toNs: Infinity };

  constructor(table: ProcessTable, cgroups: CgroupPaths, users: UserNames) {
    this.#table = table;
    this.#cgroups = cgroups;
    this.#users = users;
  }

  /** To be set before each flush: the wall clock may have been set.
   *  **Units**: unix time of boot, ms. */
  setBootTime(unixMs: number): void {
    this.#bootUnixMs = unixMs;
  }

  /** The same of when the samples were taken. **Units**: ktime, ns. */
  setSpan(fromKtimeNs: bigint, toKtimeNs: bigint): void {
    const [fromNs, toNs] = [this.#table.tableNs(fromKtimeNs), this.#table.tableNs(toKtimeNs)];
    this.#span = { fromNs, toNs };
  }

  get processCount(): number {
    return this.#table.counts.liveProcesses;
  }

  image(tgid: number, startBootNs: number, execId: number): SampledImage | undefined {
    const incarnation = this.#table.resolve(tgid, startBootNs, execId);
    if (incarnation === undefined) return undefined;
    return new NamedImage(incarnation, tgid, this.startUnixMs(startBootNs), this.#span);
  }

  executable(tgid: number, startBootNs: number, execId: number): string {
    return this.#table.resolve(tgid, startBootNs, execId)?.executable ?? '';
  }

  startUnixMs(startBootNs: number): number {
    return Math.round(this.#bootUnixMs + startBootNs / 1e6);
  }

  cgroupPath(rankedId: bigint): string {
    return this.#cgroups.path(rankedId);
  }

  userName(uid: number): string {
    return this.#users.name(uid);
  }

  deviceName(number: number): string {
    return blockDeviceName(number);
  }
}

interface Span {
  readonly fromNs: number;
  readonly toNs: number;
}

class NamedImage implements SampledImage {
  readonly id: number;
  readonly tgid: number;
  readonly startUnixMs: number;
  readonly isFolded: boolean;
  readonly comm: string;
  readonly executable: string;
  readonly #incarnation: Incarnation;
  readonly #span: Span;

  constructor(incarnation: Incarnation, tgid: number, startUnixMs: number, span: Span) {
    this.#incarnation = incarnation;
    this.#span = span;
    this.id = incarnation.id;
    this.tgid = tgid;
    this.startUnixMs = startUnixMs;
    this.isFolded = incarnation.endedNs - incarnation.startNs < FOLD_BELOW_NS;
    this.comm = incarnation.comm;
    this.executable = incarnation.executable;
  }

  threadName(tid: number): string {
    return this.#incarnation.threadName(tid);
  }

  findMapping(address: number) {
    return this.#incarnation.findMapping(address);
  }

  contentOf({ module, addedNs, removedNs }: SampledMapping) {
    const { fromNs, toNs } = this.#span;
    const endNs = Math.min(toNs, removedNs, this.#incarnation.endedNs);
    return module.contents.at(addedNs, fromNs, endNs);
  }
}
