// The daemon from start to stop: settings, back thread (the store's lock first), front, flushes on
// the clock, and a last flush on SIGINT, SIGTERM or SIGHUP.

import type { Config } from '../../config/load.js';
import { sendSdNotify } from '../../ffi/libc.js';
import { Front } from '../front.js';
import type { DrainedFlush, FileQuestion, FlushedMessage } from '../messages.js';
import { secondsMemory } from '../host/seconds-timer.js';
import { BackThread } from './back-thread.js';
import { Figures } from './figures.js';
import { FlushTimer } from './flush-timer.js';
import type { Log } from './log.js';
import { createLog } from './log.js';
import { OwnSize } from './own-size.js';
import { findProbes, givenNames } from './probes.js';
import { relaunchWithSettings } from './relaunch.js';
import { SelfMetrics } from './self-metrics.js';
import { StatusLine } from './status-line.js';
import { stopSignal } from './stop-signal.js';

export interface DaemonOptions {
  /** Whether stderr is a terminal that shows the status line. */
  readonly isTerminal: boolean;
  /** 1 and more: libbpf's and the verifier's log. */
  readonly verbosity: number;
  /** Of flamekeeper, told with what is exported. */
  readonly version: string;
}

/** Runs until SIGINT, SIGTERM or SIGHUP; resolves to the exit code. **Errors**: rejects with an
 *  OperatingError when it cannot start or cannot go on. */
export async function runDaemon(config: Config, options: DaemonOptions): Promise<number> {
  const relaunch = relaunchWithSettings();
  const signal = stopSignal();
  const figures = new Figures();
  const statusLine = options.isTerminal
    ? new StatusLine(process.stderr, () => figures.current())
    : undefined;
  const level = options.verbosity > 0 ? 'debug' : config.log.level;
  const log = createLog(level, (line) => {
    statusLine?.clear();
    process.stderr.write(line);
  });
  if (relaunch.problem !== undefined) {
    log('warn', `${relaunch.problem}: the daemon uses more memory than it must`);
  }
  try {
    return await serve(config, { ...options, log, figures, signal });
  } finally {
    statusLine?.stop();
  }
}

interface Running extends DaemonOptions {
  readonly log: Log;
  readonly figures: Figures;
  readonly signal: AbortSignal;
}

interface Threads {
  readonly front: Front;
  readonly back: BackThread;
  readonly figures: Figures;
  readonly log: Log;
  readonly self: SelfMetrics;
}

async function serve(
  config: Config,
  { log, figures, signal, verbosity, version }: Running,
): Promise<number> {
  const stopping = new Promise((resolve) => signal.addEventListener('abort', resolve));
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => undefined);
  const ownSize = new OwnSize();
  const self = new SelfMetrics();
  let front: Front | undefined;
  const onFlushed = (message: FlushedMessage) => {
    figures.flushed(message);
    self.flushed(message);
    ownSize.tidy();
    log('debug', storedText(message));
  };
  const seconds = secondsMemory(Math.floor(config.context.secondsMs / 1000));
  const names = givenNames(await findProbes());
  const { back, storeBytes } = await BackThread.start({ config, seconds, names, version }, log, {
    flushed: onFlushed,
    answered: (answer) => front?.answered(answer),
    failed: fail,
  });
  figures.storeBytes = storeBytes;
  try {
    const ask = (question: FileQuestion) => back.ask(question);
    const isBackBusy = () => back.isBusy;
    const options = { log, verbosity, fail, ask, isBackBusy, seconds, self };
    front = await Front.start(config, options);
    const flush = (isLast: boolean) => flushOnce({ front: front!, back, figures, log, self }, isLast);
    const timer = new FlushTimer(front.intervalMs, () =>
      flush(false).catch((error: unknown) => fail(error as Error)),
    );
    log(
      'info',
      `sampling ${front.cpuCount} CPUs at ${config.sampling.frequencyHz} Hz into ${config.dataDir}`,
    );
    sendSdNotify('READY=1');
    await Promise.race([stopping, failed]).finally(() => timer.stop());
    sendSdNotify('STOPPING=1');
    await flush(true);
    return 0;
  } finally {
    front?.close();
    await back.stop();
  }
}

/** Takes what the kernel counted since the last flush and hands it to the back, unless
 *  that has fallen too far behind. */
async function flushOnce({ front, back, figures, log, self }: Threads, isLast: boolean): Promise<void> {
  const startedMs = performance.now();
  const drained = await front.flush(isLast);
  const drainMs = performance.now() - startedMs;
  figures.drained(drained, front, drainMs);
  self.drained(drainMs);
  if (back.isBehind(front.intervalMs) && !isLast) return front.giveUp(drained);
  log('debug', drainedText(drained));
  back.flush({ ...drained, daemon: figures.daemon() });
}

/** Told before the hand-over: what a flush holds that is never told as stored. */
function drainedText({ sequence, span, streams, events }: DrainedFlush): string {
  const from = new Date(Number(span.startUnixNs / 1_000_000n)).toISOString();
  const eventCount = events.reduce((sum, { columns }) => sum + columns.timesNs.length, 0);
  return `flush ${sequence} drained: from ${from}, ${streams[0]?.counters['captured'] ?? 0} samples, ${eventCount} events`;
}

function storedText({
  sequence,
  isDurable,
  segment,
  durationMs,
  framesNamed,
  framesTotal,
}: FlushedMessage): string {
  const where = isDurable ? `stored in ${segment}` : 'not stored yet';
  return `flush ${sequence} ${where}: ${durationMs.toFixed(1)} ms, ${framesNamed} of ${framesTotal} frames named`;
}
