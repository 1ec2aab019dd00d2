// `flamekeeper events`: kept events of one stream on the time axis;
// with --follow also those to come.

import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { stopSignal } from '../collector/agent/stop-signal.js';
import { parseDurationMs } from '../config/units.js';
import { OperatingError } from '../storage/model/errors.js';
import type {
  EventRecord,
  EventsAnswer,
  EventsRequest,
  Query,
  Window,
} from '../storage/model/query.js';
import { addSeriesFilter, filterOf } from './filter.js';
import type { FilterOptions } from './filter.js';
import { writeStderr, writeStdout } from './output.js';
import { withProgress } from './progress.js';
import { coverageJson, coverageLines } from './render-completeness.js';
import { EventTable } from './render-events.js';
import {
  addGlobalOptions,
  addWindowOptions,
  findStore,
  parseLimit,
  withQuery,
} from './settings.js';
import type { GlobalOptions } from './settings.js';
import {
  defaultFrom,
  defaultTo,
  formatRange,
  namingWindow,
  resolveWindow,
  rfc3339,
} from './window.js';
import type { WindowText } from './window.js';

interface EventsOptions extends GlobalOptions, FilterOptions, WindowText {
  readonly minDuration?: string;
  readonly follow?: boolean;
  readonly limit?: string;
}

const defaultLimit = 1000;
const maxLimit = 10_000_000;
const pageLimit = 10_000;
const followEveryMs = 1000;
const maxUnanswered = 10;
/** Ahead of now, for a window that must not end. */
const followForNs = 100n * 365n * 86_400_000_000_000n;

