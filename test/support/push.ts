// What tests of a push share: a store to push from, exports that run, and what ought to arrive of it,
// worked out by the store's own answers.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import type { HttpOptions } from '../../collector/serve/http.js';
import { HttpServer } from '../../collector/serve/http.js';
import { Exports } from '../../exporters/push/exports.js';
import type { OtlpOptions } from '../../exporters/push/exports.js';
import { firstSlot } from '../../storage/model/histogram.js';
import type { Histogram } from '../../storage/model/histogram.js';
import type { Store } from '../../storage/store.js';
import { faults, load, noon, runq, second, windowOf, writeFlush } from '../storage/support.js';
import type { ReceivedHistogram, ReceivedPoint } from './otlp-receiver.js';

export const bucketNs = 10n * second;
export const firstBucket = Number(noon / bucketNs);
export const protocols = ['http/protobuf', 'http/json', 'grpc'] as const;

/** Buckets from noon on: two keys of a histogram and of a counter, a gauge. */
export function fill(store: Store, buckets: number, from = 0): void {
  for (let i = from; i < from + buckets; i++) {
    writeFlush(store, {
      startUnixNs: noon + BigInt(i) * bucketNs,
      lengthNs: bucketNs,
      metrics: [
        {
          stream: runq,
          rows: [
            { key: [1, 'a', '/x'], values: [0, i + 1, 1000 * (i + 1)] },
            { key: [2 + (i % 2), 'b', ''], values: [2 ** 33] },
          ],
        },
        { stream: faults, rows: [{ key: [i % 2, 'sda'], values: [i + 1] }] },
        { stream: load, rows: [{ key: ['d'], values: [i] }] },
      ],
    });
  }
}

interface Push extends Partial<OtlpOptions> {
  readonly log?: (text: string) => void;
}

export async function startPush(t: TestContext, store: Store, receiver: { url: string }, more: Push = {}) {
  const exports = await Exports.start({
    read: async (window, stepNs) => (await store.metrics(window, stepNs, immediate)).answers,
    giveWay: immediate,
    took: () => undefined,
    state: store.state,
    env: {},
    log: more.log ?? (() => undefined),
    version: '0',
    names: [],
    withProcesses: true,
    maxPoints: 2000,
    resource: { 'deployment.environment.name': 'test' },
    otlp: {
      protocol: 'http/protobuf',
      endpoint: receiver.url,
      temporality: 'delta',
      catchUpPerSecond: 1000,
      maxBacklogMs: 86_400_000,
      ...more,
    },
    prometheus: false,
  });
  let isStopped = false;
  const stop = async (deadlineMs = 2000) => {
    if (!isStopped) await exports.stop(deadlineMs);
    isStopped = true;
  };
  t.after(() => stop(0));
  return { exports, stop };
}

/** GET /metrics of a store, where runq is called as the daemon calls it. */
export async function serveMetrics(t: TestContext, store: Store, more: Partial<HttpOptions> = {}) {
  const exports = await Exports.start({
    read: async (window, stepNs) => (await store.metrics(window, stepNs, immediate)).answers,
    giveWay: immediate,
    took: () => undefined,
    state: store.state,
    env: {},
    log: (text) => assert.fail(text),
    version: '0',
    names: [{ stream: 'runq', name: 'flamekeeper.runq.latency', description: 'Waits.' }],
    withProcesses: false,
    maxPoints: 2000,
    resource: {},
    otlp: undefined,
    prometheus: true,
  });
  const options = { listen: '127.0.0.1:0', tokenFile: '', certificate: '', key: '', clientCa: '', ...more };
  const server = await HttpServer.start(options, (ask, answer) => exports.handle(ask, answer));
  t.after(() => server.close());
  return { exports, port: server.port, url: `http://127.0.0.1:${server.port}/metrics` };
}

export const lag = ({ figures }: Exports) => figures['push.lagSeconds'];

/** Points as the store's own answer has them, one text each: delta of one bucket, or the day's sum
 *  up to it. */
export async function expectedOf(store: Store, bucket: number, isCumulative: boolean): Promise<string[]> {
  const from = isCumulative ? noon : BigInt(bucket) * bucketNs;
  const to = BigInt(bucket + 1) * bucketNs;
  const query = store.query();
  const texts: string[] = [];
  for (const stream of ['runq', 'faults', 'load']) {
    const window = windowOf(from, Number((to - from) / second));
    const answer = await query.series({ window, stepNs: bucketNs, filter: {}, stream });
    for (const { key, values } of answer.keys) {
      const labels = key.filter((part) => part !== '').join('/');
      const own = values as readonly (number | Histogram | undefined)[];
      if (answer.kind === 'gauge') {
        if (own.at(-1) !== undefined) texts.push(`load ${labels} ${String(own.at(-1))}`);
      } else if (answer.kind === 'counter') {
        texts.push(`faults ${labels} ${(own as number[]).reduce((sum, v) => sum + (v ?? 0), 0)}`);
      } else texts.push(`runq ${labels} ${histogramText(own as readonly (Histogram | undefined)[])}`);
    }
  }
  return texts.sort();
}

function histogramText(histograms: readonly (Histogram | undefined)[]): string {
  const slots = new Map<number, number>();
  let [count, sumNs] = [0, 0];
  for (const histogram of histograms) {
    histogram?.slots.forEach((slot, i) => slots.set(slot, (slots.get(slot) ?? 0) + histogram.counts[i]!));
    count += histogram?.count ?? 0;
    sumNs += histogram?.sumNs ?? 0;
  }
  return slotText(slots, count, sumNs / 1e9);
}

function slotText(slots: ReadonlyMap<number, number>, count: number, sum: number): string {
  const pairs = [...slots].sort(([a], [b]) => a - b).map((pair) => pair.join(':'));
  return `${count} ${sum.toPrecision(12)} ${pairs.join(' ')}`;
}

export function receivedText({ name, attributes, value }: ReceivedPoint): string {
  const labels = Object.values(attributes).join('/');
  const text = typeof value === 'number' ? String(value) : receivedHistogramText(value);
  return `${name.replace('flamekeeper.', '')} ${labels} ${text}`;
}

function receivedHistogramText(value: ReceivedHistogram): string {
  assert.equal(value.scale, 3);
  const slots = new Map(value.zeroCount > 0 ? [[firstSlot, value.zeroCount]] : []);
  value.bucketCounts.forEach((count, i) => count > 0 && slots.set(value.offset + i, count));
  return slotText(slots, value.count, value.sum);
}

/** Tells the first that differ: there may be thousands. */
export function assertSame(got: readonly string[], expected: readonly string[]): void {
  const without = (some: readonly string[], others: ReadonlySet<string>) =>
    some.filter((text) => !others.has(text)).slice(0, 3);
  const wrong = without(got, new Set(expected));
  const missing = without(expected, new Set(got));
  assert.deepEqual({ wrong, missing }, { wrong: [], missing: [] });
  assert.equal(got.length, expected.length);
}
