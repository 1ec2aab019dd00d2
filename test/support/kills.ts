// A daemon that is killed again and again, and the books kept about it from outside: what it said it stored
// must be in its store, once, and nothing else.
//
//   drained 7   stored 7   drained 8   drained 9   SIGKILL
//                  |           \___________/
//               must be there    may be there, in this order (the store had no time to say so)

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { OperatingError } from '../../storage/model/errors.js';
import { totalOf } from '../../storage/model/profile.js';
import { openFiles } from '../../storage/query.js';
import { decodeEnvelope } from '../../storage/segment/envelope.js';
import { TestDaemon } from './daemon.js';
import { leftBehind, objectsOf, perfEventsOf, stillThere, unheldObjects } from './kernel-objects.js';

const bucketMs = 10_000;
const stallWithinMs = 20_000;
const eventStreams = ['exec', 'exit', 'process', 'kernel'];

/** Where in a commit to kill: after half of its writes, or in the sync that ends it. */
export type Stall = 'write' | 'sync';

interface LoggedFlush {
  readonly bucket: number;
  readonly samples: number;
  readonly events: number;
  isStored: boolean;
}

/** One life of the daemon, ended by SIGKILL, and what was found after it. */
export interface Death {
  readonly acknowledged: number;
  /** Flushes that the store had taken in but not yet told. */
  readonly storedUntold: number;
  /** Programs, maps and links it held, and perf events. */
  readonly kernelObjects: number;
  readonly perfEvents: number;
  /** What is wrong; empty when nothing is. */
  readonly lostOrDoubled: readonly string[];
  readonly damaged: readonly string[];
  readonly leftBehind: readonly string[];
}

export class KilledDaemon {
  readonly dir = mkdtempSync(join(tmpdir(), 'fk-kills-'));
  readonly #args: readonly string[];
  readonly #stallLibrary: string;
  readonly #unheldBefore = unheldObjects();
  /** What must be in the store: samples by bucket, and events, whose own time may be a bucket further on. */
  readonly #samples = new Map<number, number>();
  #events = 0;
  #daemon: TestDaemon | undefined;

  /** `stallLibrary` is the compiled stall-commit.c. */
  constructor(args: readonly string[], stallLibrary: string) {
    this.#args = [...args, '-v'];
    this.#stallLibrary = stallLibrary;
  }

  /** Starts the daemon and kills it `lifeMs` later. */
  async killAfter(lifeMs: number): Promise<Death> {
    const daemon = await this.#start({});
    await sleep(lifeMs);
    return this.#kill(daemon);
  }

  /** Starts the daemon and kills it when it stands inside its n-th such call on the log of a segment. */
  async killInside(call: Stall, n: number): Promise<Death> {
    const file = join(this.dir, 'stalled');
    rmSync(file, { force: true });
    const daemon = await this.#start({
      LD_PRELOAD: this.#stallLibrary,
      STALL_CALL: call,
      STALL_AFTER: String(n),
      STALL_FILE: file,
    });
    for (const untilMs = Date.now() + stallWithinMs; !existsSync(file); await sleep(2)) {
      assert.ok(Date.now() < untilMs, `the daemon comes to ${call} ${n} of its log`);
    }
    return this.#kill(daemon);
  }

  /** Starts it once more and ends it well: what is wrong then. */
  async finish(): Promise<string[]> {
    const daemon = await this.#start({});
    await sleep(1000);
    await daemon.stop();
    const { wrong } = await this.#settle(loggedFlushes(daemon.stderr), 0);
    const quarantined = existsSync(join(this.dir, 'quarantine'))
      ? readdirSync(join(this.dir, 'quarantine'))
      : [];
    return [...wrong, ...damagedParts(this.dir), ...quarantined.map((file) => `${file} is in quarantine`)];
  }

  get samples(): number {
    return [...this.#samples.values()].reduce((sum, samples) => sum + samples, 0);
  }

  remove(): void {
    this.#daemon?.remove();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #start(environment: NodeJS.ProcessEnv): Promise<TestDaemon> {
    this.#daemon = await TestDaemon.start(this.#args, this.dir, environment);
    return this.#daemon;
  }

  async #kill(daemon: TestDaemon): Promise<Death> {
    const objects = objectsOf(daemon.pid);
    const perfEvents = perfEventsOf(daemon.pid);
    const closed = once(daemon.process, 'close');
    daemon.process.kill('SIGKILL');
    await closed;
    const flushes = loggedFlushes(daemon.stderr);
    const firstBucket = Math.min(...flushes.map(({ bucket }) => bucket));
    const { wrong, storedUntold } = await this.#settle(flushes, firstBucket);
    const left = await leftBehind(this.#unheldBefore);
    return {
      acknowledged: flushes.filter(({ isStored }) => isStored).length,
      storedUntold,
      kernelObjects: objects.length,
      perfEvents,
      lostOrDoubled: wrong,
      damaged: damagedParts(this.dir),
      leftBehind: [...new Set([...left, ...stillThere(objects)])],
    };
  }

  /** Compares the books with the store, samples from a bucket on, and takes over what may be there and is. */
  async #settle(flushes: readonly LoggedFlush[], fromBucket: number) {
    for (const flush of flushes) if (flush.isStored) this.#expect(flush);
    const untold = flushes.filter(({ isStored }) => !isStored);
    for (const { bucket } of untold) this.#expect({ bucket, samples: 0, events: 0 });
    let wrong = await this.#differences(fromBucket);
    let storedUntold = 0;
    for (; wrong.length > 0 && storedUntold < untold.length; storedUntold++) {
      this.#expect(untold[storedUntold]!);
      wrong = await this.#differences(fromBucket);
    }
    return { wrong, storedUntold };
  }

  #expect({ bucket, samples, events }: Omit<LoggedFlush, 'isStored'>): void {
    this.#samples.set(bucket, (this.#samples.get(bucket) ?? 0) + samples);
    this.#events += events;
  }

  async #differences(fromBucket: number): Promise<string[]> {
    const different: string[] = [];
    for (const [bucket, expected] of this.#samples) {
      const stored = bucket < fromBucket ? expected : await storedSamples(this.dir, bucket);
      if (stored !== expected)
        different.push(`bucket ${bucket}: ${expected} samples stored, ${stored} there`);
    }
    const events = await storedEvents(this.dir);
    if (events !== this.#events) different.push(`${this.#events} events stored, ${events} there`);
    return different;
  }
}

