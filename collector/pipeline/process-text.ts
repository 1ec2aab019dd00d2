// What /proc tells of one process -> numbers, and of two readings -> an event of the stream
// `process`. Pure and tolerant.
// Source: proc(5); fs/proc/array.c. A process's schedstat is that of its first thread.

import { countOf } from './host-text.js';

export interface ProcessTexts {
  readonly stat: string;
  /** undefined: not there, or not allowed. */
  readonly io: string | undefined;
  readonly schedstat: string | undefined;
  readonly statm: string | undefined;
}

/** **Units**: as the names end; times since the process began. -1: not known. */
export interface ProcessReading {
  readonly startTicks: number;
  readonly state: string;
  readonly priority: number;
  readonly nice: number;
  readonly threads: number;
  readonly processor: number;
  readonly virtualBytes: number;
  readonly residentBytes: number;
  readonly sharedBytes: number;
  readonly counts: ProcessCounts;
}

export type ProcessCounts = Readonly<Record<(typeof processCounts)[number], number>>;

/** In the order of the stream's columns. */
export const processCounts = [
  'userTime',
  'systemTime',
  'guestTime',
  'waitTime',
  'ioDelay',
  'minorFaults',
  'majorFaults',
  'readBytes',
  'writtenBytes',
  'cancelledBytes',
] as const;

const TICK_MS = 10;

/** undefined: the text is no stat, or only of a process's remains. */
export function parseProcess(texts: ProcessTexts, pageBytes: number): ProcessReading | undefined {
  const { stat } = texts;
  // The name may hold anything, so it ends at the last parenthesis; the state is field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).trim().split(' ');
  const field = (number: number) => signedOf(fields[number - 3]);
  const amount = (number: number, unit = 1) =>
    field(number) < 0 ? -1 : Math.min(field(number) * unit, Number.MAX_SAFE_INTEGER);
  const startTicks = field(22);
  const state = fields[0] ?? '';
  if (!/^[A-Za-z]$/.test(state) || startTicks < 0) return undefined;
  const io = new Map(
    [...(texts.io ?? '').matchAll(/^(\w{1,32}): (\d{1,20})$/gm)].map((m) => [m[1]!, Number(m[2])]),
  );
  const pages = (texts.statm ?? '').split(' ');
  const shared = countOf(pages[2]);
  return {
    startTicks,
    state,
    priority: field(18),
    nice: field(19),
    threads: field(20),
    processor: field(39),
    virtualBytes: amount(23),
    residentBytes: amount(24, pageBytes),
    sharedBytes: shared === undefined ? -1 : shared * pageBytes,
    counts: {
      userTime: amount(14, TICK_MS),
      systemTime: amount(15, TICK_MS),
      guestTime: amount(43, TICK_MS),
      waitTime: countOf(texts.schedstat?.split(' ')[1]) ?? -1,
      ioDelay: amount(42, TICK_MS),
      minorFaults: amount(10),
      majorFaults: amount(12),
      readBytes: io.get('read_bytes') ?? -1,
      writtenBytes: io.get('write_bytes') ?? -1,
      cancelledBytes: io.get('cancelled_write_bytes') ?? -1,
    },
  };
}

/** What was added since `before`; -1 where one of the two is not known. */
export function addedCounts(
  before: ProcessCounts | undefined,
  now: ProcessCounts,
): readonly number[] {
  return processCounts.map((name) => {
    const [was, is] = [before?.[name] ?? -1, now[name]];
    return was < 0 || is < 0 ? -1 : Math.max(0, is - was);
  });
}

/** Where everything begins: a process that began after the last reading. */
export const noCounts = Object.fromEntries(
  processCounts.map((name) => [name, 0]),
) as unknown as ProcessCounts;

function signedOf(word: string | undefined): number {
  return word !== undefined && /^-?\d{1,20}$/.test(word) ? Number(word) : -1;
}
