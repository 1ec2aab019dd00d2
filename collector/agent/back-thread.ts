// The front's handle on the back thread: starts the worker, hands flushes over,
// notices when it falls behind or dies.

import { Worker } from 'node:worker_threads';
import type { OperatingErrorCode } from '../../storage/model/errors.js';
import { OperatingError, operatingErrors } from '../../storage/model/errors.js';
import type {
  BackOptions,
  FileIdentified,
  FileQuestion,
  FlushedMessage,
  FlushMessage,
  FromBack,
  TableBuilt,
  ToBack,
} from '../messages.js';
import type { Log } from './log.js';

/** The back may have flushes of so long before it; the next one is not handed over (its
 *  samples are counted as lost). */
const MAX_PENDING_MS = 60_000;
const STOP_MS = 30_000;
const BACK = new URL('../back.js', import.meta.url);

export interface BackEvents {
  readonly flushed: (message: FlushedMessage) => void;
  readonly answered: (answer: FileIdentified | TableBuilt) => void;
  readonly failed: (error: Error) => void;
}

export class BackThread {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #on: BackEvents;
  #pending = 0;
  #settleStart:
    { resolve: (storeBytes: number) => void; reject: (error: Error) => void } | undefined;
  #settleStop: (() => void) | undefined;

  private constructor(worker: Worker, log: Log, on: BackEvents) {
    this.#worker = worker;
    this.#log = log;
    this.#on = on;
    worker.on('message', (message: FromBack) => this.#receive(message));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', () => this.#settleStop?.());
  }

  /** Opens the store in the worker. **Errors**: what Store.open throws. */
  static async start(
    options: BackOptions,
    log: Log,
    on: BackEvents,
  ): Promise<{ back: BackThread; storeBytes: number }> {
    const worker = new Worker(BACK, { workerData: options, trackUnmanagedFds: false });
    const back = new BackThread(worker, log, on);
    const storeBytes = await new Promise<number>(
      (resolve, reject) => (back.#settleStart = { resolve, reject }),
    );
    back.#settleStart = undefined;
    return { back, storeBytes };
  }

  /** Of flushes of so long each. */
  isBehind(intervalMs: number): boolean {
    return this.#pending * intervalMs >= MAX_PENDING_MS;
  }

  /** It has more to store than the flush it is at. */
  get isBusy(): boolean {
    return this.#pending > 1;
  }

  flush(message: FlushMessage): void {
    this.#pending++;
    this.#post(message);
  }

  ask(question: FileQuestion): void {
    this.#post(question);
  }

  /** Resolves when what was handed over is stored and the store is closed, or after 30 s. */
  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => (this.#settleStop = resolve));
    this.#post({ kind: 'stop' });
    const timer = setTimeout(
      () => this.#log('error', `the store did not close within ${STOP_MS / 1000} s`),
      STOP_MS,
    );
    await Promise.race([
      stopped,
      new Promise<void>((resolve) => setTimeout(resolve, STOP_MS).unref()),
    ]);
    clearTimeout(timer);
    await this.#worker.terminate();
  }

  #post(message: ToBack): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromBack): void {
    switch (message.kind) {
      case 'ready':
        return this.#settleStart?.resolve(message.storeBytes);
      case 'flushed':
        this.#pending--;
        return this.#on.flushed(message);
      case 'file-identified':
      case 'table-built':
        return this.#on.answered(message);
      case 'log':
        return this.#log(message.level, message.text);
      case 'failed':
        return this.#fail(
          message.code in operatingErrors
            ? new OperatingError(message.code as OperatingErrorCode, message.message, message.hint)
            : new Error(message.message),
        );
      case 'stopped':
        return this.#settleStop?.();
    }
  }

  #fail(error: Error): void {
    if (this.#settleStart !== undefined) this.#settleStart.reject(error);
    else this.#on.failed(error);
  }
}
