// The back thread: names, stores, answers and exports. It owns the symbolizer, the store, the
// socket and the HTTP server; the front owns all that touches the kernel. Started as a worker by the front; one
// message in, one transaction out.

import { writeFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { assert, OperatingError } from '../storage/model/errors.js';
import type { Exports } from '../exporters/push/exports.js';
import type { Query, StatusAnswer, Window } from '../storage/model/query.js';
import { Store } from '../storage/store.js';
import type { BackOptions, FileQuestion, FlushMessage, FromBack, ToBack } from './messages.js';
import { otlpSettings, otlpVariables } from './agent/export-settings.js';
import { LoopWatch } from './agent/loop-watch.js';
import { Durations } from './pipeline/durations.js';
import { storeMetrics } from './pipeline/store-metrics.js';
import { SecondsReader } from './pipeline/seconds-ring.js';
import { HttpServer } from './serve/http.js';
import { SecondsQuery } from './serve/seconds-query.js';
import { QueryServer } from './serve/server.js';
import { nameFlush } from './symbols/name-flush.js';
import { Symbolizer } from './symbols/symbolizer.js';
import { answerQuestion } from './unwind/file-tables.js';

assert(parentPort !== null, 'back.ts runs as a worker');
const port = parentPort;
const options = workerData as BackOptions;

function send(message: FromBack, transferred: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transferred);
}

/** Reading kallsyms takes 100 ms: not more often than this, and ever less while it does not help. */
const KERNEL_RELOAD_MS = 60_000;
const MAX_KERNEL_RELOAD_MS = 3_600_000;
/** No receiver that does not answer keeps the daemon from stopping. */
const EXPORT_STOP_MS = 2_000;
/** Exports work so long at a time. */
const EXPORT_PIECE_MS = 4;
const BUCKET_NS = 10_000_000_000n;

type DaemonFigures = NonNullable<StatusAnswer['daemon']>;

class Back {
  readonly #store: Store;
  readonly #symbolizer: Symbolizer;
  readonly #server: QueryServer;
  readonly #loop = new LoopWatch();
  readonly #durations = new Durations();
  #daemon: FlushMessage['daemon'] = {};
  #exports: Exports | undefined;
  #http: HttpServer | undefined;
  #brokenBlobs = 0;
  #flushing: Promise<void> = Promise.resolve();
  #gaveWayMs = 0;
  #kernelReloadedMs = performance.now();
  #kernelReloadMs = KERNEL_RELOAD_MS;

