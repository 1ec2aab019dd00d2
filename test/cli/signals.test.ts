// latency, checklist and flame --around on a small real store, from outside.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { screenOf } from '../../cli/watch.js';
import { writeSignals } from './signals-store.js';

const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-signals-'));
const data = join(folder, 'data');
const endUnixNs = BigInt(Date.parse('2025-06-15T14:00:00Z')) * 1_000_000n;
const window = ['--from', '2025-06-15T13:50:00Z', '--to', '2025-06-15T14:00:00Z'] as const;

before(() => writeSignals(data, endUnixNs));
after(() => rmSync(folder, { recursive: true }));

function run(...args: string[]) {
  const env = { ...process.env, NODE_OPTIONS: '', TZ: 'UTC', FLAMEKEEPER_DATA: data, FLAMEKEEPER_CONFIG: '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

/** The golden file's text; UPDATE_GOLDEN=1 writes it anew. */
function checkGolden(name: string, text: string): void {
  const file = join('test/golden', name);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  assert.equal(text, readFileSync(file, 'utf8'), name);
}

test('latency: quantiles with their slots, bars, a heat map, what stands beside', () => {
  const runq = run('latency', 'runq', '--heatmap', '--by', 'comm,cgroup', ...window);
  assert.equal(runq.status, 0, runq.stderr);
  checkGolden('latency-runq.txt', runq.stdout);
  checkGolden('latency-block.txt', run('latency', 'block', ...window).stdout);
});

test('latency: the whole as JSON, one key by a filter', () => {
  const { parts, counters, beside } = JSON.parse(
    run('latency', 'runq', '--comm', 'stress', '--json', ...window).stdout,
  );
  // 59 buckets with 10 waits of 5 us, two of them with 50 of 60 ms.
  assert.equal(parts[0].count, 690);
  assert.equal(parts[0].sumNs, 590 * 5000 + 100 * 60e6);
  for (const [name, ns] of [
    ['p50', 5000],
    ['p90', 60e6],
    ['max', 60e6],
  ] as const) {
    const row = parts[0].quantiles.find((quantile: { name: string }) => quantile.name === name);
    assert.ok(row.lowerNs < ns && ns <= row.upperNs, name);
    assert.ok(row.upperNs / row.lowerNs < 1.1);
  }
  assert.equal(counters['lost.no_record'], 2 * 59);
  // Of two CPUs, 100 of 20,000 ms each 10 s; guests' time is part of user time.
  assert.deepEqual(beside.steal, { stealMs: 100 * 59, cpuMs: 20_000 * 59 });
});

test('latency: a filter that cannot act is refused, and a field that is not there', () => {
  const pid = run('latency', 'block', '--pid', '7', ...window);
  assert.equal(pid.status, 2);
  assert.match(pid.stderr, /^flamekeeper: block has no pid to filter by, only device, operation/);
  const field = run('latency', 'runq', '--by', 'device', ...window);
  assert.match(field.stderr, /^flamekeeper: runq has no field device; its fields: pid, /);
  assert.match(
    run('latency', 'disk').stderr,
    /^flamekeeper: there is no latency disk\n {2}Latencies are: runq/,
  );
});

test('latency: pictures hold what was seen, and no name leaves its place', () => {
  const html = join(folder, 'x.html');
  assert.equal(run('latency', 'block', '--by', 'device', '-o', html, ...window).status, 0);
  const text = readFileSync(html, 'utf8');
  assert.match(text, /^<!DOCTYPE html>/);
  assert.ok(text.includes('vdb&lt;i&gt;') && !text.includes('<i>'));
  assert.doesNotMatch(text, /<script|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  const svg = join(folder, 'x.svg');
  assert.equal(run('latency', 'runq', '-o', svg, ...window).status, 0);
  const cells = [...readFileSync(svg, 'utf8').matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => title);
  assert.ok(cells.includes('13:55:00, 44.2ms to 62.5ms: 100'), cells.join('\n'));
  assert.ok(cells.includes('13:56:40: not recorded'));
});

test('counters: rates, what follows from them, and the share of the hardware', () => {
  const { status, stdout, stderr } = run('counters', ...window);
  assert.equal(status, 0, stderr);
  checkGolden('counters.txt', stdout);
  const json = JSON.parse(run('counters', '--json', ...window).stdout);
  const derived = new Map(json.derived.map((row: { name: string; value: number }) => [row.name, row.value]));
  assert.equal(derived.get('IPC'), 40 / 25);
  assert.equal(derived.get('cache-misses'), 1);
  assert.equal(derived.get('effective frequency'), 2.5);
  assert.equal(derived.get('not idle'), 50);
});

test('counters: of a CPU, of a cgroup, of a stream, and what was not counted', () => {
  const perCpu = JSON.parse(run('counters', 'context-switches', '--per-cpu', '--json', ...window).stdout);
  assert.deepEqual(
    perCpu.rows.map((row: { key: { cpu: number } }) => row.key.cpu),
    [0, 1],
  );
  const group = JSON.parse(run('counters', '--cgroup', '/b', '--json', ...window).stdout);
  assert.equal(group.derived[0].value, 0.8, 'IPC of the cgroup alone');
  const net = JSON.parse(run('counters', 'host.net.bytes', '--device', 'eth0', '--json', ...window).stdout);
  assert.deepEqual(
    net.rows.map((row: { value: number }) => row.value),
    [1.1e8, 1e5],
  );
  const load = run('counters', 'host.load', ...window).stdout;
  assert.match(load, /^host\.load +1 +5\.25 +count +▇*█/m);
  const unknown = run('counters', 'l2-misses', ...window);
  assert.match(
    unknown.stderr,
    /^flamekeeper: l2-misses was not counted in that time\n {2}There are: .*cycles/,
  );
  const pid = run('counters', '--pid', '7', ...window);
  assert.match(pid.stderr, /^flamekeeper: perf\.\w+ has no pid to filter by/);
});

test('status tells of latencies: their losses, and where the kernel counts otherwise', () => {
  const { stdout } = run('status');
  assert.match(stdout, /^ {2}waits: 29,\d{3} expected, .* lost \(no record 58\)/m);
  assert.match(stdout, /^ {2}self-check: switches differs by 3\.0 %: the kernel counted 29,000, we 28,130$/m);
  assert.match(stdout, /^ {2}requests: 1,450 expected/m);
  assert.match(stdout, /^ {2}not measured: dm-0 \(2,030 done\)/m);
  assert.equal(JSON.parse(run('status', '--json').stdout).latencies.length, 4);
});

test('--watch answers again until Ctrl-C, which is no error', async () => {
  const env = { ...process.env, NODE_OPTIONS: '', TZ: 'UTC', FLAMEKEEPER_DATA: data, FLAMEKEEPER_CONFIG: '' };
  const args = ['latency', 'runq', '--from', '2025-06-15T13:50:00Z', '--watch', '1s', '--json'];
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    assert.equal(JSON.parse(line).stream, 'runq');
    if (++lines === 2) child.kill('SIGINT');
  }
  if (child.exitCode === null) await once(child, 'exit');
  assert.deepEqual([child.exitCode, lines], [0, 2]);
  assert.equal(run('latency', 'runq', '--watch', '1ms').status, 2);
});

test('--watch: a screen holds what fits, and counts the rest', () => {
  const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`);
  assert.match(screenOf(lines, 10), /line 7\n\(22 lines more\)\n\x1b\[\?7h$/);
  assert.match(screenOf(lines.slice(0, 9), 10), /line 8\n\x1b\[\?7h$/);
});

test('checklist: ten views of any kept moment', () => {
  const at = ['--at', '2025-06-15T13:59:55Z'] as const;
  const { status, stdout, stderr } = run('checklist', ...at);
  assert.equal(status, 0, stderr);
  checkGolden('checklist.txt', stdout);
  const json = JSON.parse(run('checklist', ...at, '--only', 'iostat', '--device', 'vda', '--json').stdout);
  assert.equal(json.views.length, 1);
  assert.equal(json.views[0].tables[1][0]['w_await'], 30);
  assert.deepEqual(
    json.views[0].marks.map((mark: { kind: string }) => mark.kind),
    ['utilisation', 'saturation'],
  );
  const filtered = run('checklist', ...at, '--pid', '7', '--only', 'pidstat').stdout;
  assert.match(
    filtered,
    /^filter: --pid 7 \(processes in pidstat and top; everything else is of the whole host\)$/m,
  );
  assert.doesNotMatch(filtered, /ress$/m);
});

test('checklist: rates over a window are those of each moment', () => {
  const json = JSON.parse(run('checklist', '--only', 'vmstat', '--json', ...window).stdout);
  assert.equal(json.missingBuckets, 1);
  assert.equal(json.views[0].tables[0][0]['bo'], 5120);
});

test('checklist: a moment that is not kept, a view that is not there', () => {
  const empty = run('checklist', '--at', '2025-06-15T12:00:00Z');
  assert.equal(empty.status, 1);
  assert.match(
    empty.stderr,
    /^flamekeeper: the store holds no readings of the host of that time: 2025-06-15 12:00:00/,
  );
  const unknown = run('checklist', '--at', '2025-06-15T13:59:55Z', '--only', 'nope');
  assert.match(unknown.stderr, /^flamekeeper: --only nope is no view\n {2}Views are: uptime, /);
  assert.equal(run('checklist', '--watch', '--at', '14:00').status, 2);
});

test('flame --around: finds the windows, and what grew stands first', () => {
  const { status, stdout, stderr } = run('flame', '--around', 'runq p99 > 20ms', ...window);
  assert.equal(status, 0, stderr);
  const [, , first] = stdout.split('\n');
  assert.match(first!, /^ *\+1\.700 +1\.700 +0\.000 +1\.700 +0\.000 +stress +spin$/);
  assert.match(stderr, /^around: runq p99 > 20ms held in 2 of 59 windows of 10 s; the highest was 61\.\dms/);
  assert.match(stderr, /^ {2}2025-06-15 13:55:00 to 13:55:20 \+00:00$/m);
  const json = JSON.parse(run('flame', '--around', 'runq p99 > 20ms', '--json', ...window).stdout);
  assert.deepEqual(json.held, [['2025-06-15T13:55:00.000000000Z', '2025-06-15T13:55:20.000000000Z']]);
  assert.deepEqual([json.heldWindows, json.restWindows, json.unit], [2, 57, 'CPUs']);
});

test('flame --around: pictures and folded text have both sides, in the same time', () => {
  const file = (name: string) => join(folder, name);
  for (const name of ['a.svg', 'a.folded']) {
    assert.equal(run('flame', '--around', 'runq p99 > 20ms', '-o', file(name), ...window).status, 0, name);
  }
  assert.equal(
    readFileSync(file('a.folded'), 'utf8'),
    'stress;main;spin 0 3400\nweb;main;serve 400 400\nweb;main;serve;parse 100 100\n',
  );
  assert.match(readFileSync(file('a.svg'), 'utf8'), /<rect class="g5 b"[^>]*><title>spin\n3,400 samples/);
  const pprof = run('flame', '--around', 'runq p99 > 20ms', '-o', file('a.pb.gz'), ...window);
  assert.equal(pprof.status, 2);
});

test('flame --around: filters of the condition and of the stacks are two', () => {
  const web = run('flame', '--around', 'runq p50 > 1ms --comm stress', '--comm', 'web', ...window);
  assert.match(web.stderr, /^around: runq p50 > 1ms --comm stress held in 2 of 59/);
  assert.doesNotMatch(web.stdout, /spin/);
  const device = run('flame', '--around', '"block:vdb<i>" p99 > 5ms', ...window);
  assert.match(device.stderr, /^around: block:vdb<i> p99 > 5ms \(phase device\) held in 2 of 59/);
});

test('flame --around: nowhere and everywhere are told', () => {
  const none = run('flame', '--around', 'runq p99 > 1s', ...window);
  assert.equal(none.status, 1);
  assert.match(
    none.stderr,
    /^flamekeeper: runq p99 > 1s held in none of the 59 windows .*\n {2}The highest was 61\./,
  );
  const all = run('flame', '--around', 'runq p99 > 1us', ...window);
  assert.match(all.stderr, /^flamekeeper: runq p99 > 1us held in all 59 windows/);
  assert.equal(all.status, 1);
  assert.equal(run('flame', '--around', 'runq p99 >').status, 2);
});
