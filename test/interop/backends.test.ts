// A daemon with the configurations of docs/backends.md, and the servers with theirs: what arrives is what
// `flamekeeper latency` answers; the dashboard's queries find something, the alert rules are taken.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skipWithoutBpf } from '../kernel/probe-support.js';
import { Authority } from '../support/certificates.js';
import { TestDaemon } from '../support/daemon.js';
import type { ReceivedHistogram, ReceivedPoint } from '../support/otlp-receiver.js';
import { readRequest } from '../support/otlp-receiver.js';
import { documented, keepBusy, latencyOf, place, writeFiles } from './documented.js';
import type { Latency } from './documented.js';
import type { Queried } from './servers.js';
import { eventually, freePort, query, startCollector, startPrometheus } from './servers.js';
import { serverPath, startVictoriaMetrics, temporaryFolder } from './servers.js';

const skip = skipWithoutBpf;
const timeout = 300_000;
const token = 'a-token-of-many-characters';
/** Complete buckets that are waited for. */
const wanted = 3;

async function startDaemon(t: TestContext, folder: string, config: string, env = {}): Promise<TestDaemon> {
  const path = join(folder, 'flamekeeper.yaml');
  writeFileSync(path, config);
  const daemon = await TestDaemon.start(['--config', path], undefined, env);
  t.after(() => daemon.remove());
  return daemon;
}

/** Until so many different pages have been scraped. */
async function scraped(server: Queried, pages: number): Promise<void> {
  await eventually(
    async () => {
      const [changes] = await query(server, 'max(changes(flamekeeper_runq_latency_seconds_count[5m]))');
      return Number(changes?.value?.[1] ?? 0) >= pages - 1 || undefined;
    },
    `${server.server.name} has scraped ${pages} pages`,
    120_000,
  );
}

interface Scraped {
  readonly counts: ReadonlyMap<number, number>;
  readonly sum: number;
  readonly quantiles: ReadonlyMap<string, number>;
}

/** All waits for a CPU as a scrape has them that is whole for sure: not the last. */
async function latencyAt(server: Queried): Promise<Scraped> {
  const name = 'flamekeeper_runq_latency_seconds';
  const [last] = await query(server, `max(timestamp(${name}_count))`);
  const at = Number(last!.value![1]) - 5;
  const one = async (text: string) => Number((await query(server, text, at))[0]!.value![1]);
  const samples = await query(server, `sum by (le) (${name}_bucket)`, at);
  const quantiles = new Map<string, number>();
  for (const share of [50, 90, 99]) {
    quantiles.set(`p${share}`, await one(`histogram_quantile(${share / 100}, sum by (le) (${name}_bucket))`));
  }
  return {
    counts: new Map(samples.map(({ metric, value }) => [Number(metric['le']!.replace('+Inf', 'Infinity')), Number(value![1])])),
    sum: await one(`sum(${name}_sum)`),
    quantiles,
  };
}

const power = (seconds: number) => Math.ceil(Math.log2(seconds));

/** The page holds what was counted from the day's start, or the daemon's, to the end of some bucket. */
function checkLatency(t: TestContext, { dir }: TestDaemon, { counts, sum, quantiles }: Scraped, firstBucket: number) {
  const total = counts.get(Infinity)!;
  const now = Math.floor(Date.now() / 10_000);
  let found: Latency | undefined;
  for (let bucket = firstBucket; bucket < now && found === undefined; bucket++) {
    const from = Math.max(firstBucket, bucket - (bucket % 8640));
    const [latency] = latencyOf(dir, 'runq', from, bucket + 1 - from);
    if (latency?.count === total) found = latency;
  }
  assert.ok(found !== undefined, `no bucket ends with ${total} waits`);
  for (const [bound, count] of counts) {
    if (bound === Infinity) continue;
    assert.equal(count, totalOf(found.slots.filter(({ upperNs }) => upperNs <= bound * 1e9)), `le=${bound}`);
  }
  assert.ok(Math.abs(sum * 1e9 - found.sumNs) < 1e-9 * found.sumNs, `${sum} s`);
  for (const [name, seconds] of quantiles) {
    const ours = found.quantiles.find((quantile) => quantile.name === name)!.valueNs / 1e9;
    assert.ok(Math.abs(power(seconds) - power(ours)) <= 1, `${name}: ${seconds} s there, ${ours} s here`);
    t.diagnostic(`${name}: ${seconds} s there, ${ours} s here`);
  }
  t.diagnostic(`${total} waits, ${counts.size} bounds equal those of \`flamekeeper latency\``);
}

