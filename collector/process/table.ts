// Processes, their program images, threads and mappings by time, from side-band events in the order
// of their times and from snapshots of /proc for what was there before. Pure: no I/O, no clock.
//
//   tgid 100   fork ──────────── exec ────────────────── exit ─ ─ ─ ─ expire
//   images     ├ #1 of the parent┤├ #2, its own mappings ┤┈┈┈┈┈┈┈┈┈┈┈┈┤  kept for samples drained later
//   tid 101                        fork ──── exit
//
// A sample's key names the image: start of the leader (boot time), tgid, exec id. Events
// have no boot time and no exec id: the start is found as the fork next after it, the
// exec id through an ExecLineage.

import { ExecLineage } from './exec-lineage.js';
import type { MetContent } from './file-contents.js';
import type { Incarnation } from './incarnation.js';
import type { FileIdentity } from './modules.js';
import type { Process, StartRange } from './process.js';
import { defaultLimits, Registry } from './registry.js';
import type { TableLimits } from './registry.js';
import type {
  CommEvent,
  ForkEvent,
  LostEvent,
  MmapEvent,
  SidebandEvent,
} from './sideband-records.js';
import { mergeSnapshot } from './snapshot-merge.js';
import type { ProcSnapshot } from './snapshot-merge.js';

export type { Incarnation };

export interface TableOptions {
  /** Zero of the table's times. */
  readonly baseKtimeNs: bigint;
  readonly bootMinusMonotonicNs: bigint;
  readonly limits?: Partial<TableLimits>;
}

/** Names one program image as the kernel does, struct fk_incarnation. **Units**: ns
 *  since boot, rounded to a double. */
export interface ImageKey {
  readonly tgid: number;
  readonly startBootNs: number;
  readonly execId: number;
}

interface PendingKey {
  readonly key: ImageKey;
  readonly ns: number;
}

/** Which processes to read from /proc. */
export type Resync = 'all' | readonly number[];

export interface TableCounts {
  readonly liveProcesses: number;
  readonly images: number;
  readonly threads: number;
  readonly mappings: number;
  readonly modules: number;
  readonly droppedProcesses: number;
  readonly droppedThreads: number;
  readonly droppedMappings: number;
  readonly droppedModules: number;
  readonly evictedImages: number;
  readonly lostEvents: number;
  readonly missedExecs: number;
}

const MIN_FULL_INTERVAL_NS = 5_000_000_000;
const MAX_RESYNC_TGIDS = 256;
const MAX_PENDING_KEYS = 65_536;
/** An event may come so much later than its time says: a virtual CPU can lose its own between the two. */
export const LATE_EVENT_NS = 200_000_000;
/** From the leader's start to the fork event at the end of
 *  copy_process; a busy host may take long. */
const MAX_FORK_NS = 10_000_000_000;
/** Error of the clocks' offset. */
const CLOCK_SLOP_NS = 1_000_000;

/** **Units**: every time is in ns of CLOCK_MONOTONIC since `baseKtimeNs`, exact for 104 days. */
export class ProcessTable {
  readonly #baseKtimeNs: bigint;
  readonly #registry: Registry;
  #bootAheadNs = 0;
  #snapshots: ProcSnapshot[] = [];
  #absences: { tgid: number; ns: number }[] = [];
  #keys: PendingKey[] = [];
  #fullSnapshot: { beginNs: number; endNs: number; tgids: Set<number> } | undefined;
  #needsAll = false;
  #nextFullNs = -Infinity;
  #horizonNs = -Infinity;
  readonly #resyncTgids = new Set<number>();
  #lostEvents = 0;
  #lostNs = -Infinity;
  #missedExecs = 0;

  constructor(options: TableOptions) {
    this.#baseKtimeNs = options.baseKtimeNs;
    this.#registry = new Registry({ ...defaultLimits, ...options.limits });
    this.setBootOffset(options.bootMinusMonotonicNs);
  }

