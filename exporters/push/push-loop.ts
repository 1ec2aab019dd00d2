// Pushes bucket after bucket from a cursor that outlives the daemon, in order, one request at a
// time: what a receiver missed while it was down is caught up.
//
//   store     ... | b-2 | b-1 | b | b+1 | running
//   cursor               ^ next   ^ head: the newest that is complete
//   state.db  next = first bucket not acknowledged; sending = one that may have arrived
//
// A bucket is sent until it is taken or refused for good. What waits too long is skipped and counted.

import { setTimeout as sleep } from 'node:timers/promises';
import type { metrics } from '@opentelemetry/sdk-node';
import type { DirectoryState } from '../../storage/lock.js';
import type { SendResult } from './otlp-client.js';

/** What the loop needs of an OtlpClient. */
export interface PushClient {
  readonly resends: number;
  /** The points of the last `send`, though no answer came. */
  readonly mayHaveArrived: boolean;
  begin(mayHaveArrived: boolean): void;
  send(data: metrics.ResourceMetrics): Promise<SendResult>;
  close(): void;
}

export interface PushLoopOptions {
  readonly client: PushClient;
  readonly state: DirectoryState;
  /** The points of a bucket; undefined when it holds none. */
  readonly collect: (bucket: number) => Promise<metrics.ResourceMetrics | undefined>;
  readonly took: (phase: 'read' | 'send', durationMs: number) => void;
  /** Requests a second while there is more to push. */
  readonly catchUpPerSecond: number;
  /** Older buckets than so many before the head are skipped. */
  readonly maxBacklogBuckets: number;
  readonly log: (text: string) => void;
  /** 0..1, for the jitter of pauses. */
  readonly random?: () => number;
  readonly firstPauseMs?: number;
}

const maxPauseMs = 60_000;
/** A receiver cannot ask for a longer pause. */
const maxRetryAfterMs = 3_600_000;

export class PushLoop {
  readonly #options: PushLoopOptions;
  readonly #stopping = new AbortController();
  #head = -1;
  #next: number | undefined;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #pauses = 0;
  #lastWhy = '';
  readonly #counts = {
    buckets: 0,
    points: 0,
    refusedBuckets: 0,
    refusedPoints: 0,
    skippedBuckets: 0,
    failures: 0,
  };

  constructor(options: PushLoopOptions) {
    this.#options = options;
    this.#next = options.state.get('otlp.next');
  }

  /** All buckets up to this one are complete. Never throws. */
  complete(bucket: number): void {
    if (bucket > this.#head) this.#head = bucket;
    // What was there before the first push is not sent.
    this.#next ??= bucket;
    this.#wake?.();
    this.#running ??= this.#run().catch((error: unknown) => {
      this.#lastWhy = error instanceof Error ? error.message : String(error);
      this.#options.log(`the push to OpenTelemetry ended: ${this.#lastWhy}`);
    });
  }

  /** Resolves when the request under way has ended, or after the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    await Promise.race([this.#running, sleep(deadlineMs, undefined, { ref: false })]);
    this.#options.client.close();
  }

  /** For `status`: names end in their unit. */
  get figures(): Readonly<Record<string, number | string>> {
    const lagBuckets = Math.max(0, this.#head - (this.#next ?? this.#head + 1) + 1);
    return {
      ...this.#counts,
      resends: this.#options.client.resends,
      lagSeconds: lagBuckets * 10,
      ...(this.#lastWhy === '' ? {} : { lastError: this.#lastWhy }),
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { state } = this.#options;
    const sending = state.get('otlp.sending');
    this.#options.client.begin(sending !== undefined && sending === this.#next);
    while (!signal.aborted) {
      this.#skipOld();
      if (this.#next! > this.#head) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const startedMs = performance.now();
      const bucket = this.#next!;
      const data = await this.#collect(bucket);
      if (signal.aborted) return;
      if (data === 'failed') continue;
      if (data !== undefined && !(await this.#sendUntilSettled(bucket, data))) return;
      this.#moveTo(bucket + 1);
      const paceMs = 1000 / this.#options.catchUpPerSecond - (performance.now() - startedMs);
      if (data !== undefined && bucket < this.#head) await this.#pause(Math.max(paceMs, 0));
    }
  }

  /** False when the daemon stops first. */
  async #sendUntilSettled(bucket: number, data: metrics.ResourceMetrics): Promise<boolean> {
    const { client } = this.#options;
    const points = pointsOf(data);
    this.#keep({ 'otlp.sending': bucket });
    while (!this.#stopping.signal.aborted) {
      const result = await this.#timed('send', () => client.send(data));
      switch (result.kind) {
        case 'accepted':
          this.#pauses = 0;
          this.#counts.buckets++;
          this.#counts.points += points - result.rejectedPoints;
          this.#counts.refusedPoints += result.rejectedPoints;
          return true;
        case 'refused':
          this.#pauses = 0;
          this.#counts.refusedBuckets++;
          this.#counts.refusedPoints += points;
          this.#tell(`refused for good: ${result.why}`);
          return true;
        case 'failed':
          this.#counts.failures++;
          this.#tell(`failed, will be repeated: ${result.why}`);
          await this.#pause(this.#nextPauseMs(result.retryAfterMs));
          // Waited longer than anything may: the next round skips it.
          if (bucket < this.#head - this.#options.maxBacklogBuckets) {
            this.#counts.skippedBuckets++;
            return true;
          }
      }
    }
    if (!client.mayHaveArrived) this.#keep({ 'otlp.sending': -1 });
    return false;
  }

  #nextPauseMs(retryAfterMs: number | undefined): number {
    const { firstPauseMs = 1000, random = Math.random } = this.#options;
    const own = Math.min(firstPauseMs * 2 ** this.#pauses++, maxPauseMs);
    const jittered = own * (0.8 + 0.4 * random());
    return Math.max(jittered, Math.min(retryAfterMs ?? 0, maxRetryAfterMs));
  }

  #skipOld(): void {
    const oldest = this.#head - this.#options.maxBacklogBuckets;
    if (this.#next! >= oldest) return;
    this.#counts.skippedBuckets += oldest - this.#next!;
    this.#moveTo(oldest);
  }

  #moveTo(bucket: number): void {
    this.#next = bucket;
    this.#keep({ 'otlp.next': bucket });
    this.#options.client.begin(false);
  }

  /** On a full disk the cursor goes on in memory. */
  #keep(values: Readonly<Record<string, number>>): void {
    try {
      this.#options.state.set(values);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#tell(`goes on, but its place is not kept: ${(error as Error).message}`);
    }
  }

  async #collect(bucket: number): Promise<metrics.ResourceMetrics | undefined | 'failed'> {
    try {
      return await this.#timed('read', () => this.#options.collect(bucket));
    } catch (error) {
      this.#counts.failures++;
      this.#tell(`cannot read the store: ${(error as Error).message}`);
      await this.#pause(this.#nextPauseMs(undefined));
      return 'failed';
    }
  }

  async #timed<T>(phase: 'read' | 'send', work: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    const result = await work();
    this.#options.took(phase, performance.now() - startedMs);
    return result;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  /** A receiver that stays down says the same each time: once is enough. */
  #tell(why: string): void {
    if (why !== this.#lastWhy) this.#options.log(`push to OpenTelemetry ${why}`);
    this.#lastWhy = why;
  }
}

function pointsOf({ scopeMetrics }: metrics.ResourceMetrics): number {
  return scopeMetrics
    .flatMap((scope) => scope.metrics)
    .reduce((sum, { dataPoints }) => sum + dataPoints.length, 0);
}
