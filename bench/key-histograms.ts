// Bytes a key-histogram: 140 keys of run-queue delays and 52 of block delays, every 10 s one histogram
// each. A key has a rate of its own (log-normal, 300 or 40 delays) and a profile that is normal over the
// octaves of a delay; a slow swing and a jitter move the rate, and each slot gets a Poisson count.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Histogram } from '../storage/model/histogram.js';
import { slotBoundsNs, slotOfNs } from '../storage/model/histogram.js';
import type { StreamInfo } from '../storage/model/stream.js';
import { openFiles } from '../storage/query.js';
import { Store } from '../storage/store.js';
import { printFigure, printNote } from './support.js';

const keyCount = 192;
const runqKeys = 140;
const slotsPerOctave = 8;
/** From 1 us on. */
const octaves = 27;
const runq: StreamInfo = {
  name: 'runq',
  kind: 'histogram',
  valueType: { type: 'delay', unit: 'nanoseconds' },
  fields: [
    { name: 'pid', type: 'number' },
    { name: 'start', type: 'number' },
    { name: 'comm', type: 'string' },
    { name: 'cgroup', type: 'string' },
  ],
};

interface KeyModel {
  readonly ratePerFlush: number;
  /** Share of the delays by slot, from that of 1 us on. */
  readonly profile: readonly number[];
}

export interface KeyHistogramBench {
  readonly dir: string;
  readonly flushes: number;
  readonly startUnixNs: bigint;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** CPU ms of this process so far. */
  readonly cpuMs: () => number;
}

export async function benchKeyHistograms(bench: KeyHistogramBench): Promise<void> {
  const { dir, flushes, startUnixNs, random, cpuMs } = bench;
  const models = Array.from({ length: keyCount }, (_, i) => makeModel(i, random));
  const store = Store.open({ dir, maxAgeMs: 1e15, ballastBytes: 0 });
  let [spentMs, slots, delays, boundBits] = [0, 0, 0, 0];
  for (let bucket = 0; bucket < flushes; bucket++) {
    const rates = models.map((model) => rateAt(model, bucket, random));
    const histograms = models.map((model, i) => drawHistogram(model, rates[i]!, random));
    for (const { slots: held, count } of histograms) {
      slots += held.length;
      delays += count;
    }
    if (bucket === 0) boundBits = sumOf(models.map((model, i) => entropyBits(model, rates[i]!)));
    const start = cpuMs();
    writeFlush(store, startUnixNs + BigInt(bucket) * 10_000_000_000n, histograms);
    spentMs += cpuMs() - start;
  }
  store.close();
  const rows = flushes * keyCount;
  const perRow = (value: number) => Number((value / rows).toFixed(1));
  printNote(
    `${keyCount} keys, ${flushes} flushes: ${perRow(slots)} slots and ${perRow(delays)} delays each; ` +
      `Poisson bound of the first flush ${(boundBits / 8 / keyCount).toFixed(0)} B`,
  );
  const { blobBytes, fileBytes } = sizesOf(dir);
  printFigure('live histograms: bytes a key-histogram', perRow(blobBytes), 'B', { atMost: 42 });
  printFigure('the same on disk, keys and pages included', perRow(fileBytes), 'B');
  printFigure('CPU a flush of them', spentMs / flushes, 'ms');
  const query = openFiles(dir);
  const window = { fromUnixNs: startUnixNs, toUnixNs: startUnixNs + BigInt(flushes) * 10_000_000_000n };
  const start = cpuMs();
  const request = { window, stepNs: 60_000_000_000n, filter: {}, stream: 'runq', by: [] };
  const answer = await query.series(request);
  printFigure('CPU of an answer over all of them, minute by minute', cpuMs() - start, 'ms');
  if (answer.kind !== 'histogram') throw new Error('histograms are answered by histograms');
  const counted = sumOf(answer.keys[0]!.values.map((value) => value?.count ?? 0));
  if (counted !== delays) throw new Error(`${delays} delays stored, ${counted} answered`);
}

