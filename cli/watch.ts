// `--watch`: the answer again and again, in place on a terminal, until Ctrl-C or the reader leaves.

import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { stopSignal } from '../collector/agent/stop-signal.js';
import { parseDurationMs } from '../config/units.js';
import { OperatingError } from '../storage/model/errors.js';
import { writeStdout } from './output.js';

export interface WatchOptions {
  readonly json?: boolean;
  /** true without a value. */
  readonly watch?: string | true;
}

/** How an answer may look where it goes to. */
export interface OutputStyle {
  readonly hasColour: boolean;
  readonly columns: number;
}

const defaultIntervalMs = 10_000;
const leastIntervalMs = 1000;
/** From the top of the screen on; lines that are too long are cut, not wrapped. */
const redraw = { begin: '\x1b[H\x1b[J\x1b[?7l', end: '\x1b[?7h' } as const;

export function addWatchOption(command: Command): Command {
  return command.option('--watch [interval]', 'redraw every interval (default: 10s) until Ctrl-C');
}

/** Colours only on a terminal, and not against https://no-color.org. */
export function outputStyle(): OutputStyle {
  const { isTTY, columns } = process.stdout;
  const hasColour = isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
  return { hasColour, columns: isTTY === true ? columns : 120 };
}

/** Writes what `answer` gives, once or for as long as it is watched. With --json each answer
 *  is one line then. A moment without an answer is no end: it is told, and asked again.
 *  **Errors**: `usage` for an interval that is none; what `answer` rejects with. */
export async function answerOrWatch(
  { watch }: WatchOptions,
  answer: () => Promise<readonly string[]>,
): Promise<void> {
  if (watch === undefined) {
    await writeStdout([`${(await answer()).join('\n')}\n`]);
    return;
  }
  const intervalMs = watch === true ? defaultIntervalMs : parseInterval(watch);
  const signal = stopSignal();
  const isTerminal = process.stdout.isTTY === true;
  while (!signal.aborted) {
    const startMs = performance.now();
    const lines = await answer().catch(toldOrThrown);
    const text = isTerminal ? screenOf(lines, process.stdout.rows) : `${lines.join('\n')}\n`;
    if (!(await writeStdout([text]))) return;
    const leftMs = Math.max(0, intervalMs - (performance.now() - startMs));
    await delay(leftMs, undefined, { signal }).catch(() => undefined);
  }
}

/** What does not fit is counted on the last line. */
export function screenOf(lines: readonly string[], rows: number): string {
  const room = Math.max(1, rows - 2);
  const left = lines.length - room;
  const shown = left <= 1 ? lines : [...lines.slice(0, room), `(${left} lines more)`];
  return `${redraw.begin}${shown.join('\n')}\n${redraw.end}`;
}

/** What the daemon's coming and going brings about; anything else would be the same next time. */
function toldOrThrown(error: unknown): string[] {
  const passing = ['daemon-unreachable', 'empty-window', 'no-data'];
  if (!(error instanceof OperatingError) || !passing.includes(error.code)) throw error;
  return [`${error.message}; asking again`];
}

function parseInterval(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= leastIntervalMs) return ms;
  throw new OperatingError(
    'usage',
    `--watch ${text} is no interval of a second or more`,
    'Intervals are like 1s, 10s, 1m.',
  );
}
