// A small kernel for random tests: processes that fork, exec, map, rename and exit on several CPUs. It says
// what perf would record, what /proc would show and which image a sample's key means.

import type { SidebandEvent } from '../../../collector/process/sideband-records.js';
import type { ProcSnapshot } from '../../../collector/process/snapshot-merge.js';
import type { ImageKey } from '../../../collector/process/table.js';
import { bootNs } from './build.js';

export interface ModelImage {
  readonly id: number;
  readonly key: ImageKey;
  comm: string;
  executable: string;
  /** Page -> `path+page` of the file. */
  readonly pages: Map<number, string>;
  readonly threads: Map<number, string>;
  /** Its memory, or what it was copied from, is older than the first event. */
  readonly isOld: boolean;
}

interface ModelProcess {
  readonly tgid: number;
  readonly startNs: number;
  readonly parentTgid: number;
  execId: number;
  readonly threads: Set<number>;
  image: ModelImage;
}

/** A tgid is not used again within this time of its last fork. */
const REUSE_NS = 25_000_000;
const PAGES = 12;

/** `choose(n)` gives an integer in [0, n). */
export class ModelKernel {
  ns: number;
  isObserved = false;
  readonly images: ModelImage[] = [];
  readonly processes = new Map<number, ModelProcess>();
  readonly onEvent: (event: SidebandEvent, cpu: number) => void;
  readonly onKey: (key: ImageKey, ns: number) => void;
  readonly #choose: (n: number) => number;
  readonly #cpus: number;
  readonly #freeTids: number[] = [];
  readonly #lastForkNs = new Map<number, number>();
  #names = 0;

  constructor(options: {
    readonly startNs: number;
    readonly cpus: number;
    readonly tids: number;
    readonly choose: (n: number) => number;
    readonly onEvent: (event: SidebandEvent, cpu: number) => void;
    readonly onKey: (key: ImageKey, ns: number) => void;
  }) {
    this.ns = options.startNs;
    this.#cpus = options.cpus;
    this.#choose = options.choose;
    this.onEvent = options.onEvent;
    this.onKey = options.onKey;
    for (let tid = 2; tid < 2 + options.tids; tid++) this.#freeTids.push(tid);
    this.#addProcess({ tgid: 1, parentTgid: 0, execId: 1, from: undefined });
  }

  /** One random thing happens. */
  step(): void {
    this.ns += 1000 + this.#choose(3_000_000);
    const process = this.#pick([...this.processes.values()]);
    switch (this.#choose(8)) {
      case 0:
      case 1:
        return this.#fork(process);
      case 2:
        return this.#exec(process);
      case 3:
        return this.#clone(process);
      case 4:
        return this.#exitThread(process, this.#pick([...process.threads]));
      case 5:
        return this.#rename(process, this.#pick([...process.threads]));
      default:
        return this.#map(process);
    }
  }

  isCurrent(image: ModelImage): boolean {
    return this.processes.get(image.key.tgid)?.image === image;
  }

  /** As read by somebody who began at `beginNs`. */
  snapshot(tgid: number, beginNs: number): ProcSnapshot {
    const process = this.processes.get(tgid)!;
    const { image } = process;
    return {
      tgid,
      parentTgid: process.parentTgid,
      startBootNs: Math.floor(bootNs(process.startNs) / 1e7) * 1e7,
      comm: image.comm,
      executable: image.executable,
      threads: [...process.threads].map((tid) => ({ tid, comm: image.threads.get(tid)! })),
      mappings: [...image.pages].map(([page, file]) => {
        const [path, offset] = file.split('+') as [string, string];
        const [start, limit] = [page * 4096, (page + 1) * 4096];
        return { start, limit, fileOffset: Number(offset) * 4096, path, device: '8:1', inode: 7n };
      }),
      beginNs,
      endNs: this.ns,
    };
  }

