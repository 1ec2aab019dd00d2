// The window a user asks for: `-15m`, `now`, `14:05`, `14:05:30`, `2026-11-20`, RFC 3339 with or
// without offset (then local time). A time of day means the most recent one, also where a clock
// change lets it happen twice, or not that day.

import { parseDurationMs } from '../config/units.js';
import { OperatingError } from '../storage/model/errors.js';
import type { Window } from '../storage/model/query.js';

/** As typed; absent parts take their defaults. */
export interface WindowText {
  readonly from?: string;
  readonly to?: string;
}

export const defaultFrom = '-15m';
export const defaultTo = 'now';
export const timeForms =
  '-15m, -1h30m, now, 14:05, 14:05:30, 2026-11-20, 2026-11-20T14:05:30+01:00';

const nsPerMs = 1_000_000n;
/** 2200-01-01: later times are slips of the finger. */
const lastUnixMs = Date.UTC(2200, 0, 1);

/** **Units**: `nowMs` unix ms. **Errors**: `usage`, with the value, for a time that is none and a
 *  window that is empty or lies in the future. */
export function resolveWindow(text: WindowText, nowMs: number): Window {
  const from = text.from ?? defaultFrom;
  const to = text.to ?? defaultTo;
  const fromUnixNs = parseTime(from, '--from', nowMs);
  const toUnixNs = parseTime(to, '--to', nowMs);
  if (fromUnixNs >= BigInt(nowMs) * nsPerMs) {
    throw new OperatingError(
      'usage',
      `--from ${from} is not in the past: ${formatTime(fromUnixNs)}`,
    );
  }
  if (fromUnixNs >= toUnixNs) {
    const range = `${formatTime(fromUnixNs)} is not before ${formatTime(toUnixNs)}`;
    throw new OperatingError('usage', `--from ${from} --to ${to} is an empty window: ${range}`);
  }
  return { fromUnixNs, toUnixNs };
}

/** Unix ns. `option` is named in the error. **Errors**: `usage`. */
export function parseTime(text: string, option: string, nowMs: number): bigint {
  const unixNs =
    text.length > 64
      ? undefined
      : text === 'now'
        ? BigInt(nowMs) * nsPerMs
        : (parseRelative(text, nowMs) ?? parseTimeOfDay(text, nowMs) ?? parseDate(text));
  if (unixNs === undefined) {
    throw new OperatingError(
      'usage',
      `${option} ${text.slice(0, 64)} is no time`,
      `Times are: ${timeForms}.`,
    );
  }
  if (unixNs < 0n || unixNs > BigInt(lastUnixMs) * nsPerMs) {
    throw new OperatingError('usage', `${option} ${text} is outside 1970 to 2200`);
  }
  return unixNs;
}

/** `2026-11-20 14:05:30 +01:00`: local time with its offset; milliseconds where there are any. */
export function formatTime(unixNs: bigint): string {
  const date = new Date(Number(unixNs / nsPerMs));
  return `${localDay(date)} ${localTime(date)} ${offsetText(date)}`;
}

/** Both ends in local time; day and offset once where they are the same. */
export function formatRange({ fromUnixNs, toUnixNs }: Window): string {
  const [from, to] = [fromUnixNs, toUnixNs].map((unixNs) => new Date(Number(unixNs / nsPerMs))) as [
    Date,
    Date,
  ];
  const [fromOffset, toOffset] = [offsetText(from), offsetText(to)];
  const first = `${localDay(from)} ${localTime(from)}${fromOffset === toOffset ? '' : ` ${fromOffset}`}`;
  const last = `${localDay(from) === localDay(to) ? '' : `${localDay(to)} `}${localTime(to)}`;
  return `${first} to ${last} ${toOffset}`;
}

/** Waits for an answer about the window; that there is none then names the window. */
export async function namingWindow<T>(window: Window, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof OperatingError) || error.code !== 'empty-window') throw error;
    throw new OperatingError(error.code, `${error.message}: ${formatRange(window)}`, error.hint);
  }
}