  private constructor(store: Store, log: (text: string) => void) {
    this.#store = store;
    this.#symbolizer = new Symbolizer({ maxBytes: options.config.symbols.maxBytes });
    this.#server = new QueryServer({
      query: withSeconds(store.query()),
      daemon: () => this.#figures(),
      log,
      answered: (method, ms) => this.#durations.add('selfQuery', method, ms),
    });
  }

  static async start(): Promise<Back> {
    const { config } = options;
    const log = (text: string) => send({ kind: 'log', level: 'warn', text });
    const store = Store.open({ dir: config.dataDir, maxAgeMs: config.store.maxAgeMs, log });
    const back = new Back(store, log);
    const problem = await back.#server.listen(
      join(config.dataDir, 'flamekeeper.sock'),
      config.socket,
    );
    if (problem !== undefined) log(problem);
    await back.#startExports(log);
    return back;
  }

  /** The SDK is loaded only when something goes out. **Errors**: `bad-config`. */
  async #startExports(log: (text: string) => void): Promise<void> {
    const { config, names, version } = options;
    const { maxSeries: maxPoints, withProcesses, resource } = config.export;
    const otlp = otlpSettings(config, process.env);
    const isAsked = config.http.listen !== '';
    if (otlp === undefined && !isAsked) return;
    // This thread has an environment of its own.
    if (otlp !== undefined) Object.assign(process.env, otlpVariables(config, process.env));
    const { Exports } = await import('../exporters/push/exports.js');
    const exports = await Exports.start({
      read: (window, stepNs) => this.#readMetrics(window, stepNs),
      giveWay: () => this.#giveWay(),
      took: (phase, ms) => this.#durations.add('selfExport', phase, ms),
      state: this.#store.state,
      env: process.env,
      log,
      version,
      names,
      withProcesses,
      maxPoints,
      resource: Object.fromEntries(resource),
      otlp,
      prometheus: isAsked,
    });
    this.#exports = exports;
    if (!isAsked) return;
    this.#http = await HttpServer.start(config.http, (request, response) =>
      exports.handle(request, response),
    );
  }

  async #readMetrics(window: Window, stepNs: bigint) {
    const pause = () => this.#giveWay();
    const { answers, brokenBlobs } = await this.#store.metrics(window, stepNs, pause);
    this.#brokenBlobs += brokenBlobs;
    return answers;
  }

  /** A flush that has come goes first, whole. */
  async #giveWay(): Promise<void> {
    if (performance.now() - this.#gaveWayMs < EXPORT_PIECE_MS) return;
    await setImmediate();
    await this.#flushing.catch(() => undefined);
    this.#gaveWayMs = performance.now();
  }

  #figures(): DaemonFigures {
    const exports = this.#exports;
    if (exports === undefined) return this.#daemon;
    const refused = this.#http === undefined ? {} : { 'prometheus.refused': this.#http.refused };
    const broken = { 'losses.exportedBlobs': this.#brokenBlobs };
    return { ...this.#daemon, ...broken, ...exports.figures, ...refused };
  }

  get storeBytes(): number {
    return this.#store.sizeBytes;
  }

  /** Must not be called again before it resolved. New files' symbols, which may take long, are read
   *  with pauses: questions about files are answered there. */
  flush(message: FlushMessage): Promise<void> {
    this.#flushing = this.#flush(message);
    return this.#flushing;
  }

  async #flush(message: FlushMessage): Promise<void> {
    const startedMs = performance.now();
    this.#daemon = message.daemon;
    // One that is opened again may still be known: the message that told
    // to forget it may not have come.
    for (const id of message.forgottenModules) this.#symbolizer.removeModule(id);
    for (const module of message.modules) {
      this.#symbolizer.removeModule(module.id);
      this.#symbolizer.addModule(module);
      this.#symbolizer.read(module.id);
      await setImmediate();
    }
    const writer = this.#store.beginFlush(message.span);
    const named = nameFlush(message, this.#symbolizer, writer);
    storeMetrics(message, writer);
    const result = writer.commit();
    // The next bucket has begun: those before it are complete.
    if (result.isDurable) this.#exports?.complete(Number(result.bucketStartUnixNs / BUCKET_NS) - 1);
    this.#followKernel(named.kernelFramesUnnamed > 0, startedMs);
    send({
      kind: 'flushed',
      sequence: message.sequence,
      ...result,
      storeBytes: this.#store.sizeBytes,
      durationMs: performance.now() - startedMs,
      ...named,
      longestStallMs: this.#loop.takeLongestMs(),
      durations: this.#durations.take(),
      oldestUnixMs: this.#store.oldestUnixMs,
    });
  }

  /** Kernel code without a name may have been loaded since kallsyms was read, or never get one. */
  #followKernel(hasUnnamed: boolean, nowMs: number): void {
    if (!hasUnnamed) this.#kernelReloadMs = KERNEL_RELOAD_MS;
    if (!hasUnnamed || nowMs - this.#kernelReloadedMs <= this.#kernelReloadMs) return;
    this.#symbolizer.reloadKernel();
    this.#kernelReloadedMs = nowMs;
    this.#kernelReloadMs = Math.min(2 * this.#kernelReloadMs, MAX_KERNEL_RELOAD_MS);
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#http?.close();
    await this.#exports?.stop(EXPORT_STOP_MS);
    this.#store.close();
  }
}

async function stop(back: Back): Promise<void> {
  await back.stop();
  send({ kind: 'stopped' });
  port.close();
}

function answer(question: FileQuestion): void {
  try {
    const message = answerQuestion(question, options.config.unwind.maxFileBytes);
    const { result } = message;
    send(message, 'blocks' in result ? [result.blocks.buffer as ArrayBuffer] : []);
  } catch (error) {
    fail(error);
  }
}

function withSeconds(query: Query): Query {
  const { seconds, config } = options;
  const count = Math.floor(config.context.secondsMs / 1000);
  if (seconds === undefined) return query;
  return new SecondsQuery(query, new SecondsReader(seconds, count));
}

function fail(error: unknown): void {
  if (error instanceof OperatingError) {
    send({ kind: 'failed', code: error.code, message: error.message, hint: error.hint });
  } else {
    send({
      kind: 'failed',
      code: 'bug',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      hint: '',
    });
  }
}

/** All of node's threads are called `node`: so that what each one costs can be told apart. */
function nameThisThread(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name);
  } catch {
    // It keeps the name it has.
  }
}

nameThisThread('back');
try {
  const back = await Back.start();
  let work = Promise.resolve();
  port.on('message', (message: ToBack) => {
    if (message.kind === 'flush') work = work.then(() => back.flush(message)).catch(fail);
    else if (message.kind === 'stop') work = work.then(() => stop(back)).catch(fail);
    else answer(message);
  });
  send({ kind: 'ready', storeBytes: back.storeBytes });
} catch (error) {
  fail(error);
}