  #fork(parent: ModelProcess): void {
    const tgid = this.#takeTid();
    if (tgid === undefined) return;
    const parentTid = this.#pick([...parent.threads]);
    this.#addProcess({ tgid, parentTgid: parent.tgid, execId: parent.execId, from: { parent, parentTid } });
    this.ns += 1 + this.#choose(50_000);
    this.#emit({ kind: 'fork', ns: this.ns, tgid, tid: tgid, parentTgid: parent.tgid, parentTid });
  }

  #addProcess(of: {
    readonly tgid: number;
    readonly parentTgid: number;
    readonly execId: number;
    readonly from: { readonly parent: ModelProcess; readonly parentTid: number } | undefined;
  }): void {
    const { tgid, from } = of;
    const key = { tgid, startBootNs: bootNs(this.ns), execId: of.execId };
    const image = this.#newImage(key, from?.parent.image);
    image.comm = from?.parent.image.threads.get(from.parentTid) ?? 'init';
    image.threads.set(tgid, image.comm);
    this.processes.set(tgid, { ...of, startNs: this.ns, threads: new Set([tgid]), image });
    this.#lastForkNs.set(tgid, this.ns);
  }

  #newImage(key: ImageKey, copyOf: ModelImage | undefined): ModelImage {
    const image: ModelImage = {
      id: this.images.length,
      key,
      comm: '',
      executable: copyOf?.executable ?? '',
      pages: new Map(copyOf?.pages),
      threads: new Map(),
      isOld: copyOf?.isOld ?? !this.isObserved,
    };
    this.images.push(image);
    return image;
  }

  #exec(process: ModelProcess): void {
    const { tgid } = process;
    const caller = this.#pick([...process.threads]);
    for (const tid of process.threads) {
      if (tid === caller) continue;
      this.ns += 10;
      this.#emit({ kind: 'exit', ns: this.ns, tgid, tid });
    }
    for (const tid of process.threads) if (tid !== tgid) this.#freeTids.push(tid);
    process.threads.clear();
    process.threads.add(tgid);
    process.execId++;
    process.image = this.#newImage({ ...process.image.key, execId: process.execId }, undefined);
    const comm = `prog${this.#names++}`;
    process.image.comm = comm;
    process.image.threads.set(tgid, comm);
    process.image.executable = `/bin/${comm}`;
    this.ns += 10;
    this.#emit({ kind: 'comm', ns: this.ns, tgid, tid: tgid, comm, isExec: true });
    this.#mapFile(process, [1 + this.#choose(3), 4], process.image.executable);
    this.#tellKey(process);
  }

  #clone(process: ModelProcess): void {
    const tid = this.#takeTid();
    if (tid === undefined) return;
    const parentTid = this.#pick([...process.threads]);
    process.threads.add(tid);
    process.image.threads.set(tid, process.image.threads.get(parentTid)!);
    this.#emit({ kind: 'fork', ns: this.ns, tgid: process.tgid, tid, parentTgid: process.tgid, parentTid });
  }

  #exitThread(process: ModelProcess, tid: number): void {
    const { tgid } = process;
    if (tgid === 1) return;
    process.threads.delete(tid);
    if (tid !== tgid) this.#freeTids.push(tid);
    if (process.threads.size === 0) {
      this.#tellKey(process);
      this.processes.delete(tgid);
      this.#freeTids.push(tgid);
    }
    this.#emit({ kind: 'exit', ns: this.ns, tgid, tid });
  }

  #rename(process: ModelProcess, tid: number): void {
    const comm = `name${this.#names++}`;
    process.image.threads.set(tid, comm);
    if (tid === process.tgid) process.image.comm = comm;
    this.#emit({ kind: 'comm', ns: this.ns, tgid: process.tgid, tid, comm, isExec: false });
  }

  #map(process: ModelProcess): void {
    const start = 1 + this.#choose(PAGES);
    this.#mapFile(process, [start, start + 1 + this.#choose(3)], `/lib/${this.#choose(5)}.so`);
  }

  #mapFile(process: ModelProcess, [start, limit]: readonly [number, number], path: string): void {
    const offset = this.#choose(3);
    const { pages } = process.image;
    for (let page = start; page < limit; page++) pages.set(page, `${path}+${offset + page - start}`);
    const { tgid } = process;
    const file = { path, device: '8:1', inode: 7n };
    const span = { start: start * 4096, limit: limit * 4096, fileOffset: offset * 4096 };
    this.ns += 10;
    this.#emit({ kind: 'mmap', ns: this.ns, tgid, tid: tgid, ...span, ...file });
  }

  #tellKey(process: ModelProcess): void {
    if (this.isObserved) this.onKey(process.image.key, this.ns);
  }

  #emit(event: SidebandEvent): void {
    if (this.isObserved) this.onEvent(event, this.#choose(this.#cpus));
  }

  #takeTid(): number | undefined {
    const lastUsedNs = this.ns - REUSE_NS;
    const index = this.#freeTids.findIndex((tid) => (this.#lastForkNs.get(tid) ?? -Infinity) < lastUsedNs);
    return index < 0 ? undefined : this.#freeTids.splice(index, 1)[0];
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#choose(items.length)]!;
  }
}