  get counts(): TableCounts {
    const registry = this.#registry;
    return {
      liveProcesses: registry.liveProcesses,
      images: registry.images,
      threads: registry.threads,
      mappings: registry.mappings.used,
      modules: registry.modules.size,
      droppedProcesses: registry.droppedProcesses,
      droppedThreads: registry.droppedThreads,
      droppedMappings: registry.mappings.dropped,
      droppedModules: registry.modules.overflows,
      evictedImages: registry.evictedImages,
      lostEvents: this.#lostEvents,
      missedExecs: this.#missedExecs,
    };
  }

  /** To be called again after the host was suspended. */
  setBootOffset(bootMinusMonotonicNs: bigint): void {
    this.#bootAheadNs = Number(this.#baseKtimeNs + bootMinusMonotonicNs);
  }

  tableNs(ktimeNs: bigint): number {
    return Number(ktimeNs - this.#baseKtimeNs);
  }

  /** Events must come in the order of their times; a few late ones do no harm. */
  apply(event: SidebandEvent): void {
    switch (event.kind) {
      case 'fork':
        return this.#applyFork(event);
      case 'exit':
        return this.#applyExit(event.tgid, event.tid, event.ns);
      case 'comm':
        return this.#applyComm(event);
      case 'mmap':
        return this.#applyMmap(event);
      case 'lost':
        return this.#applyLost(event);
    }
  }

  /** All events up to here were applied: snapshots and keys that waited for that are taken in. */
  advance(horizonNs: number): void {
    this.#horizonNs = horizonNs;
    const isDue = ({ endNs }: ProcSnapshot): boolean => endNs <= horizonNs;
    const context = {
      registry: this.#registry,
      bootAheadNs: this.#bootAheadNs,
      lostNs: this.#lostNs,
    };
    for (const snapshot of this.#snapshots) if (isDue(snapshot)) mergeSnapshot(context, snapshot);
    this.#snapshots = this.#snapshots.filter((snapshot) => !isDue(snapshot));
    for (const { tgid, ns } of this.#absences) if (ns <= horizonNs) this.#endAbsent(tgid, ns);
    this.#absences = this.#absences.filter(({ ns }) => ns > horizonNs);
    this.#keys = this.#keys.filter((each) => !this.#learn(each, horizonNs));
    if (this.#fullSnapshot !== undefined && this.#fullSnapshot.endNs <= horizonNs) {
      this.#endUnlisted();
    }
  }

  /** A snapshot of all processes begins: those not added until its end are taken to have ended. */
  beginSnapshot(beginNs: number): void {
    this.#fullSnapshot = { beginNs, endNs: Infinity, tgids: new Set() };
    this.#nextFullNs = beginNs + MIN_FULL_INTERVAL_NS;
    this.#needsAll = false;
    this.#resyncTgids.clear();
  }

  addSnapshot(snapshot: ProcSnapshot): void {
    this.#snapshots.push(snapshot);
    this.#fullSnapshot?.tgids.add(snapshot.tgid);
  }

  /** There was no such process at `ns`. */
  addAbsence(tgid: number, ns: number): void {
    this.#absences.push({ tgid, ns });
  }

  endSnapshot(endNs: number): void {
    if (this.#fullSnapshot !== undefined) this.#fullSnapshot.endNs = endNs;
  }

  /** Which processes should be read from /proc, since events were lost or do not tell
   *  all; asking takes the request back. To be asked after each advance(). **Limits**:
   *  all of them at most every 5 s. */
  takeResync(): Resync | undefined {
    const tgids = [...this.#resyncTgids];
    this.#resyncTgids.clear();
    if (this.#needsAll && this.#horizonNs >= this.#nextFullNs) {
      this.#needsAll = false;
      return 'all';
    }
    return tgids.length > 0 ? tgids : undefined;
  }

  /** Tells the exec id of the image that ran at `ns`, from a kernel record of that time; waits for
   *  advance(). */
  learnExecId(key: ImageKey, ns: number): void {
    if (this.#keys.length < MAX_PENDING_KEYS) this.#keys.push({ key, ns });
  }

  /** The image that a sample's key means. Events up to the sample's time must have been applied.
   *  undefined: its process was never seen or is forgotten, or an exec of it was lost. */
  resolve(tgid: number, startBootNs: number, execId: number): Incarnation | undefined {
    const process = this.#match(tgid, startBootNs);
    if (process === undefined || process.isStale) return undefined;
    const image = process.imageOf(execId);
    if (image !== 'missed') return image;
    this.#markStale(process);
    return undefined;
  }

  /** The same for a key of a moment of which not all events may have been told yet: nothing is learnt
   *  from it. A key of a second image, taken for one of the first, would be wrong for all the family. */
  peek(tgid: number, startBootNs: number, execId: number): Incarnation | undefined {
    const process = this.#match(tgid, startBootNs);
    return process === undefined || process.isStale ? undefined : process.peekImage(execId);
  }

  /** A stack met this content in a file, as the kernel or a mapping numbers it. */
  met(file: Pick<FileIdentity, 'device' | 'inode'>, content: MetContent): void {
    this.#registry.modules.met(file, content);
  }

  /** Forgets images, thread names and mappings that ended before. */
  expire(beforeNs: number): void {
    this.#registry.expire(beforeNs);
  }

  #applyFork(event: ForkEvent): void {
    const { ns, tgid, tid, parentTgid, parentTid } = event;
    const parent = parentTgid > 0 ? this.#processAt(parentTgid, parentTid, ns) : undefined;
    const comm = parent?.nameOfForker(parentTid) ?? '';
    if (parentTgid === tgid) {
      if (parent?.isLive !== true) return;
      this.#registry.nameThread(parent, tid, comm, ns);
    } else {
      const child = this.#addChild(event, parent);
      if (child === undefined) return;
      this.#registry.nameThread(child, tid, comm, ns);
    }
    const exitNs = this.#registry.lastExit(tid);
    if (exitNs >= ns) this.#applyExit(tgid, tid, exitNs);
  }

  #addChild(event: ForkEvent, parent: Process | undefined): Process | undefined {
    const { tgid, parentTgid, parentTid, ns } = event;
    const registry = this.#registry;
    const bootNs = this.#bootNs(ns);
    const exitNs = registry.lastGroupExit(tgid);
    const freeBootNs = exitNs < ns ? this.#bootNs(exitNs) : -Infinity;
    const lowBootNs = Math.max(bootNs - MAX_FORK_NS, freeBootNs);
    const start = { lowBootNs, highBootNs: bootNs + CLOCK_SLOP_NS };
    const before = registry.find(tgid);
    if (before?.isLive === true) {
      const isLateFork = before.firstSeenNs >= ns;
      if (isLateFork) before.narrowStart(start);
      if (isLateFork) return undefined;
      registry.endProcess(before, ns);
    }
    const space = parent?.current.space ?? registry.unknownSpace();
    if (parent !== undefined) space.owners++;
    const lineage = parent?.lineage ?? new ExecLineage();
    const comm = parent?.nameOfForker(parentTid) ?? '';
    const execOffset = parent?.current.execOffset ?? 0;
    const child = registry.add(
      { tgid, start, forkedNs: ns, firstSeenNs: ns, lineage },
      { parentTgid, startNs: ns, comm, space, execOffset, isExec: false },
    );
    if (child === undefined) space.release();
    else child.current.doubtNs = parent?.current.doubtNs ?? -Infinity;
    if (child?.isPartlyKnown === true && this.#fullSnapshot === undefined) {
      this.#requestReading(tgid);
    }
    return child;
  }

  #applyExit(tgid: number, tid: number, ns: number): void {
    const process = this.#registry.find(tgid);
    if (process?.isLive === true) this.#registry.endThread(process, tid, ns);
    this.#registry.noteExit(tgid, tid, ns);
  }

  #applyComm({ tgid, tid, ns, comm, isExec }: CommEvent): void {
    const process = this.#processAt(tgid, tid, ns);
    if (process?.isLive !== true) return;
    if (isExec) this.#registry.exec(process, { ns, comm });
    else this.#registry.nameThread(process, tid, comm, ns);
  }

  #applyMmap(event: MmapEvent): void {
    const process = this.#processAt(event.tgid, event.tid, event.ns);
    if (process === undefined) return;
    const { start, limit, fileOffset, ns } = event;
    const image = process.imageAt(ns);
    const module = this.#registry.modules.intern(event);
    const isChanged = image.map({
      start,
      limit,
      fileOffset,
      module,
      addedNs: ns,
      removedNs: Infinity,
    });
    if (isChanged) this.#registry.noteRemoved(image.space);
  }

  #applyLost({ count, ns }: LostEvent): void {
    this.#lostEvents += count;
    this.#lostNs = ns;
    this.#needsAll = true;
    for (const process of this.#registry.live()) {
      process.current.doubtNs = ns;
      process.hasAllThreads = false;
      process.forgetExecs(ns);
    }
  }