/** Each with all hosts, as Grafana would ask. */
async function askDashboard(t: TestContext, server: Queried): Promise<void> {
  const { panels } = JSON.parse(readFileSync('config/grafana-dashboard.json', 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[];
  };
  let asked = 0;
  for (const { title, targets } of panels) {
    for (const { expr } of targets) {
      const text = expr.replaceAll('$instance', '.+').replaceAll('$__rate_interval', '1m');
      assert.ok(!text.includes('$'), text);
      // Of exports and questions the first figures come a bucket later, and a rate needs two.
      await eventually(async () => {
        const samples = await query(server, text);
        return samples.some(({ value }) => value![1] !== 'NaN') || undefined;
      }, `${title}: data for ${text}`);
      asked++;
    }
  }
  const url = `${server.url}/api/v1/label/instance/values?match[]=flamekeeper_samples_total`;
  const { data } = (await (await fetch(url)).json()) as { data: string[] };
  assert.equal(data.length, 1, 'the variable of the dashboard');
  t.diagnostic(`${asked} queries of the dashboard, each with data`);
}

interface Rule {
  readonly name: string;
  readonly health: string;
  readonly state: string;
  readonly lastError?: string;
}

async function rulesOf({ url }: Queried): Promise<Rule[]> {
  const { data } = (await (await fetch(`${url}/api/v1/rules`)).json()) as { data: { groups: { rules: Rule[] }[] } };
  return data.groups.flatMap(({ rules }) => rules);
}

test('scraped by Prometheus and VictoriaMetrics, pushed to a Collector, as documented', { skip, timeout }, async (t) => {
  const folder = temporaryFolder();
  writeFiles(folder, token);
  const ports = { 4317: await freePort(), 4318: await freePort(), 9464: await freePort() };
  const placed = (heading: string) => documented(heading).map((block) => place(block, folder, ports));
  const [push, collectorConfig] = placed('OpenTelemetry Collector');
  const [listen, scrapeConfig] = placed('Prometheus');
  const collector = await startCollector(t, folder, collectorConfig!);
  const firstBucket = Math.floor(Date.now() / 10_000);
  const daemon = await startDaemon(t, folder, `${push}\n${listen}`);
  keepBusy(t, folder);
  const servers = [
    await startPrometheus(t, `global: { evaluation_interval: 1s }\n${scrapeConfig}`),
    await startVictoriaMetrics(t, scrapeConfig!.replace(/^rule_files.*\n/m, '')),
  ];
  // The dashboard shows how long questions take: there must be some.
  let isAsking = true;
  const asked = (async () => {
    while (isAsking) {
      await statusOf(daemon);
      await sleep(1000);
    }
  })();
  for (const server of servers) await scraped(server, wanted);
  const all = await Promise.all(servers.map(latencyAt));
  await t.test('promtool finds nothing wrong with the page', async () => {
    const input = await (await fetch(`http://127.0.0.1:${ports[9464]}/metrics`)).text();
    const { status, stdout, stderr } = spawnSync(serverPath('promtool'), ['check', 'metrics'], { input, encoding: 'utf8' });
    assert.deepEqual([status, stdout + stderr], [0, '']);
  });
  await t.test('the dashboard', (t) => askDashboard(t, servers[0]!));
  await t.test('the alert rules', async (t) => {
    const rules = await eventually(async () => {
      const rules = await rulesOf(servers[0]!);
      return rules.every(({ health }) => health !== 'unknown') ? rules : undefined;
    }, 'rules are evaluated');
    assert.ok(rules.length >= 4);
    for (const { name, health, lastError } of rules) assert.equal(health, 'ok', `${name}: ${lastError}`);
    t.diagnostic(rules.map(({ name, state }) => `${name} ${state}`).join(', '));
  });
  await t.test('the Collector has what was pushed', async (t) => {
    const pushed = await eventually(async () => {
      const points = (await statusOf(daemon))['push.points'];
      const logged = [...collector.log.matchAll(/"data points": (\d+)/g)].map(([, n]) => ({ count: Number(n) }));
      return points === totalOf(logged) ? `${points} points in ${logged.length} requests` : undefined;
    }, 'the Collector tells of as many points as the daemon');
    t.diagnostic(pushed);
  });
  isAsking = false;
  await asked;
  await daemon.stop();
  for (const [i, latency] of all.entries()) {
    await t.test(`${servers[i]!.server.name}: counts and quantiles`, (t) => checkLatency(t, daemon, latency, firstBucket));
  }
  await t.test('an alert for a daemon that is silent', async () => {
    await eventually(async () => {
      const silent = (await rulesOf(servers[0]!)).find(({ name }) => name === 'FlamekeeperSilent');
      return silent?.state === 'pending' || undefined;
    }, 'the alert is pending');
  });
});

/** What the daemon tells of itself. */
async function statusOf(daemon: TestDaemon): Promise<Readonly<Record<string, number | string>>> {
  const query = await daemon.query();
  try {
    return (await query.status()).daemon!;
  } finally {
    query.close();
  }
}

test('with certificates and tokens both ways, as documented', { skip, timeout }, async (t) => {
  const folder = temporaryFolder();
  const authority = new Authority(folder);
  writeFiles(folder, token, authority);
  const ports = { 4318: await freePort(), 9464: await freePort() };
  const placed = (heading: string) => documented(heading).map((block) => place(block, folder, ports));
  const [, , environment, collectorConfig] = placed('OpenTelemetry Collector');
  const [, , listen, scrapeConfig] = placed('Prometheus');
  const file = join(folder, 'metrics.jsonl');
  const toFile = collectorConfig!
    .replace('debug: {}', `file: { path: ${file}, flush_interval: 100ms }`)
    .replace('[debug]', '[file]');
  await startCollector(t, folder, toFile);
  const lines = environment!.replace('THE-TOKEN', token).trim().split('\n');
  const env = Object.fromEntries(lines.map((line) => /^(\w+)=(.*)$/.exec(line)!.slice(1)));
  const firstBucket = Math.floor(Date.now() / 10_000);
  const delta = { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'delta' };
  const daemon = await startDaemon(t, folder, listen!, { ...env, ...delta });
  keepBusy(t, folder);
  const servers = [await startPrometheus(t, scrapeConfig!), await startVictoriaMetrics(t, scrapeConfig!)];
  for (const server of servers) await scraped(server, wanted);
  const all = await Promise.all(servers.map(latencyAt));
  const refused = await fetch(`https://localhost:${ports[9464]}/metrics`).catch((error: Error) => error);
  assert.ok(refused instanceof Error, 'a caller without certificate gets nothing');
  await daemon.stop();
  for (const [i, latency] of all.entries()) {
    await t.test(`${servers[i]!.server.name}: counts and quantiles`, (t) => checkLatency(t, daemon, latency, firstBucket));
  }
  await t.test('each bucket in the Collector is that of `flamekeeper latency`', (t) => {
    const requests = readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => readRequest(JSON.parse(line)));
    assert.ok(requests.length >= wanted);
    let delays = 0;
    for (const { points } of requests) {
      const bucket = Number(points[0]!.startUnixNs / 10_000_000_000n);
      const of = (name: string) => points.filter((point) => point.name === `flamekeeper.${name}.latency`);
      const block = latencyOf(daemon.dir, 'block', bucket, 1);
      let told = 0;
      for (const latency of block) {
        const phase = latency.key['phase'];
        const own = of('block').filter(({ attributes }) => attributes['flamekeeper.phase'] === phase);
        delays += checkPoints(own, latency);
        told += own.length;
      }
      assert.equal(told, of('block').length);
      const [runq] = latencyOf(daemon.dir, 'runq', bucket, 1);
      delays += checkPoints(of('runq'), runq!);
    }
    t.diagnostic(`${requests.length} buckets, ${delays} delays`);
  });
});