export function eventsCommand(): Command {
  const command = new Command('events')
    .description('kept events, in time order')
    .argument('<stream>', 'exec or exit')
    .option(
      '--min-duration <duration>',
      'exit: only processes that lived at least this long, like 10ms',
    )
    .option('--follow', 'go on with new events until Ctrl-C; starts now unless --from is given')
    .option(
      '-n, --limit <events>',
      `events at most (default: ${defaultLimit}; with --follow: no limit)`,
    );
  addWindowOptions(command, defaultFrom, defaultTo);
  addSeriesFilter(command);
  return addGlobalOptions(command)
    .action(events)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper events exit --min-duration 10ms
  flamekeeper events exec --from -1h --user www-data
  flamekeeper events exit --follow --json        one JSON object a line`,
    );
}

async function events(stream: string, options: EventsOptions): Promise<void> {
  const follows = options.follow === true;
  const limit =
    options.limit === undefined
      ? follows
        ? Infinity
        : defaultLimit
      : parseLimit(options.limit, maxLimit);
  const request = requestOf(stream, options);
  const printer = options.json === true ? new JsonPrinter() : new TextPrinter();
  if (follows) await follow(options, request, limit, printer);
  else await withQuery(options, (query) => printOnce(query, request, limit, printer));
}

interface Printer {
  /** False when nobody reads any more. */
  print(answer: EventsAnswer): Promise<boolean>;
  finish(answer: EventsAnswer, isWhole: boolean): Promise<void>;
}

async function printOnce(
  query: Query,
  request: EventsRequest,
  limit: number,
  printer: Printer,
): Promise<void> {
  let left = limit;
  let cursor: string | undefined;
  for (;;) {
    const page = {
      ...request,
      limit: Math.min(left, pageLimit),
      ...(cursor !== undefined && { cursor }),
    };
    const asked = withProgress('reading the store', query.events(page));
    const answer = await namingWindow(request.window, asked);
    if (cursor === undefined) refuseUncovered(answer, request);
    left -= answer.events.length;
    cursor = answer.cursor;
    if (!(await printer.print(answer))) return;
    if (answer.isComplete || left === 0) return printer.finish(answer, answer.isComplete);
  }
}

/** **Errors**: `empty-window` for a window after all that is stored, which
 *  only a follower can wait for. */
function refuseUncovered(
  { coverage, events: found }: EventsAnswer,
  { stream, window }: EventsRequest,
): void {
  if (coverage.buckets > 0 || coverage.completeness.brokenBlobs > 0 || found.length > 0) return;
  const range = formatRange(window);
  throw new OperatingError(
    'empty-window',
    `the store holds no ${stream} events of that time: ${range}`,
  );
}

/** Asks again and again from where the last answer ended, until the reader leaves or a signal asks
 *  for the end. The daemon may stop and start meanwhile. */
async function follow(
  options: GlobalOptions,
  request: EventsRequest,
  limit: number,
  printer: Printer,
): Promise<void> {
  const signal = stopSignal();
  const withStore = await findStore(options);
  let left = limit;
  let cursor: string | undefined;
  let unanswered = 0;
  while (left > 0 && !signal.aborted) {
    const page = {
      ...request,
      limit: Math.min(left, pageLimit),
      ...(cursor !== undefined && { cursor }),
    };
    let isComplete = true;
    try {
      const answer = await withStore((query) => query.events(page));
      ({ cursor, isComplete } = answer);
      left -= answer.events.length;
      unanswered = 0;
      if (!(await printer.print(answer))) return;
    } catch (error) {
      if (!isPassing(error) || ++unanswered > maxUnanswered) throw error;
    }
    if (isComplete) await delay(followEveryMs, undefined, { signal }).catch(() => undefined);
  }
}

/** A daemon that stops as it is asked is no error for who waits for more. */
function isPassing(error: unknown): boolean {
  return error instanceof OperatingError && error.code === 'daemon-unreachable';
}

/** **Errors**: `usage`, naming the value. */
function requestOf(stream: string, options: EventsOptions): EventsRequest {
  const nowMs = Date.now();
  const window =
    options.follow === true ? followWindow(options, nowMs) : resolveWindow(options, nowMs);
  const atLeast =
    options.minDuration === undefined
      ? undefined
      : { duration: minDurationNs(stream, options.minDuration) };
  return {
    window,
    filter: filterOf(options),
    stream,
    limit: pageLimit,
    ...(atLeast && { atLeast }),
  };
}

function followWindow(options: EventsOptions, nowMs: number): Window {
  if (options.to !== undefined) {
    throw new OperatingError('usage', '--follow has no end: leave out --to');
  }
  const nowNs = BigInt(nowMs) * 1_000_000n;
  const fromUnixNs = options.from === undefined ? nowNs : resolveWindow(options, nowMs).fromUnixNs;
  return { fromUnixNs, toUnixNs: nowNs + followForNs };
}

function minDurationNs(stream: string, text: string): number {
  if (stream === 'exec') {
    throw new OperatingError(
      'usage',
      '--min-duration: an exec event has no duration, the program only starts',
      'Use `flamekeeper events exit --min-duration` instead.',
    );
  }
  const ms = parseDurationMs(text);
  if (ms === undefined) {
    throw new OperatingError(
      'usage',
      `--min-duration ${text} is no duration`,
      'Durations are like 10ms, 1.5s, 2m.',
    );
  }
  return Math.round(ms * 1e6);
}

class TextPrinter implements Printer {
  #table: EventTable | undefined;

  async print({ stream, events: page }: EventsAnswer): Promise<boolean> {
    this.#table ??= new EventTable(stream.fields ?? []);
    return writeStdout(this.#table.lines(page).map((line) => `${line}\n`));
  }

  async finish({ coverage }: EventsAnswer, isWhole: boolean): Promise<void> {
    const lines = coverageLines('events', coverage);
    if (!isWhole) lines.push('there are more: raise -n, or narrow the window');
    await writeStderr(lines);
  }
}

/** One object a line: an event each, then one with the range and the completeness. */
class JsonPrinter implements Printer {
  async print({ events: page }: EventsAnswer): Promise<boolean> {
    return writeStdout(page.map(eventJson));
  }

  async finish({ coverage }: EventsAnswer, isWhole: boolean): Promise<void> {
    await writeStdout([`${JSON.stringify({ ...coverageJson(coverage), isWhole })}\n`]);
  }
}

function eventJson({ unixNs, values }: EventRecord): string {
  return `${JSON.stringify({ time: rfc3339(unixNs), ...values })}\n`;
}
