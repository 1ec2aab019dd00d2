// Text of /proc -> values. Pure and tolerant: a line that makes no
// sense is skipped, never thrown on.
// Source: proc(5); fs/proc/array.c, fs/proc/task_mmu.c.

/** An executable mapping. **Units**: addresses signed (exact), offset in bytes. */
export interface ProcMapping {
  readonly start: number;
  readonly limit: number;
  readonly fileOffset: number;
  /** '' for anonymous memory. */
  readonly path: string;
  /** `major:minor` in decimal. */
  readonly device: string;
  readonly inode: bigint;
}

export interface ProcStat {
  readonly tgid: number;
  /** At most 15 bytes; without what the kernel adds to a worker's name. */
  readonly comm: string;
  readonly state: string;
  readonly parentTgid: number;
  readonly isKernelThread: boolean;
  /** Ticks of 10 ms since boot. */
  readonly startTicks: number;
}

const PF_KTHREAD = 0x00200000;
const TWO32 = 2 ** 32;
const MAX_COMM = 15;

/** Fields after the comm, of which the first is number 3 in proc(5). */
const STAT_STATE = 0;
const STAT_PPID = 1;
const STAT_FLAGS = 6;
const STAT_START_TIME = 19;

/** One thread group's or thread's `stat`. The comm may hold spaces and parentheses,
 *  so it ends at the last one. */
export function parseStat(text: string): ProcStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 1).trim().split(/\s+/);
  const tgid = Number(text.slice(0, open));
  const parentTgid = Number(fields[STAT_PPID]);
  const flags = Number(fields[STAT_FLAGS]);
  const startTicks = Number(fields[STAT_START_TIME]);
  const isPlausible = [tgid, parentTgid, flags, startTicks].every(
    (n) => Number.isSafeInteger(n) && n >= 0,
  );
  if (!isPlausible) return undefined;
  const comm = taskComm(text.slice(open + 1, close));
  const isKernelThread = Math.floor(flags / PF_KTHREAD) % 2 === 1;
  return { tgid, comm, state: fields[STAT_STATE]!, parentTgid, isKernelThread, startTicks };
}

/** A name from `stat` or `comm` as the task itself bears it: /proc tells kernel
 *  workers' names with their work. */
export function taskComm(text: string): string {
  const worker = /^(kworker\/u?\d+:\d+H?)[-+]/.exec(text);
  return worker?.[1] ?? cutUtf8(text.replace(/\n$/, ''), MAX_COMM);
}

/** start-limit perms offset major:minor inode path */
const mapsLine =
  /^([\da-f]{1,16})-([\da-f]{1,16}) ..x. ([\da-f]{1,16}) ([\da-f]+):([\da-f]+) (\d{1,20})(?: +(.*))?$/;

/** Executable lines of `maps`. Paths keep their " (deleted)"; the kernel
 *  writes a newline in them as \012. */
export function parseMaps(text: string): ProcMapping[] {
  const mappings: ProcMapping[] = [];
  for (const line of text.split('\n')) {
    const match = mapsLine.exec(line);
    if (match === null) continue;
    const [start, limit, fileOffset] = [
      signedHex(match[1]!),
      signedHex(match[2]!),
      signedHex(match[3]!),
    ];
    const isExact = [start, limit, fileOffset].every(Number.isSafeInteger);
    if (!isExact || limit <= start || fileOffset < 0) continue;
    const device = `${parseInt(match[4]!, 16)}:${parseInt(match[5]!, 16)}`;
    const path = (match[7] ?? '').replaceAll('\\012', '\n');
    mappings.push({ start, limit, fileOffset, path, device, inode: BigInt(match[6]!) });
  }
  return mappings;
}

function signedHex(digits: string): number {
  const padded = digits.padStart(16, '0');
  return (parseInt(padded.slice(0, 8), 16) | 0) * TWO32 + parseInt(padded.slice(8), 16);
}

function cutUtf8(text: string, maxBytes: number): string {
  let cut = text.slice(0, maxBytes);
  while (Buffer.byteLength(cut) > maxBytes) cut = cut.slice(0, -1);
  return cut;
}
