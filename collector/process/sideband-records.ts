// Bytes of perf side-band records -> events. Layouts: linux/perf_event.h, enum perf_event_type.
// The events are opened with sample_type = PERF_SAMPLE_TIME and sample_id_all, so the last 8
// bytes of every record are its time:
//
//   header 8 | body ............................... | u64 time
//   COMM     | tgid tid | comm\0
//   FORK EXIT| tgid ptgid tid ptid | u64 time
//   MMAP2    | tgid tid | addr len pgoff | maj min ino gen | prot flags | path\0
//   LOST     | u64 id | u64 lost

import type { FileIdentity } from './modules.js';

export type SidebandEvent = ForkEvent | ExitEvent | CommEvent | MmapEvent | LostEvent;

/** **Units**: ns of CLOCK_MONOTONIC relative to the parser's base. A new thread has its parent's
 *  tgid; parentTgid is 0 when the parent is of another pid namespace. */
export interface ForkEvent {
  readonly kind: 'fork';
  readonly ns: number;
  readonly tgid: number;
  readonly tid: number;
  readonly parentTgid: number;
  readonly parentTid: number;
}

/** Of one thread. */
export interface ExitEvent {
  readonly kind: 'exit';
  readonly ns: number;
  readonly tgid: number;
  readonly tid: number;
}

export interface CommEvent {
  readonly kind: 'comm';
  readonly ns: number;
  readonly tgid: number;
  readonly tid: number;
  readonly comm: string;
  readonly isExec: boolean;
}

/** An executable mapping; device is `major:minor`. */
export interface MmapEvent extends FileIdentity {
  readonly kind: 'mmap';
  readonly ns: number;
  readonly tgid: number;
  readonly tid: number;
  readonly start: number;
  readonly limit: number;
  readonly fileOffset: number;
}

/** The ring was full. */
export interface LostEvent {
  readonly kind: 'lost';
  readonly ns: number;
  readonly count: number;
}

const RECORD_LOST = 2;
const RECORD_COMM = 3;
const RECORD_EXIT = 4;
const RECORD_FORK = 7;
const RECORD_MMAP2 = 10;
const MISC_COMM_EXEC = 1 << 13;
const MISC_MMAP_DATA = 1 << 13;
const PROT_EXEC = 4;
const HEADER = 8;
const TIME = 8;
const TWO32 = 2 ** 32;

export interface RecordPlace {
  /** Of the record's header in the view. */
  readonly offset: number;
  readonly size: number;
  readonly type: number;
  readonly misc: number;
}

/** Parses records with times relative to `baseKtimeNs`. */
export class SidebandParser {
  /** Records too short for their type, or with impossible values. */
  malformed = 0;
  readonly #baseLow: number;
  readonly #baseHigh: number;

  constructor(baseKtimeNs: bigint) {
    this.#baseLow = Number(baseKtimeNs & 0xffffffffn);
    this.#baseHigh = Number(baseKtimeNs >> 32n);
  }

  /** undefined: a type that is not ours, a process of another pid namespace, a
   *  data mapping, or malformed. */
  parse(view: DataView, { offset, size, type, misc }: RecordPlace): SidebandEvent | undefined {
    const minimum = minimumSize(type);
    if (minimum === undefined) return undefined;
    if (size < minimum || offset < 0 || offset + size > view.byteLength) return this.#reject();
    const body = offset + HEADER;
    const end = offset + size - TIME;
    const ns = this.#timeAt(view, end);
    if (type === RECORD_LOST) return { kind: 'lost', ns, count: unsignedAt(view, body + 8) };
    return this.#processRecord(view, { body, end, type, misc, ns });
  }

  #processRecord(
    view: DataView,
    {
      body,
      end,
      type,
      misc,
      ns,
    }: { body: number; end: number; type: number; misc: number; ns: number },
  ): SidebandEvent | undefined {
    const tgid = view.getInt32(body, true);
    const isTask = type === RECORD_FORK || type === RECORD_EXIT;
    const tid = view.getInt32(body + (isTask ? 8 : 4), true);
    if (tgid <= 0 || tid <= 0) return undefined;
    if (type === RECORD_EXIT) return { kind: 'exit', ns, tgid, tid };
    if (type === RECORD_FORK) {
      const parentTgid = Math.max(0, view.getInt32(body + 4, true));
      return { kind: 'fork', ns, tgid, tid, parentTgid, parentTid: view.getInt32(body + 12, true) };
    }
    if (type === RECORD_COMM) {
      const isExec = (misc & MISC_COMM_EXEC) !== 0;
      return { kind: 'comm', ns, tgid, tid, comm: textAt(view, body + 8, end), isExec };
    }
    const isData =
      (misc & MISC_MMAP_DATA) !== 0 || (view.getUint32(body + 56, true) & PROT_EXEC) === 0;
    if (isData) return undefined;
    const start = signedAt(view, body + 8);
    const limit = start + unsignedAt(view, body + 16);
    const fileOffset = unsignedAt(view, body + 24);
    const isPlausible = limit > start && [start, limit, fileOffset].every(Number.isSafeInteger);
    if (!isPlausible) return this.#reject();
    // Another listener's flag may say that there is a build id: there is none for us.
    const device = `${view.getUint32(body + 32, true)}:${view.getUint32(body + 36, true)}`;
    const inode = view.getBigUint64(body + 40, true);
    const path = textAt(view, body + 64, end);
    return { kind: 'mmap', ns, tgid, tid, start, limit, fileOffset, path, device, inode };
  }

  #timeAt(view: DataView, at: number): number {
    const high = view.getUint32(at + 4, true) - this.#baseHigh;
    return high * TWO32 + (view.getUint32(at, true) - this.#baseLow);
  }

  #reject(): undefined {
    this.malformed++;
    return undefined;
  }
}

/** Header, fixed part and time. */
function minimumSize(type: number): number | undefined {
  switch (type) {
    case RECORD_LOST:
      return HEADER + 16 + TIME;
    case RECORD_COMM:
      return HEADER + 8 + TIME;
    case RECORD_EXIT:
    case RECORD_FORK:
      return HEADER + 24 + TIME;
    case RECORD_MMAP2:
      return HEADER + 64 + TIME;
    default:
      return undefined;
  }
}

/** Exact for canonical addresses. */
function signedAt(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * TWO32 + view.getUint32(at, true);
}

function unsignedAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * TWO32 + view.getUint32(at, true);
}

/** NUL-terminated text in [from, end). */
function textAt(view: DataView, from: number, end: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + from, end - from);
  const nul = bytes.indexOf(0);
  return bytes.toString('utf8', 0, nul < 0 ? bytes.length : nul);
}
