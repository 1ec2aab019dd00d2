// Reads processes from /proc for the process table: what was there before the side-band
// events, or after some were lost. Runs on the front thread, so it pauses after a few
// milliseconds of work each time.

import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { Pace } from '../pace.js';
import { parseMaps, parseStat, taskComm } from './proc-parse.js';
import type { ProcMapping, ProcStat } from './proc-parse.js';
import type { ProcSnapshot } from './snapshot-merge.js';
import type { ProcessTable, Resync } from './table.js';

const TICK_NS = 10_000_000;
/** 65,530 mappings, the kernel's default maximum, with paths of usual length. */
const MAX_MAPS_BYTES = 8 << 20;
const MAX_STAT_BYTES = 4096;
const MAX_THREADS = 32_768;

const buffer = Buffer.allocUnsafe(64 << 10);

/** Hands snapshots of these processes to the table, which takes them in with a later
 *  advance(). Ends early when `signal` is aborted. Returns the number read. **Limits**: bytes
 *  and threads per process are bounded. */
export async function readProcesses(
  table: ProcessTable,
  which: Resync,
  options: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  const now = (): number => table.tableNs(process.hrtime.bigint());
  const isAll = which === 'all';
  const beginNs = now();
  const tgids = isAll ? numericNames('/proc') : which;
  if (isAll) table.beginSnapshot(beginNs);
  let count = 0;
  const pace = new Pace();
  for (const tgid of tgids) {
    await pace.rest();
    if (options.signal?.aborted === true) return count;
    const beforeNs = now();
    const snapshot = readProcess(tgid, now);
    if (snapshot === undefined) {
      table.addAbsence(tgid, beforeNs);
      continue;
    }
    table.addSnapshot(snapshot);
    count++;
  }
  if (isAll) table.endSnapshot(now());
  return count;
}

/** undefined: there is no such process, or only its remains. */
export function readProcess(tgid: number, now: () => number): ProcSnapshot | undefined {
  const beginNs = now();
  const directory = `/proc/${tgid}`;
  const stat = parseStat(readText(`${directory}/stat`, MAX_STAT_BYTES) ?? '');
  if (stat === undefined) return undefined;
  const threads = readThreads(directory, stat);
  if (threads.length === 0) return undefined;
  return {
    tgid,
    parentTgid: stat.parentTgid,
    startBootNs: stat.startTicks * TICK_NS,
    comm: stat.comm,
    executable: stat.isKernelThread ? '' : readExecutable(directory),
    threads,
    mappings: stat.isKernelThread ? [] : readMappings(directory),
    beginNs,
    endNs: now(),
  };
}

function readThreads(directory: string, stat: ProcStat): ProcSnapshot['threads'] {
  const tids = numericNames(`${directory}/task`).slice(0, MAX_THREADS);
  const isLeaderGone = stat.state === 'Z' || stat.state === 'X';
  const threads = isLeaderGone ? [] : [{ tid: stat.tgid, comm: stat.comm }];
  for (const tid of tids) {
    if (tid === stat.tgid) continue;
    const comm = readText(`${directory}/task/${tid}/comm`, MAX_STAT_BYTES);
    if (comm !== undefined) threads.push({ tid, comm: taskComm(comm) });
  }
  return threads;
}

function readMappings(directory: string): ProcMapping[] | undefined {
  const text = readText(`${directory}/maps`, MAX_MAPS_BYTES);
  return text === undefined ? undefined : parseMaps(text);
}

function readExecutable(directory: string): string {
  try {
    return readlinkSync(`${directory}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return '';
  }
}

function numericNames(directory: string): number[] {
  try {
    return readdirSync(directory).filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
  } catch {
    return [];
  }
}

/** undefined: gone, or not allowed. Text beyond `maxBytes` is cut. */
function readText(path: string, maxBytes: number): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const length = readSync(fd, buffer, 0, Math.min(buffer.length, maxBytes - total), null);
      if (length === 0) break;
      total += length;
      chunks.push(Buffer.from(buffer.subarray(0, length)));
    }
    return Buffer.concat(chunks).toString('utf8');
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
