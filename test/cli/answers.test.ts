// The commands on a small real store, from outside: what they print, write and say about completeness.
//
//   bucket     0         1         2         each: node main;work 10 (+ 2 in the kernel), sh [cut] 3
//   exits      2         2         2         true after 2 ms, sleep after 15 s

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { cutFunction, kernelModule } from '../../storage/model/frame.js';
import type { FlushWriter } from '../../storage/model/writer.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import { Store } from '../../storage/store.js';

const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-answers-'));
const data = join(folder, 'data');
after(() => rmSync(folder, { recursive: true }));

const bucketNs = 10_000_000_000n;
const buckets = 3n;
const endNs = ((BigInt(Date.now()) * 1_000_000n) / bucketNs) * bucketNs;

const cpu: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: 1e7 },
};
const exit: StreamInfo = {
  name: 'exit',
  kind: 'event',
  valueType: { type: 'exit', unit: 'count' },
  fields: [
    { name: 'pid', type: 'number' },
    { name: 'comm', type: 'string' },
    { name: 'duration', type: 'number', unit: 'nanoseconds' },
  ],
};

function seriesOf(pid: number, comm: string): SeriesInfo {
  return { pid, startUnixMs: 1, comm, thread: comm, exe: `/bin/${comm}`, uid: 0, user: 'root', cgroup: '/a' };
}

function writeBucket(writer: FlushWriter): void {
  const app = { name: 'app', path: '/bin/app', buildId: 'ab' };
  const samples = writer.streamId(cpu);
  const [node, sh] = [writer.seriesId(seriesOf(7, 'node')), writer.seriesId(seriesOf(8, 'sh'))];
  const mainNode = writer.node(0, writer.functionId({ module: app, frameType: 'native', name: 'main' }));
  const work = writer.node(mainNode, writer.functionId({ module: app, frameType: 'native', name: 'work' }));
  const read = writer.node(
    work,
    writer.functionId({ module: kernelModule, frameType: 'kernel', name: 'sys_read' }),
  );
  const cut = writer.node(0, writer.functionId(cutFunction('depth')));
  const leaf = writer.node(cut, writer.functionId({ module: app, frameType: 'native', name: 'leaf' }));
  writer.sample(samples, node, work, 10);
  writer.sample(samples, node, read, 2);
  writer.sample(samples, sh, leaf, 3);
  writer.header(samples, { expected: 20, captured: 15, idle: 4, not_fired: 0, 'lost.no_task': 1, 'stacks.complete': 12, 'stacks.cut.depth': 3 });
  const exits = writer.streamId(exit);
  writer.events(exits, {
    timesNs: Float64Array.of(1e9, 2e9),
    columns: [Float64Array.of(70, 71), ['true', 'sleep'], Float64Array.of(2e6, 15e9)],
  });
  writer.header(exits, { expected: 2, captured: 2 });
}

before(() => {
  const store = Store.open({ dir: data, maxAgeMs: 86_400_000 });
  for (let i = buckets; i > 0n; i--) {
    const startUnixNs = endNs - i * bucketNs;
    const writer = store.beginFlush({ startUnixNs, endUnixNs: startUnixNs + bucketNs });
    writeBucket(writer);
    writer.commit();
  }
  store.close();
});