/** From the daemon's log: `flush 3 drained: from TIME, N samples, N events`, `flush 3 stored in …`. */
function loggedFlushes(log: string): LoggedFlush[] {
  const flushes = new Map<string, LoggedFlush>();
  for (const line of log.split('\n')) {
    const drained = /flush (\d+) drained: from (\S+), (\d+) samples, (\d+) events$/.exec(line);
    if (drained !== null) {
      const [, sequence = '', from = '', samples, events] = drained;
      const bucket = Math.floor(Date.parse(from) / bucketMs);
      flushes.set(sequence, { bucket, samples: Number(samples), events: Number(events), isStored: false });
    }
    const stored = /flush (\d+) stored in seg-/.exec(line);
    if (stored !== null) flushes.get(stored[1]!)!.isStored = true;
  }
  return [...flushes.values()];
}

async function storedSamples(dir: string, bucket: number): Promise<number> {
  const fromUnixNs = BigInt(bucket * bucketMs) * 1_000_000n;
  const windows = [{ fromUnixNs, toUnixNs: fromUnixNs + BigInt(bucketMs) * 1_000_000n }];
  const query = await orNothing(Promise.resolve().then(() => openFiles(dir)));
  if (query === undefined) return 0;
  const answer = await orNothing(query.aggregate({ windows, filter: {}, stream: 'cpu' }));
  query.close();
  return answer === undefined ? 0 : totalOf(answer.profile);
}

async function storedEvents(dir: string): Promise<number> {
  const window = { fromUnixNs: 0n, toUnixNs: 2n ** 62n };
  const query = await orNothing(Promise.resolve().then(() => openFiles(dir)));
  let events = 0;
  if (query === undefined) return events;
  for (const stream of eventStreams) {
    let cursor: string | undefined;
    for (let isComplete = false; !isComplete;) {
      const from = cursor === undefined ? {} : { cursor };
      const page = await orNothing(query.events({ window, filter: {}, stream, limit: 10_000, ...from }));
      events += page?.events.length ?? 0;
      cursor = page?.cursor;
      isComplete = page?.isComplete ?? true;
    }
  }
  query.close();
  return events;
}

/** A store that was killed before it held anything, or knew the stream or the bucket. */
async function orNothing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof OperatingError && ['usage', 'empty-window', 'no-data'].includes(error.code)) return undefined;
    throw error;
  }
}

/** Integrity and checksums of every segment, on a copy: the next daemon must find the files as the last one
 *  left them. */
function damagedParts(dir: string): string[] {
  const copies = mkdtempSync(join(tmpdir(), 'fk-kills-copy-'));
  try {
    const segments = readdirSync(dir).filter((name) => /^seg-.*\.db$/.test(name));
    return segments.flatMap((name) => {
      for (const end of ['', '-wal']) {
        if (existsSync(join(dir, name + end))) copyFileSync(join(dir, name + end), join(copies, name + end));
      }
      return damagedPartsOf(join(copies, name)).map((part) => `${name}: ${part}`);
    });
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}

function damagedPartsOf(path: string): string[] {
  const db = new Database(path);
  try {
    const integrity = String(db.pragma('integrity_check', { simple: true }));
    const damaged = integrity === 'ok' ? [] : [integrity];
    for (const table of ['live', 'dict']) {
      for (const { id, data } of db.prepare(`SELECT id, data FROM ${table}`).all() as {
        id: number;
        data: Buffer;
      }[]) {
        if (decodeEnvelope(data) === undefined) damaged.push(`${table} ${id} fails its checksum`);
      }
    }
    return damaged;
  } finally {
    db.close();
  }
}
