// The daemon's back thread under bench/export.ts: DIR KEYS FLUSHES; export by the environment's options.

import { setTimeout as sleep } from 'node:timers/promises';
import { BackThread } from '../collector/agent/back-thread.js';
import type { FlushedMessage, FlushMessage, MetricColumns } from '../collector/messages.js';
import { loadConfig } from '../config/load.js';
import { faults, load, runq } from '../test/storage/support.js';

/** What it tells when it is done, of the buckets after the warm-up. */
export interface ExportRun {
  readonly cpuMs: number;
  /** From handing over to stored, of the small flush of each bucket. */
  readonly smallMs: readonly number[];
  readonly stallMs: number;
}

const warmup = 10;
const bucketMs = 1000;
const bucketNs = 10_000_000_000n;
/** In which a push of the bucket before is under way. */
const smallWithinMs = 120;
const slotsEach = 16;
const streams = [runq, faults, load].map((info) => ({ info, counters: {} }));

/** Delays of neighbouring slots from about 1 us on, as a thread's are. */
function columnsOf(keys: number, bucket: number): MetricColumns[] {
  const rows = Array.from({ length: keys }, (_, k) => k);
  const values = Float64Array.from(rows, (k) => 1 + ((k + bucket) % 977));
  return [
    {
      kind: 'histogram',
      keys: rows.map((k) => [k, `comm${k % 97}`, `/system.slice/unit${k % 31}.service`]),
      starts: Uint32Array.from({ length: keys + 1 }, (_, k) => k * slotsEach),
      slots: Int16Array.from({ length: keys * slotsEach }, (_, i) => {
        return -160 + (Math.floor(i / slotsEach) % 40) + (i % slotsEach);
      }),
      counts: Float64Array.from({ length: keys * slotsEach }, (_, i) => 1 + ((i + bucket) % 13)),
      totals: Float64Array.from(rows, (k) => {
        let total = 0;
        for (let i = k * slotsEach; i < (k + 1) * slotsEach; i++) total += 1 + ((i + bucket) % 13);
        return total;
      }),
      sumsNs: Float64Array.from(rows, (k) => 1e6 * (k + 1)),
    },
    { kind: 'counter', keys: rows.map((k) => [k, 'sda']), values },
    { kind: 'gauge', keys: rows.map((k) => [`d${k}`]), values },
  ];
}

const [dir = '', keys, flushes] = process.argv.slice(2);
const config = loadConfig({ env: process.env, flags: { data: dir } });
if (!config.ok) throw new Error(JSON.stringify(config.problems));
const options = { config: config.loaded.config, seconds: undefined, names: [], version: '0' };
let told: (message: FlushedMessage) => void = () => undefined;
const log = (_level: string, text: string) => console.error(text);
const { back } = await BackThread.start(options, log, {
  flushed: (message) => told(message),
  answered: () => undefined,
  failed: (error) => {
    throw error;
  },
});

let sequence = 0;
/** Part of a bucket, in halves. */
async function flush(bucket: bigint, half: bigint, count: number): Promise<{ ms: number; stallMs: number }> {
  const startUnixNs = bucket * bucketNs + (half * bucketNs) / 2n;
  const message: FlushMessage = {
    kind: 'flush',
    sequence: sequence++,
    span: { startUnixNs, endUnixNs: startUnixNs + bucketNs / 2n },
    streams,
    samples: [],
    events: [],
    metrics: columnsOf(count, Number(bucket)).map((columns, stream) => ({ stream, columns })),
    modules: [],
    forgottenModules: [],
    daemon: {},
  };
  const startedMs = performance.now();
  const stored = new Promise<FlushedMessage>((resolve) => (told = resolve));
  back.flush(message);
  const { isDurable, longestStallMs } = await stored;
  if (!isDurable) throw new Error('a flush was not stored');
  return { ms: performance.now() - startedMs, stallMs: longestStallMs };
}

const first = BigInt(Math.floor(Date.now() / 10_000) - Number(flushes) - warmup);
const smallMs: number[] = [];
let stallMs = 0;
let cpuStart = process.cpuUsage();
for (let i = 0; i < warmup + Number(flushes); i++) {
  if (i === warmup) cpuStart = process.cpuUsage();
  const startedMs = performance.now();
  const large = await flush(first + BigInt(i), 0n, Number(keys));
  await sleep(Math.random() * smallWithinMs);
  const small = await flush(first + BigInt(i), 1n, 1);
  if (i >= warmup) {
    smallMs.push(small.ms);
    stallMs = Math.max(stallMs, large.stallMs, small.stallMs);
  }
  await sleep(Math.max(0, bucketMs - (performance.now() - startedMs)));
}
const { user, system } = process.cpuUsage(cpuStart);
const run: ExportRun = { cpuMs: (user + system) / 1000, smallMs, stallMs };
process.send!(run);
process.once('disconnect', () => process.exit());