test('pushed to Prometheus, as documented', { skip, timeout }, async (t) => {
  const folder = temporaryFolder();
  const [config, push] = documented('Prometheus over OTLP');
  const server = await startPrometheus(t, config!);
  const ports = { 9090: Number(new URL(server.url).port), 9464: await freePort() };
  const [listen] = documented('Prometheus');
  const firstBucket = Math.floor(Date.now() / 10_000);
  const daemon = await startDaemon(t, folder, place(`${push}\n${listen}`, folder, ports));
  keepBusy(t, folder);
  await eventually(async () => {
    const { 'push.buckets': buckets } = await statusOf(daemon);
    return Number(buckets) >= wanted || undefined;
  }, `${wanted} buckets are pushed`, 120_000);
  const told = await statusOf(daemon);
  assert.deepEqual([told['push.refusedBuckets'], told['push.refusedPoints']], [0, 0]);
  const page = await (await fetch(`http://127.0.0.1:${ports[9464]}/metrics`)).text();
  const { data: names } = (await (await fetch(`${server.url}/api/v1/label/__name__/values`)).json()) as { data: string[] };
  const [native] = await query(server, 'sum(flamekeeper_runq_latency_seconds)');
  const hosts = await query(server, 'count by (host_name) (flamekeeper_runq_latency_seconds)');
  await daemon.stop();
  assert.deepEqual(hosts.map(({ metric }) => metric['host_name']), [hostname()]);
  const scraped = [...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => {
    return name === 'system_processes' ? 'system_process_count' : name!;
  });
  assert.deepEqual(names.filter((name) => name !== 'target_info'), scraped.sort());
  const count = Number(native!.histogram![1].count);
  const now = Math.floor(Date.now() / 10_000);
  const totals = Array.from({ length: now - firstBucket }, (_, i) => firstBucket + i).map((bucket) => {
    const from = Math.max(firstBucket, bucket - (bucket % 8640));
    return latencyOf(daemon.dir, 'runq', from, bucket + 1 - from)[0]?.count;
  });
  assert.ok(totals.includes(count), `${count} waits there, ${totals.join(' ')} here`);
  t.diagnostic(`${scraped.length} metrics have the same names as a scrape, ${count} waits`);
});