function makeModel(index: number, random: () => number): KeyModel {
  const isRunq = index < runqKeys;
  const mean = isRunq ? 3 + 3 * random() : 7 + 4 * random();
  const deviation = 1.2 + random();
  const weights = Array.from({ length: octaves * slotsPerOctave }, (_, slot) =>
    Math.exp(-0.5 * (((slot + 0.5) / slotsPerOctave - mean) / deviation) ** 2),
  );
  const total = sumOf(weights);
  return {
    ratePerFlush: Math.exp(1.8 * normal(random)) * (isRunq ? 300 : 40),
    profile: weights.map((weight) => weight / total),
  };
}

function rateAt({ ratePerFlush }: KeyModel, bucket: number, random: () => number): number {
  return ratePerFlush * (1 + 0.5 * Math.sin(bucket / 300)) * Math.exp(0.2 * normal(random));
}

function drawHistogram({ profile }: KeyModel, rate: number, random: () => number): Histogram {
  const firstSlot = slotOfNs(1000);
  const slots: number[] = [];
  const counts: number[] = [];
  let sumNs = 0;
  for (const [i, share] of profile.entries()) {
    const count = poisson(rate * share, random);
    if (count === 0) continue;
    slots.push(firstSlot + i);
    counts.push(count);
    const { lowerNs, upperNs } = slotBoundsNs(firstSlot + i);
    const spread = Math.sqrt(count / 12) * (upperNs - lowerNs) * normal(random);
    sumNs += Math.max(0, Math.round((count * (lowerNs + upperNs)) / 2 + spread));
  }
  const count = sumOf(counts);
  return { slots: Int16Array.from(slots), counts: Float64Array.from(counts), count, sumNs };
}

function writeFlush(store: Store, startUnixNs: bigint, histograms: readonly Histogram[]): void {
  const flush = store.beginFlush({ startUnixNs, endUnixNs: startUnixNs + 10_000_000_000n });
  const stream = flush.streamId(runq);
  for (const [i, histogram] of histograms.entries()) {
    const key = [1000 + i, 1_750_000_000_000 + 7919 * i, `service-${i}`, `/kube/pod${i}`];
    flush.histogram(stream, flush.keyId(stream, key), histogram);
  }
  flush.header(stream, { captured: sumOf(histograms.map(({ count }) => count)) });
  flush.commit();
}

function sizesOf(dir: string): { blobBytes: number; fileBytes: number } {
  let [blobBytes, fileBytes] = [0, 0];
  for (const name of readdirSync(dir).filter((file) => file.startsWith('seg-'))) {
    const db = new Database(join(dir, name), { readonly: true });
    blobBytes += db.prepare('SELECT sum(length(data)) FROM live').pluck().get() as number;
    db.close();
    fileBytes += statSync(join(dir, name)).size;
  }
  return { blobBytes, fileBytes };
}

/** Entropy of the counts of one histogram: what no encoding can go below. */
function entropyBits({ profile }: KeyModel, rate: number): number {
  return sumOf(profile.map((share) => poissonEntropyBits(rate * share)));
}

function poissonEntropyBits(lambda: number): number {
  if (lambda < 1e-9) return 0;
  if (lambda > 30) return 0.5 * Math.log2(2 * Math.PI * Math.E * lambda);
  let [bits, probability] = [0, Math.exp(-lambda)];
  for (let k = 0; k < 200 && probability > 0; k++) {
    bits -= probability * Math.log2(probability);
    probability *= lambda / (k + 1);
  }
  return bits;
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** By inversion; above 50 a rounded normal. */
function poisson(lambda: number, random: () => number): number {
  if (lambda < 1e-9) return 0;
  if (lambda > 50) return Math.max(0, Math.round(lambda + Math.sqrt(lambda) * normal(random)));
  let [count, probability] = [0, Math.exp(-lambda)];
  for (let rest = random() - probability; rest > 0 && count < 1000; rest -= probability) {
    probability *= lambda / ++count;
  }
  return count;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
