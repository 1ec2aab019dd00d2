// A real Prometheus and a real VictoriaMetrics: what they scrape from us, and what Prometheus takes over
// OTLP, are the counts of the store; promtool finds nothing wrong with our page.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { firstSlot, quantileOf, slotBoundsNs } from '../../storage/model/histogram.js';
import type { Histogram } from '../../storage/model/histogram.js';
import type { SeriesAnswer } from '../../storage/model/query.js';
import type { Store } from '../../storage/store.js';
import { openStore, temporaryDir, windowOf } from '../storage/support.js';
import { bucketNs, lag, serveMetrics, startPush } from '../support/push.js';
import { until } from '../support/wait.js';
import type { Queried, Sample } from './servers.js';
import { eventually, query, serverPath, startPrometheus, startVictoriaMetrics } from './servers.js';
import { fillWidely } from './wide-store.js';

const buckets = 3;
const shares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
/** Of the classic histogram, as powers of two of a second: 2^-20 to 2^6, then +Inf. */
const [lowestPower, highestPower] = [-20, 6];

/** Of today: Prometheus takes nothing that is old. */
function openNow(t: TestContext) {
  const now = BigInt(Date.now()) * 1_000_000n;
  const day = now - (now % 86_400_000_000_000n);
  const startUnixNs = now - (now % bucketNs) - BigInt(buckets) * bucketNs;
  // In the first half minute of a day: that of yesterday.
  const from = startUnixNs < day ? day - BigInt(buckets) * bucketNs : startUnixNs;
  const store = openStore(temporaryDir(t), { now: Date.now });
  t.after(() => store.close());
  fillWidely(store, buckets, from);
  return { store, from, firstBucket: Number(from / bucketNs) };
}

async function answerOf(store: Store, stream: string, fromUnixNs: bigint, length: number): Promise<SeriesAnswer> {
  const window = windowOf(fromUnixNs, 10 * length);
  return store.query().series({ window, stepNs: bucketNs * 8640n, filter: {}, stream, by: fieldsOf[stream]! });
}

/** What the page keeps apart: not the processes. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  runq: ['comm', 'cgroup'],
  faults: ['cpu', 'device'],
  load: ['device'],
};

function total(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

const bySeries = (samples: readonly Sample[], label: string) =>
  new Map(samples.map(({ metric, value }) => [metric[label]!, Number(value![1])]));

function countBelow({ slots, counts }: Histogram, boundSeconds: number): number {
  return counts.reduce((sum, count, i) => {
    return slotBoundsNs(slots[i]!).upperNs <= boundSeconds * 1e9 ? sum + count : sum;
  }, 0);
}

/** Power of two whose bucket a delay falls in; of one above all bounds Prometheus says the highest. */
function classicBucket(seconds: number): number {
  return Math.min(Math.max(Math.ceil(Math.log2(seconds)), lowestPower), highestPower);
}

/** Counts, bounds, sums and quantiles of each key, against the store's own answers. */
async function checkScraped(t: TestContext, server: Queried, store: Store, from: bigint): Promise<void> {
  const name = 'flamekeeper_runq_latency_seconds';
  const answer = await answerOf(store, 'runq', from, buckets);
  assert.ok(answer.kind === 'histogram');
  const all = await query(server, `${name}_bucket`);
  let bounds = 0;
  let quantiles = 0;
  for (const { key, values } of answer.keys) {
    const histogram = values[0]!;
    const comm = String(key[0]);
    const own = all.filter(({ metric }) => metric['process_executable_name'] === comm);
    const counts = bySeries(own, 'le');
    assert.equal(counts.size, highestPower - lowestPower + 2, comm);
    for (const [le, count] of counts) {
      const bound = Number(le.replace('+Inf', 'Infinity'));
      assert.ok(bound === Infinity || Number.isInteger(Math.log2(bound)), le);
      const expected = bound === Infinity ? histogram.count : countBelow(histogram, bound);
      assert.equal(count, expected, `${comm}, le=${le}`);
      bounds++;
    }
    const label = `{process_executable_name=${JSON.stringify(comm)}}`;
    const [sum] = await query(server, `${name}_sum${label}`);
    assert.ok(Math.abs(Number(sum!.value![1]) * 1e9 - histogram.sumNs) <= 1e-12 * histogram.sumNs, comm);
    for (const share of shares) {
      const [theirs] = await query(server, `histogram_quantile(${share}, ${name}_bucket${label})`);
      const seconds = Number(theirs!.value![1]);
      const ours = quantileOf(histogram, share)!.valueNs / 1e9;
      const told = `${comm}, p${share * 100}: ${seconds} s there, ${ours} s here`;
      assert.ok(classicBucket(seconds) === classicBucket(ours), told);
      quantiles++;
    }
  }
  assert.ok(answer.keys.length > 30);
  for (const [stream, metric, label] of [
    ['faults', 'flamekeeper_faults_total', 'cpu_logical_number'],
    ['load', 'flamekeeper_load', 'system_device'],
  ] as const) {
    const isGauge = stream === 'load';
    const answer = await answerOf(store, stream, isGauge ? from + bucketNs * BigInt(buckets - 1) : from, isGauge ? 1 : buckets);
    assert.ok(answer.kind !== 'histogram');
    const values = bySeries(await query(server, metric), label);
    const expected = answer.keys.map(({ key, values }) => [String(key[0]), total(values)] as const);
    assert.deepEqual(values, new Map([...values.keys()].map((k) => [k, new Map(expected).get(k)])));
    assert.equal(values.size, expected.length, metric);
  }
  t.diagnostic(`${answer.keys.length} keys, ${bounds} bounds, ${quantiles} quantiles agree with the store`);
}