/** RFC 3339 in UTC with all nine digits, for machines. */
export function rfc3339(unixNs: bigint): string {
  const seconds = new Date(Number(unixNs / nsPerMs)).toISOString().slice(0, 19);
  return `${seconds}.${String(unixNs % 1_000_000_000n).padStart(9, '0')}Z`;
}

/** `14:05:30`, with milliseconds where there are any. */
export function localTime(date: Date): string {
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
  const ms = date.getMilliseconds();
  return ms === 0 ? time : `${time}.${String(ms).padStart(3, '0')}`;
}

export function localDay(date: Date): string {
  return `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
}

/** `+01:00`. */
export function offsetText(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? '-' : '+'}${twoDigits(hours)}:${twoDigits(rest)}`;
}

function twoDigits(n: number): string {
  return String(n).padStart(2, '0');
}

function parseRelative(text: string, nowMs: number): bigint | undefined {
  const agoMs = text.startsWith('-') ? parseDurationMs(text.slice(1)) : undefined;
  return agoMs === undefined ? undefined : (BigInt(nowMs) - BigInt(Math.round(agoMs))) * nsPerMs;
}

function parseTimeOfDay(text: string, nowMs: number): bigint | undefined {
  const match = /^(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (match === null) return undefined;
  const [hours, minutes, seconds] = [
    Number(match[1]),
    Number(match[2]),
    Number(match[3] ?? 0),
  ] as const;
  if (hours > 23 || minutes > 59 || seconds > 59) return undefined;
  const now = new Date(nowMs);
  // Clock changes are months apart: of three days in a row, one has the time of day.
  for (let daysAgo = 0; daysAgo < 3; daysAgo++) {
    const times = localTimes([
      now.getFullYear(),
      now.getMonth(),
      now.getDate() - daysAgo,
      hours,
      minutes,
      seconds,
    ]);
    const latest = times.filter((unixMs) => unixMs <= nowMs).at(-1);
    if (latest !== undefined) return BigInt(latest) * nsPerMs;
  }
  return undefined;
}

const rfc3339Form =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?([Zz]|[+-]\d{2}:\d{2})?)?$/;

function parseDate(text: string): bigint | undefined {
  const match = rfc3339Form.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hours, minutes, seconds] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0)) as DateParts;
  const parts: DateParts = [year, month - 1, day, hours, minutes, seconds];
  const utc = new Date(Date.UTC(...parts));
  const isReal =
    utc.getUTCMonth() === month - 1 &&
    utc.getUTCDate() === day &&
    hours < 24 &&
    minutes < 60 &&
    seconds < 60;
  if (!isReal) return undefined;
  const offset = match[8];
  const unixMs = offset === undefined ? localTimes(parts)[0] : utcTime(utc, offset);
  return unixMs === undefined
    ? undefined
    : BigInt(unixMs) * nsPerMs + BigInt((match[7] ?? '').padEnd(9, '0'));
}

type DateParts = [
  year: number,
  month: number,
  day: number,
  hours: number,
  minutes: number,
  seconds: number,
];

/** The unix ms at which local clocks show this: one, none where the clock jumps over
 *  it, two where it is set back. */
function localTimes(parts: DateParts): number[] {
  const first = new Date(...parts).getTime();
  const shows = (unixMs: number) => {
    const date = new Date(unixMs);
    return (
      date.getHours() === parts[3] &&
      date.getMinutes() === parts[4] &&
      date.getSeconds() === parts[5]
    );
  };
  return [first, first + 1800e3, first + 3600e3].filter(shows);
}

function utcTime(utc: Date, offset: string): number | undefined {
  if (/^z$/i.test(offset)) return utc.getTime();
  const [hours, minutes] = [Number(offset.slice(1, 3)), Number(offset.slice(4, 6))];
  if (hours > 23 || minutes > 59) return undefined;
  return utc.getTime() - (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60e3;
}