function run(...args: string[]) {
  const env = { ...process.env, NODE_OPTIONS: '', TZ: 'UTC', FLAMEKEEPER_DATA: data, FLAMEKEEPER_CONFIG: '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

const wholeHost =
  /^samples: 60 expected, 45 captured, 12 idle, 0 not fired, 3 lost \(no task 3\), 0 unexplained/m;

test('flame to a pipe is folded text, with range and completeness on standard error', () => {
  const { status, stdout, stderr } = run('flame');
  assert.equal(status, 0);
  assert.equal(stdout, 'node;main;work 30\nnode;main;work;sys_read_[k] 6\nsh;leaf 9\n');
  assert.match(stderr, /^range: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d to .*\d\d:\d\d:\d\d \+00:00$/m);
  assert.match(stderr, wholeHost);
  assert.match(stderr, /^stacks: 36 complete \(80\.0 %\), 9 cut \(depth 9\)\nframes: 100\.0 % named\ncut most: sh\[8\] 9 of 9 \(depth 9\)$/m);
});

test('filters and selections narrow the stacks', () => {
  assert.equal(run('flame', '--comm', 'sh').stdout, 'sh;leaf 9\n');
  assert.equal(run('flame', '--pid', '7', '--no-kernel').stdout, 'node;main;work 30\n');
  assert.equal(run('flame', '--function', '^sys_').stdout, 'node;main;work;sys_read_[k] 6\n');
  const none = run('flame', '--comm', 'nobody');
  assert.equal(none.stdout, '');
  assert.match(none.stderr, /^no sample matches$/m);
  assert.equal(none.status, 0);
});

test('the ending of a file tells its format', () => {
  const file = (name: string) => join(folder, name);
  for (const name of ['x.svg', 'x.pb.gz', 'x.folded', 'x.json']) {
    const { status, stdout } = run('flame', '-o', file(name));
    assert.equal(status, 0, name);
    assert.equal(stdout, '');
  }
  assert.match(readFileSync(file('x.svg'), 'utf8'), /^<svg [^]*<\/svg>\s*$/);
  assert.ok(gunzipSync(readFileSync(file('x.pb.gz'))).includes('sys_read'));
  assert.equal(readFileSync(file('x.folded'), 'utf8'), run('flame').stdout);
  const json = JSON.parse(readFileSync(file('x.json'), 'utf8'));
  assert.equal(
    json.rows.values[0].reduce((sum: number, v: number) => sum + v, 0),
    45,
  );
  assert.equal(json.completeness.expected, 60);
  const told = JSON.parse(run('flame', '-o', file('x.svg'), '--json').stdout);
  assert.equal(told.output, file('x.svg'));
  assert.equal(told.stacks.cut.depth, 9);
});

test('top sorts by self or total', () => {
  const lines = run('top').stdout.split('\n');
  assert.match(lines[0]!, /^self +self % +total +total % +module +function$/);
  assert.match(lines[1]!, /^ *30 +66\.7 % +36 +80\.0 % +app +work$/);
  const byTotal = JSON.parse(run('top', '--total', '-n', '2', '--json').stdout);
  assert.deepEqual(
    byTotal.rows.map((row: { label: string; total: number }) => `${row.label} ${row.total}`),
    ['work 36', 'main 36'],
  );
  assert.equal(byTotal.total, 45);
});

test('events are printed in time order, filtered, bounded, and as JSON lines', () => {
  const table = run('events', 'exit');
  assert.match(table.stdout, /^time +pid +comm +duration\n-- \d{4}-\d\d-\d\d \+00:00\n/);
  assert.equal(table.stdout.trimEnd().split('\n').length, 2 + 6);
  assert.match(table.stderr, /^events: 6 expected, 6 captured, 0 lost, 0 unexplained/m);
  const long = run('events', 'exit', '--min-duration', '10ms', '--json').stdout.trimEnd().split('\n');
  const [first, ...rest] = long.map((line) => JSON.parse(line));
  assert.equal(first.comm, 'sleep');
  assert.equal(first.duration, 15e9);
  assert.equal(rest.length, 3);
  assert.equal(rest.at(-1).isWhole, true);
  const bounded = run('events', 'exit', '-n', '5');
  assert.match(bounded.stderr, /^there are more: /m);
  assert.equal(bounded.stdout.trimEnd().split('\n').length, 2 + 5);
});

test('following begins with what is there', () => {
  const { stdout, status } = run('events', 'exit', '--follow', '--from', '-10m', '-n', '6', '--json');
  assert.equal(status, 0);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).pid),
    [70, 71, 70, 71, 70, 71],
  );
});

test('status tells what the store holds', () => {
  const { stdout } = run('status');
  assert.match(stdout, new RegExp(`^data: ${data} \\(`));
  assert.match(stdout, /^daemon: not running/m);
  assert.match(stdout, /^streams: .*cpu \(samples, 1 per 10000000 nanoseconds\)/m);
  assert.match(stdout, /^ {2}samples: 60 expected, 45 captured/m);
  assert.match(stdout, /^  stacks: 36 complete \(80\.0 %\), 9 cut \(depth 9\)\n  cut most: sh\[8\] 9 of 9/m);
  const json = JSON.parse(run('status', '--json').stdout);
  assert.equal(json.segments.length, 1);
  const sh = { pid: 8, comm: 'sh', exe: '/bin/sh', complete: 0, cut: { depth: 9 } };
  assert.deepEqual(json.cutProcesses, [sh]);
  assert.deepEqual(json.recent.completeness.stacks, { complete: 36, cut: { depth: 9 } });
  assert.deepEqual(JSON.parse(run('top', '--json').stdout).cutProcesses, [sh]);
});

test('what the store cannot answer is told', () => {
  const outside = run('flame', '--from', '-2d', '--to', '-1d');
  assert.equal(outside.status, 1);
  assert.match(outside.stderr, /^flamekeeper: .+\n {2}Widen --from and --to/);
  const unknown = run('flame', '--type', 'nope');
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /nope.*cpu/);
});