const scrapeConfig = (port: number) =>
  JSON.stringify({
    global: { scrape_interval: '1s' },
    scrape_configs: [{ job_name: 'flamekeeper', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
  });

for (const [name, start] of [
  ['Prometheus', startPrometheus],
  ['VictoriaMetrics', startVictoriaMetrics],
] as const) {
  test(`${name} scrapes what the store holds`, async (t) => {
    const { store, from, firstBucket } = openNow(t);
    const { exports, port } = await serveMetrics(t, store);
    exports.complete(firstBucket + buckets - 1);
    const server = await start(t, scrapeConfig(port));
    const isUp = async () => ((await query(server, 'up'))[0]?.value?.[1] === '1' ? true : undefined);
    await eventually(isUp, 'it has scraped');
    await eventually(async () => ((await query(server, 'flamekeeper_load')).length > 0 ? true : undefined), 'samples');
    await checkScraped(t, server, store, from);
  });
}

test('promtool finds nothing wrong with the page', async (t) => {
  const { store, firstBucket } = openNow(t);
  const { exports, url } = await serveMetrics(t, store);
  exports.complete(firstBucket);
  const input = await (await fetch(url)).text();
  const check = (text: string) => spawnSync(serverPath('promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' });
  const { status, stdout, stderr } = check(input);
  assert.deepEqual([status, stdout + stderr], [0, '']);
  assert.notEqual(check(input.replaceAll('faults_total', 'faults')).status, 0);
  t.diagnostic(`${input.split('\n').length} lines`);
});

const slotOfUpper = (seconds: number) => Math.round(8 * Math.log2(seconds)) - 1;

for (const protocol of ['http/protobuf', 'http/json'] as const) {
  test(`${protocol} into Prometheus: native histograms with the store's slots`, async (t) => {
    const { store, from, firstBucket } = openNow(t);
    const config = { otlp: { promote_resource_attributes: ['host.name'] } };
    const server = await startPrometheus(t, JSON.stringify(config));
    store.state.set({ 'otlp.next': firstBucket });
    const receiver = { url: `${server.url}/api/v1/otlp` };
    const { exports } = await startPush(t, store, receiver, { protocol, temporality: 'cumulative' });
    exports.complete(firstBucket + buckets - 1);
    await until(() => lag(exports) === 0, `all is pushed: ${JSON.stringify(exports.figures)}`);
    assert.equal(exports.figures['push.refusedBuckets'], 0);
    let slots = 0;
    for (let i = 1; i <= buckets; i++) {
      const at = Number(from / 1_000_000_000n) + 10 * i;
      const answer = await answerOf(store, 'runq', from, i);
      assert.ok(answer.kind === 'histogram');
      const samples = await query(server, 'flamekeeper_runq_seconds', at);
      assert.equal(samples.length, answer.keys.length);
      for (const { key, values } of answer.keys) {
        const expected = values[0]!;
        const found = samples.find(({ metric }) => metric['process_executable_name'] === key[0])!;
        assert.ok(found.metric['host_name']!.length > 0);
        const { count, sum, buckets: own = [] } = found.histogram![1];
        const pairs = own.map(([, , upper, n]) => [
          Number(upper) < 1e-100 ? firstSlot : slotOfUpper(Number(upper)),
          Number(n),
        ]);
        assert.deepEqual(pairs, Array.from(expected.slots, (slot, s) => [slot, expected.counts[s]]));
        assert.equal(Number(count), expected.count);
        assert.ok(Math.abs(Number(sum) * 1e9 - expected.sumNs) <= 1e-12 * expected.sumNs);
        slots += pairs.length;
      }
    }
    t.diagnostic(`${slots} slots equal those of the store`);
  });
}

test('Prometheus refuses delta for good, which is counted', async (t) => {
  const { store, firstBucket } = openNow(t);
  const server = await startPrometheus(t, '{}');
  store.state.set({ 'otlp.next': firstBucket });
  const { exports } = await startPush(t, store, { url: `${server.url}/api/v1/otlp` }, { temporality: 'delta' });
  exports.complete(firstBucket + buckets - 1);
  await until(() => lag(exports) === 0, 'all is settled');
  assert.equal(exports.figures['push.refusedBuckets'], buckets);
  assert.equal(exports.figures['push.buckets'], 0);
  assert.match(String(exports.figures['push.lastError']), /delta|temporality/i);
});
