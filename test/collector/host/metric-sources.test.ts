// From a source's take to the store's answer: what the front gathers, clones to the back and stores.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HostNaming } from '../../../collector/agent/host-naming.js';
import type { MetricSource, TakenStream } from '../../../collector/host/metric-sources.js';
import { Pace } from '../../../collector/pace.js';
import { MetricSources } from '../../../collector/host/metric-sources.js';
import type { DrainedFlush, FlushMessage, HistogramColumns } from '../../../collector/messages.js';
import { storeMetrics } from '../../../collector/pipeline/store-metrics.js';
import type { Query } from '../../../storage/model/query.js';
import type { Store } from '../../../storage/store.js';
import { exec, execEvents, faults, histogramOf, load, noon } from '../../storage/support.js';
import { openStore, runq, second, windowOf } from '../../storage/support.js';

const span = { startUnixNs: noon, endUnixNs: noon + 10n * second };

function histogramColumns(rows: readonly [readonly (string | number)[], number[]][]): HistogramColumns {
  const histograms = rows.map(([, delays]) => histogramOf(delays));
  const starts = [0];
  for (const { slots } of histograms) starts.push(starts.at(-1)! + slots.length);
  return {
    kind: 'histogram',
    keys: rows.map(([key]) => key),
    starts: Uint32Array.from(starts),
    slots: Int16Array.from(histograms.flatMap(({ slots }) => [...slots])),
    counts: Float64Array.from(histograms.flatMap(({ counts }) => [...counts])),
    totals: Float64Array.from(histograms, ({ count }) => count + 1),
    sumsNs: Float64Array.from(histograms, ({ sumNs }) => sumNs),
  };
}

/** Gives the same at each take, and notes what was asked of it. */
class FixedSource implements MetricSource {
  readonly asked: string[] = [];
  readonly #streams: readonly TakenStream[];
  constructor(streams: readonly TakenStream[]) {
    this.#streams = streams;
  }
  flip(): void {
    this.asked.push('flip');
  }
  take(): readonly TakenStream[] {
    this.asked.push('take');
    return this.#streams;
  }
  close(): void {
    this.asked.push('close');
  }
}

const delays = histogramColumns([
  [[1, 'a', '/'], [0, 5, 5]],
  [[2, 'b', '/'], []],
  [[1, 'a', '/'], [1e9]],
]);
const taken: TakenStream[] = [
  { info: runq, counters: { captured: 7 }, columns: delays },
  { info: exec, counters: { recorded: 1 }, columns: execEvents([1]) },
  {
    info: faults,
    counters: {},
    columns: { kind: 'counter', keys: [[0, 'sda'], [1, 'sda']], values: Float64Array.of(3, 0) },
  },
];
const gauges: TakenStream = {
  info: load,
  counters: {},
  columns: { kind: 'gauge', keys: [['sda'], ['sda']], values: Float64Array.of(9, 2 / 3), decimals: 2 },
};

async function takeInto(sources: MetricSources): Promise<DrainedFlush> {
  const streams: DrainedFlush['streams'][number][] = [];
  const naming = {} as HostNaming;
  const context = { naming, samples: [], isLast: false, span };
  const { rows, events } = await sources.take(streams, context, new Pace());
  return { streams, metrics: rows, events, span } as unknown as DrainedFlush;
}

function storeFlush(store: Store, message: DrainedFlush): void {
  const writer = store.beginFlush(message.span);
  storeMetrics(structuredClone(message) as FlushMessage, writer);
  for (const { info, counters } of message.streams) writer.header(writer.streamId(info), counters);
  writer.commit();
}

async function ask(query: Query, stream: string) {
  const answer = await query.series({ window: windowOf(noon, 10), stepNs: 10n * second, filter: {}, stream });
  return { keys: answer.keys.map(({ key, values }) => [key.join(' '), values[0]]), counters: answer.counters };
}

test('what sources take arrives in the store', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'fk-sources-'));
  const store = openStore(dir);
  t.after(() => {
    store.close();
    rmSync(dir, { recursive: true });
  });
  const sources = new MetricSources();
  const [first, second] = [new FixedSource(taken), new FixedSource([gauges])];
  for (const source of [first, second]) sources.add(source);
  sources.flip();
  const message = await takeInto(sources);
  assert.deepEqual(message.streams.map(({ info }) => info.name), ['runq', 'exec', 'faults', 'load']);
  assert.deepEqual(message.metrics.map(({ stream }) => stream), [0, 2, 3]);
  assert.deepEqual(message.events.map(({ stream }) => stream), [1]);
  storeFlush(store, message);
  const runqAnswer = await ask(store.query(), 'runq');
  assert.deepEqual(runqAnswer, {
    keys: [
      ['1 a /', { ...histogramOf([0, 5, 5, 1e9]), count: 6 }],
      ['2 b /', { ...histogramOf([]), count: 1 }],
    ],
    counters: { captured: 7 },
  });
  assert.deepEqual((await ask(store.query(), 'faults')).keys, [['0 sda', 3], ['1 sda', 0]]);
  assert.deepEqual((await ask(store.query(), 'load')).keys, [['sda', 0.67]]);
  sources.close();
  assert.deepEqual(first.asked, ['flip', 'take', 'close']);
  assert.deepEqual(second.asked, ['flip', 'take', 'close']);
});

test('what was given up is told once, with the stream it was of', async () => {
  const sources = new MetricSources();
  sources.add(new FixedSource([...taken, gauges]));
  sources.giveUp(await takeInto(sources));
  sources.giveUp(await takeInto(sources));
  const counters = async () => {
    const { streams } = await takeInto(sources);
    return streams.map((stream) => stream.counters['lost.store_too_slow']);
  };
  // The second message would have told what the first lost: both are lost with it.
  assert.deepEqual(await counters(), [14, undefined, 4, 4]);
  assert.deepEqual(await counters(), [undefined, undefined, undefined, undefined]);
});
