// One process of the table: its start, its live threads, its program images. No I/O, and no
// knowledge of other processes but the exec lineage it shares with its family.

import { ExecLineage } from './exec-lineage.js';
import { Incarnation } from './incarnation.js';
import type { ImageStart } from './incarnation.js';

/** When the leader started, CLOCK_BOOTTIME: exactly known once a sample's key told
 *  it. **Units**: ns since boot. */
export interface StartRange {
  readonly lowBootNs: number;
  readonly highBootNs: number;
}

export interface ProcessStart {
  readonly tgid: number;
  readonly start: StartRange;
  /** -Infinity when it was there before the table. */
  readonly forkedNs: number;
  /** Of the first event or snapshot that spoke of it. */
  readonly firstSeenNs: number;
  readonly lineage: ExecLineage;
}

export class Process {
  readonly tgid: number;
  readonly forkedNs: number;
  readonly firstSeenNs: number;
  start: StartRange;
  lineage: ExecLineage;
  /** Of the first image that its lineage speaks of. */
  firstOffset = 0;
  /** An exec of it was missed: what is known of its image is not true any more. */
  isStale = false;
  endedNs = Infinity;
  liveThreads = 0;
  /** Without it there may be threads that no event told of, and only a snapshot can tell
   *  that the process has ended. */
  hasAllThreads: boolean;
  /** Oldest first; the last one is the current image. Never empty while
   *  the table holds the process. */
  images: Incarnation[] = [];
  /** The one that had this tgid before, while it is kept. */
  previous: Process | undefined;

  constructor(from: ProcessStart, previous: Process | undefined) {
    this.tgid = from.tgid;
    this.forkedNs = from.forkedNs;
    this.firstSeenNs = from.firstSeenNs;
    this.hasAllThreads = from.forkedNs !== -Infinity;
    this.start = from.start;
    this.lineage = from.lineage;
    this.previous = previous;
  }

  get current(): Incarnation {
    return this.images.at(-1)!;
  }

  get isLive(): boolean {
    return this.endedNs === Infinity;
  }

  /** Ends the image that ran and begins another, which has no threads
   *  yet. Returns the ended one. */
  startImage(id: number, image: ImageStart): Incarnation | undefined {
    const before = this.images.at(-1);
    if (before === undefined) this.firstOffset = image.execOffset;
    else this.#endImage(before, image.startNs);
    this.images = [...this.images, new Incarnation({ id, tgid: this.tgid }, image)];
    return before;
  }

  /** Adds a live thread, or gives it a new name. */
  nameThread(tid: number, comm: string, ns: number): void {
    const { current } = this;
    const known = current.threads.get(tid);
    if (known === undefined || known.endedNs !== Infinity) this.liveThreads++;
    if (known === undefined) current.threads.set(tid, { comm, namedNs: ns, endedNs: Infinity });
    else Object.assign(known, { comm, namedNs: ns, endedNs: Infinity });
    if (tid === this.tgid) current.comm = comm;
  }

  /** False: no such live thread. */
  endThread(tid: number, ns: number): boolean {
    const thread = this.current.threads.get(tid);
    if (thread === undefined || thread.endedNs !== Infinity) return false;
    thread.endedNs = ns;
    this.liveThreads--;
    return true;
  }

  end(ns: number): void {
    this.endedNs = ns;
    this.#endImage(this.current, ns);
  }

  /** True: the leader may have started then. */
  mayHaveStarted(range: StartRange): boolean {
    return this.start.lowBootNs <= range.highBootNs && range.lowBootNs <= this.start.highBootNs;
  }

  narrowStart(range: StartRange): void {
    const lowBootNs = Math.max(this.start.lowBootNs, range.lowBootNs);
    const highBootNs = Math.min(this.start.highBootNs, range.highBootNs);
    if (lowBootNs <= highBootNs) this.start = { lowBootNs, highBootNs };
  }

  /** The image with this exec id; undefined when it is no longer kept, `missed` when it
   *  cannot be by what is known. */
  imageOf(execId: number): Incarnation | 'missed' | undefined {
    const low = this.images[0]!.execOffset;
    const high = this.current.execOffset;
    const offset = this.lineage.offsetOf(execId, low, high);
    if (offset > high || offset < this.firstOffset) return 'missed';
    return this.images.find((image) => image.execOffset === offset);
  }

  /** The same by what is known so far; undefined also for an exec that may yet be told of. */
  peekImage(execId: number): Incarnation | undefined {
    const offset = this.lineage.peek(execId, this.images[0]!.execOffset, this.current.execOffset);
    if (offset < this.firstOffset) return undefined;
    return this.images.find((image) => image.execOffset === offset);
  }

  /** Execs may have been missed: earlier images cannot be told from the current one by their exec
   *  ids any more, nor this process's exec ids from those of its family. */
  forgetExecs(ns: number): void {
    this.images.splice(0, this.images.length - 1);
    this.firstOffset = this.current.execOffset;
    this.lineage = new ExecLineage(ns);
  }

  /** The name a new thread inherits; '' when it is not known. */
  nameOfForker(tid: number): string {
    return this.current.threads.get(tid)?.comm ?? (this.hasAllThreads ? this.current.comm : '');
  }

  /** Something of it is known to no event, only to /proc. */
  get isPartlyKnown(): boolean {
    const { current } = this;
    if (current.comm === '' || !current.space.isComplete) return true;
    let isUnnamed = false;
    current.threads.forEach(
      ({ comm, endedNs }) => (isUnnamed ||= comm === '' && endedNs === Infinity),
    );
    return isUnnamed;
  }

  /** The image that ran at that time, else the oldest one kept. */
  imageAt(ns: number): Incarnation {
    return this.images.findLast((image) => image.startNs <= ns) ?? this.images[0]!;
  }

  /** Learns from a record of `ns` which exec id the image had that ran then. False:
   *  it contradicts what is known. */
  learnExecId(execId: number, ns: number): boolean {
    if (ns < this.lineage.sinceNs) return true;
    const { execOffset } = this.imageAt(ns);
    return this.lineage.offsetOf(execId, execOffset, execOffset) === execOffset;
  }

  #endImage(image: Incarnation, ns: number): void {
    image.endedNs = ns;
    image.threads.forEach((thread) => {
      if (thread.endedNs === Infinity) thread.endedNs = ns;
    });
    this.liveThreads = 0;
  }
}
