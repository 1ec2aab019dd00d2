// What /proc said of a process, merged into what side-band events say of it. The reading took a
// while: events up to its end must have been applied before, then all that is older than its
// beginning is in it, and what is newer is known better by the events.
//
//   events   ──fork──mmap──────┬───────mmap──exit(tid)───┬──── applied up to here, then the merge
//   reading                    begin                     end
//                mappings of /proc win ◀┤├▶ mappings and exits of events win

import type { Mapping } from './address-space.js';
import { ExecLineage } from './exec-lineage.js';
import type { Incarnation } from './incarnation.js';
import type { Process, StartRange } from './process.js';
import type { ProcMapping } from './proc-parse.js';
import type { Registry } from './registry.js';
import { isEndedSince } from './thread-map.js';
import type { Thread } from './thread-map.js';

/** **Units**: times in ns of the process table, `startBootNs` in ns since boot. */
export interface ProcSnapshot {
  readonly tgid: number;
  readonly parentTgid: number;
  /** Floor of the leader's start to a clock tick of 10 ms. */
  readonly startBootNs: number;
  readonly comm: string;
  /** '' when it has none or it may not be read. */
  readonly executable: string;
  /** Live ones only: a leader that ended before its process is not among them. */
  readonly threads: readonly { readonly tid: number; readonly comm: string }[];
  /** undefined when they may not be read. */
  readonly mappings: readonly ProcMapping[] | undefined;
  readonly beginNs: number;
  readonly endNs: number;
}

const TICK_NS = 10_000_000;

export interface MergeContext {
  readonly registry: Registry;
  /** What to add to a time of the table to get ns since boot. */
  readonly bootAheadNs: number;
  /** When events were last lost: what was read before is doubtful. */
  readonly lostNs: number;
}

export function mergeSnapshot(context: MergeContext, snapshot: ProcSnapshot): void {
  const { registry, lostNs } = context;
  const range = { lowBootNs: snapshot.startBootNs, highBootNs: snapshot.startBootNs + TICK_NS };
  const process = findOrAdd(context, snapshot, range);
  if (process === undefined) return;
  process.narrowStart(range);
  const hasExecedSince = process.current.isExec && process.current.startNs >= snapshot.beginNs;
  if (hasExecedSince) return;
  if (process.isLive && (process.isStale || isOtherProgram(process.current, snapshot))) {
    registry.startOver(process, snapshot.beginNs);
  }
  const { current } = process;
  const isOld = snapshot.beginNs < lostNs;
  if (isOld) current.doubtNs = lostNs;
  current.parentTgid = snapshot.parentTgid;
  if (!isNamedSince(current.threads.get(process.tgid), snapshot.beginNs)) {
    current.comm = snapshot.comm;
  }
  if (current.needsReading) mergeImage(registry, current, snapshot);
  if (!process.isLive) return;
  process.hasAllThreads = false;
  const lastExitNs = mergeThreads(registry, process, snapshot);
  process.hasAllThreads = !isOld;
  if (process.liveThreads === 0 && process.hasAllThreads) registry.endProcess(process, lastExitNs);
}

function findOrAdd(
  context: MergeContext,
  snapshot: ProcSnapshot,
  range: StartRange,
): Process | undefined {
  const { registry, bootAheadNs } = context;
  const newest = registry.find(snapshot.tgid);
  let process = newest;
  while (
    process !== undefined &&
    (process.forkedNs > snapshot.endNs || !process.mayHaveStarted(range))
  ) {
    process = process.previous;
  }
  if (process !== undefined && process.endedNs >= snapshot.beginNs) return process;
  if (newest !== undefined && newest.forkedNs >= snapshot.beginNs) return undefined;
  if (newest !== undefined) registry.endProcess(newest, snapshot.beginNs);
  return registry.add(
    {
      tgid: snapshot.tgid,
      start: range,
      forkedNs: -Infinity,
      firstSeenNs: snapshot.beginNs,
      lineage: new ExecLineage(),
    },
    {
      parentTgid: snapshot.parentTgid,
      startNs: snapshot.startBootNs - bootAheadNs,
      comm: snapshot.comm,
      space: registry.unknownSpace(),
      execOffset: 0,
      isExec: false,
    },
  );
}

/** An exec was lost with other events: the image is not what it was. */
function isOtherProgram(image: Incarnation, snapshot: ProcSnapshot): boolean {
  const wasKnown = image.isDoubtful && image.space.isComplete;
  return wasKnown && snapshot.executable !== '' && image.executable !== snapshot.executable;
}

function mergeImage(registry: Registry, image: Incarnation, snapshot: ProcSnapshot): void {
  if (snapshot.mappings === undefined) {
    if (image.executable === '') image.space.executable = snapshot.executable;
    image.space.isComplete = true;
    return;
  }
  const mappings = snapshot.mappings.map((m): Mapping => ({
    start: m.start,
    limit: m.limit,
    fileOffset: m.fileOffset,
    module: registry.modules.intern(m),
    addedNs: Math.min(image.startNs, snapshot.beginNs),
    removedNs: Infinity,
  }));
  image.rebase(mappings, snapshot.executable, snapshot.beginNs);
  registry.noteRemoved(image.space);
}

/** Returns the time of the last exit known. */
function mergeThreads(
  registry: Registry,
  process: Process,
  { threads, beginNs }: ProcSnapshot,
): number {
  for (const { tid, comm } of threads) {
    const known = process.current.threads.get(tid);
    if (isNamedSince(known, beginNs) || isEndedSince(known, beginNs)) continue;
    registry.nameThread(process, tid, comm, beginNs);
    const exitNs = registry.lastExit(tid);
    if (exitNs >= Math.max(beginNs, known?.namedNs ?? beginNs)) {
      registry.endThread(process, tid, exitNs);
    }
  }
  const listed = new Set(threads.map((t) => t.tid));
  let lastExitNs = beginNs;
  process.current.threads.forEach(({ namedNs, endedNs }, tid) => {
    const isGone = endedNs === Infinity && namedNs < beginNs && !listed.has(tid);
    if (isGone) registry.endThread(process, tid, beginNs);
    else if (endedNs !== Infinity) lastExitNs = Math.max(lastExitNs, endedNs);
  });
  return lastExitNs;
}

function isNamedSince(thread: Thread | undefined, ns: number): boolean {
  return thread !== undefined && thread.comm !== '' && thread.namedNs >= ns;
}