/** All points of a metric together, slot by slot. */
function checkPoints(points: readonly ReceivedPoint[], latency: Latency): number {
  const histograms = points.map(({ value }) => value as ReceivedHistogram);
  const slots = new Map<number, number>();
  for (const { offset, bucketCounts, zeroCount } of histograms) {
    const add = (upper: number, count: number) => slots.set(upper, (slots.get(upper) ?? 0) + count);
    if (zeroCount > 0) add(0, zeroCount);
    bucketCounts.forEach((count, i) => count > 0 && add(2 ** ((offset + i + 1) / 8) * 1e9, count));
  }
  const found = [...slots].sort(([a], [b]) => a - b).map(([upper, count]) => `${upper.toPrecision(10)}: ${count}`);
  assert.deepEqual(found, latency.slots.map(({ upperNs, count }) => `${upperNs.toPrecision(10)}: ${count}`));
  assert.equal(totalOf(histograms), latency.count);
  const sumNs = histograms.reduce((sum, { sum: own }) => sum + own * 1e9, 0);
  assert.ok(Math.abs(sumNs - latency.sumNs) < 1e-9 * sumNs, `${sumNs} ns there, ${latency.sumNs} here`);
  return latency.count;
}

function totalOf(counted: readonly { readonly count: number }[]): number {
  return counted.reduce((sum, { count }) => sum + count, 0);
}