  /** The process that an event of this time belongs to. One that nothing was known of was there
   *  before the table: what the event does not tell of it comes with a snapshot. */
  #processAt(tgid: number, tid: number, ns: number): Process | undefined {
    const registry = this.#registry;
    const newest = registry.find(tgid);
    if (newest !== undefined && newest.endedNs >= ns) return newest;
    const added = registry.add(
      {
        tgid,
        start: { lowBootNs: 0, highBootNs: this.#bootNs(ns) + CLOCK_SLOP_NS },
        forkedNs: -Infinity,
        firstSeenNs: ns,
        lineage: new ExecLineage(),
      },
      {
        parentTgid: 0,
        startNs: ns,
        comm: '',
        space: registry.unknownSpace(),
        execOffset: 0,
        isExec: false,
      },
    );
    if (added !== undefined) {
      for (const known of new Set([tgid, tid])) registry.nameThread(added, known, '', -Infinity);
    }
    return added;
  }

  /** Of those with this tgid, the one whose start lies next after `startBootNs`. */
  #match(tgid: number, startBootNs: number): Process | undefined {
    const range: StartRange = { lowBootNs: startBootNs, highBootNs: startBootNs };
    let best: Process | undefined;
    for (let p = this.#registry.find(tgid); p !== undefined; p = p.previous) {
      const isNearer = best === undefined || p.start.highBootNs < best.start.highBootNs;
      if (isNearer && p.mayHaveStarted(range)) best = p;
    }
    best?.narrowStart(range);
    return best;
  }

  /** Whether the key is done with. One that no event explains waits for an event that comes late. */
  #learn({ key: { tgid, startBootNs, execId }, ns }: PendingKey, horizonNs: number): boolean {
    if (ns > horizonNs) return false;
    const process = this.#match(tgid, startBootNs);
    if (process?.isStale !== false || process.learnExecId(execId, ns)) return true;
    if (ns > horizonNs - LATE_EVENT_NS) return false;
    this.#markStale(process);
    return true;
  }

  #markStale(process: Process): void {
    this.#missedExecs++;
    if (!process.isLive) return;
    process.isStale = true;
    this.#requestReading(process.tgid);
  }

  #requestReading(tgid: number): void {
    if (this.#resyncTgids.size < MAX_RESYNC_TGIDS) this.#resyncTgids.add(tgid);
    else this.#needsAll = true;
  }

  #endAbsent(tgid: number, ns: number): void {
    const process = this.#registry.find(tgid);
    if (process !== undefined && process.firstSeenNs < ns) this.#registry.endProcess(process, ns);
  }

  /** Old ones that the snapshot did not list have ended; young ones may have got too little from
   *  parents that were not known yet. */
  #endUnlisted(): void {
    const { beginNs, endNs, tgids } = this.#fullSnapshot!;
    this.#fullSnapshot = undefined;
    for (const process of this.#registry.live()) {
      const isOld = process.firstSeenNs < (process.forkedNs === -Infinity ? endNs : beginNs);
      if (isOld && !tgids.has(process.tgid)) this.#registry.endProcess(process, beginNs);
      else if (process.isPartlyKnown) this.#requestReading(process.tgid);
    }
  }

  #bootNs(ns: number): number {
    return ns + this.#bootAheadNs;
  }
}
