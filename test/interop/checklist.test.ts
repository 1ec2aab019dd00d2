// Every column of `checklist` against the tool that it is named after, on the same texts of /proc: in a
// mount namespace of their own sysstat and procps read a tree that moves on in the middle of their interval,
// while our readers read the same tree, and the store and the command line answer from that.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostFiles, LinkSpeeds } from '../../collector/host/host-files.js';
import { addedCounts, parseProcess, processCounts } from '../../collector/pipeline/process-text.js';
import { Readings } from '../../collector/pipeline/readings.js';
import type { Taken } from '../../collector/pipeline/readings.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { FlushWriter } from '../../storage/model/writer.js';
import { Store } from '../../storage/store.js';
import { commandPath } from '../support/daemon.js';
import { toolRows } from '../support/tool-text.js';
import { ProcTree, treePid, treeSeconds } from './proc-tree.js';

const tools = ['vmstat', 'mpstat', 'pidstat', 'iostat', 'sar', 'top', 'free', 'uptime', 'unshare'];
const absent = tools.filter((tool) => spawnSync('which', [tool]).status !== 0);
const skip =
  process.getuid!() !== 0
    ? 'not root: no mount namespace'
    : absent.length > 0
      ? `there is no ${absent.join(', ')}`
      : false;

const folder = mkdtempSync(join(tmpdir(), 'fk-checklist-'));
after(() => rmSync(folder, { recursive: true }));

/** Each for an interval of 2 s; what looks at one moment comes after the tree moved on. */
const script = `
set -e
mount --make-rprivate /
mount --bind ROOT/proc /proc
mount --bind ROOT/sys/block /sys/block
mount --bind ROOT/sys/class/net /sys/class/net
export LC_ALL=C TZ=UTC
vmstat 2 2 > OUT.vmstat & mpstat -P ALL 2 1 > OUT.mpstat & iostat -xz 2 2 > OUT.iostat &
pidstat -p ${treePid} 2 1 > OUT.pidstat-u & pidstat -r -p ${treePid} 2 1 > OUT.pidstat-r &
pidstat -d -p ${treePid} 2 1 > OUT.pidstat-d &
sar -n DEV 2 1 > OUT.dev & sar -n TCP 2 1 > OUT.tcp & sar -n ETCP 2 1 > OUT.etcp &
COLUMNS=200 top -b -d 2 -n 2 > OUT.top & echo started
wait
free > OUT.free; uptime > OUT.uptime; vmstat > OUT.vmstat-once; top -b -n 1 > OUT.top-once
`;

const bucketStartNs = BigInt(Date.parse('2025-06-15T14:00:00Z')) * 1_000_000n;

interface Json {
  readonly tool: string;
  readonly lines: readonly string[];
  readonly tables: readonly (readonly Record<string, number | string | null>[])[];
}
let views: readonly Json[] = [];

before(async () => {
  if (skip !== false) return;
  const tree = new ProcTree(folder);
  const roots = { proc: join(folder, 'proc'), sys: join(folder, 'sys'), run: '/run' };
  const host = new HostFiles(roots);
  const links = new LinkSpeeds(1, roots);
  const readings = new Readings({ maxSeries: 8192 });
  const take = (): Taken => {
    readings.begin();
    host.read(readings.tell);
    links.read(readings.tell);
    return readings.take();
  };
  const readProcess = () => {
    const [stat, io, schedstat, statm] = ['stat', 'io', 'schedstat', 'statm'].map((name) =>
      tree.text(`proc/${treePid}/${name}`),
    );
    return parseProcess({ stat: stat!, io, schedstat, statm }, 4096)!;
  };
  const text = script.replaceAll('ROOT', folder).replaceAll('OUT', join(folder, 'out'));
  const child = spawn('unshare', ['--mount', 'sh', '-c', text], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  take();
  const processBefore = readProcess();
  await sleep(1200);
  tree.moveOn();
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0, 'the tools ran');
  const taken = take();
  const now = readProcess();
  const added = addedCounts(processBefore.counts, now.counts);
  writeStore(taken, {
    pid: treePid,
    start: 1,
    comm: 'node',
    user: 'root',
    cgroup: '/',
    interval: treeSeconds * 1e3,
    ...Object.fromEntries(processCounts.map((name, i) => [name, added[i]!])),
    virtual: now.virtualBytes,
    resident: now.residentBytes,
    shared: now.sharedBytes,
    totalTime: now.counts.userTime + now.counts.systemTime,
    state: now.state,
    nice: now.nice,
    priority: now.priority,
    threads: now.threads,
    processor: now.processor,
  });
  const args = ['checklist', '--from', '2025-06-15T14:00:00Z', '--to', '2025-06-15T14:00:10Z', '--json'];
  const env = { ...process.env, NODE_OPTIONS: '', TZ: 'UTC', FLAMEKEEPER_CONFIG: '' };
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [commandPath, ...args, '--data', join(folder, 'data')],
    {
      encoding: 'utf8',
      env,
    },
  );
  assert.notEqual(stdout, '', stderr);
  views = JSON.parse(stdout).views;
});

function writeStore({ series, values, told }: Taken, row: Readonly<Record<string, number | string>>): void {
  const now = () => Number(bucketStartNs / 1_000_000n);
  const store = Store.open({ dir: join(folder, 'data'), maxAgeMs: 86_400_000, now });
  const endUnixNs = bucketStartNs + BigInt(Math.round(treeSeconds * 1e9));
  const writer: FlushWriter = store.beginFlush({ startUnixNs: bucketStartNs, endUnixNs });
  for (const name of told) writer.header(writer.streamId(hostStreams[name].info), {});
  series.forEach(({ stream: name, keys }, i) => {
    const { info } = hostStreams[name];
    const stream = writer.streamId(info);
    if (info.kind === 'gauge') writer.gauge(stream, writer.keyId(stream, keys), values[i]!);
    else writer.counter(stream, writer.keyId(stream, keys), values[i]!);
  });
  const { info } = hostStreams.process;
  const stream = writer.streamId(info);
  writer.events(stream, {
    timesNs: Float64Array.of(9.9e9),
    columns: info.fields!.map(({ name, type }) =>
      type === 'number' ? Float64Array.of(Number(row[name])) : [String(row[name])],
    ),
  });
  writer.header(stream, { captured: 1 });
  writer.commit();
  store.close();
}

function output(name: string): string {
  return readFileSync(join(folder, `out.${name}`), 'utf8');
}

function viewOf(tool: string): Json {
  const view = views.find((each) => each.tool.startsWith(tool));
  assert.ok(view !== undefined, tool);
  return view;
}

/** The same number to the tool's own last decimal; `more` for what a tool rounds in steps. */
function checkNumber(what: string, ours: unknown, theirs: string, more = 0): void {
  const decimals = theirs.split('.')[1]?.length ?? 0;
  const tolerance = 0.5 * 10 ** -decimals + 1e-9 + more;
  const difference = Math.abs(Number(ours) - Number(theirs));
  assert.ok(ours !== null && difference <= tolerance, `${what}: ours ${ours}, the tool's ${theirs}`);
}

function checkColumns(
  what: string,
  columns: readonly string[],
  { ours, theirs }: { ours: Record<string, unknown>; theirs: Record<string, string> },
): void {
  for (const column of columns) {
    assert.ok(theirs[column] !== undefined, `the tool has ${what} ${column}`);
    checkNumber(`${what} ${column}`, ours[column], theirs[column]);
  }
}

test('mpstat -P ALL', { skip }, () => {
  const theirs = toolRows(output('mpstat'), 'CPU');
  const ours = viewOf('mpstat').tables[0]!;
  assert.equal(ours.length, theirs.length);
  for (const [i, row] of theirs.entries()) {
    const [, ...columns] = Object.keys(ours[i]!);
    checkColumns(`mpstat ${row['CPU']}`, columns, { ours: ours[i]!, theirs: row });
  }
});

test('vmstat: rates of the interval it was asked for, ours of the time that passed', { skip }, () => {
  const theirs = toolRows(output('vmstat'), 'swpd').at(-1)!;
  // procps 4.0.2 reads meminfo for its first line only.
  const once = toolRows(output('vmstat-once'), 'swpd').at(-1)!;
  const ours = viewOf('vmstat').tables[0]![0]!;
  const perInterval = ['si', 'so', 'bi', 'bo', 'in', 'cs'];
  const memory = ['swpd', 'free', 'buff', 'cache'];
  for (const [column, value] of Object.entries(ours)) {
    if (column === 'gu' && theirs[column] === undefined) continue;
    const isRate = perInterval.includes(column);
    const scaled = isRate ? (Number(value) * treeSeconds) / 2 : value;
    checkNumber(`vmstat ${column}`, scaled, (memory.includes(column) ? once : theirs)[column]!);
  }
});

test('iostat -xz', { skip }, () => {
  const cpu = toolRows(output('iostat').replace(/^avg-cpu:/gm, ''), '%user')[0]!;
  const [ours, disks] = viewOf('iostat').tables as [Json['tables'][0], Json['tables'][0]];
  checkColumns('iostat', Object.keys(ours[0]!), { ours: ours[0]!, theirs: cpu });
  const theirs = toolRows(output('iostat'), 'Device');
  assert.deepEqual(disks.map((row) => row['Device']).sort(), theirs.map((row) => row['Device']).sort());
  assert.ok(theirs.length > 0);
  for (const row of theirs) {
    const own = disks.find((disk) => disk['Device'] === row['Device'])!;
    const [, ...columns] = Object.keys(own);
    checkColumns(`iostat ${row['Device']}`, columns, { ours: own, theirs: row });
  }
});

test('sar -n DEV', { skip }, () => {
  const theirs = toolRows(output('dev'), 'IFACE');
  const ours = viewOf('sar -n DEV').tables[0]!;
  assert.deepEqual(ours.map((row) => row['IFACE']).sort(), theirs.map((row) => row['IFACE']).sort());
  for (const row of theirs) {
    const own = ours.find((each) => each['IFACE'] === row['IFACE'])!;
    const [, ...columns] = Object.keys(own);
    checkColumns(`sar ${row['IFACE']}`, columns, { ours: own, theirs: row });
  }
});

test('sar -n TCP,ETCP', { skip }, () => {
  const [tcp, etcp] = viewOf('sar -n TCP').tables.map((table) => table[0]!);
  const theirs = [toolRows(output('tcp'), 'active/s')[0]!, toolRows(output('etcp'), 'atmptf/s')[0]!];
  for (const [i, ours] of [tcp!, etcp!].entries()) {
    checkColumns('sar', Object.keys(ours), { ours, theirs: theirs[i]! });
  }
});

test('pidstat -urd', { skip }, () => {
  const [usage, faults] = viewOf('pidstat').tables.map((table) => table[0]!) as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  const cpu = toolRows(output('pidstat-u'), '%usr')[0]!;
  const columns = ['PID', '%usr', '%system', '%guest', '%CPU', 'CPU'];
  checkColumns('pidstat', columns, { ours: usage, theirs: cpu });
  // pidstat cuts both sums of nanoseconds to ticks of 10 ms.
  checkNumber('pidstat %wait', usage['%wait'], cpu['%wait']!, 1 / treeSeconds);
  const memory = toolRows(output('pidstat-r'), 'VSZ')[0]!;
  const memoryColumns = ['PID', 'minflt/s', 'majflt/s', 'VSZ', 'RSS', '%MEM'];
  checkColumns('pidstat', memoryColumns, { ours: faults, theirs: memory });
  const disk = toolRows(output('pidstat-d'), 'iodelay')[0]!;
  checkColumns('pidstat', ['kB_rd/s', 'kB_wr/s', 'kB_ccwr/s', 'iodelay'], { ours: faults, theirs: disk });
});

test('free', { skip }, () => {
  const rows = output('free')
    .split('\n')
    .map((line) => line.split(/\s+/));
  const [memory, swap] = viewOf('free').tables[0]!;
  ['total', 'used', 'free', 'shared', 'buff/cache', 'available'].forEach((column, i) => {
    checkNumber(`free ${column}`, memory![column], rows[1]![i + 1]!);
    if (i < 3) checkNumber(`swap ${column}`, swap![column], rows[2]![i + 1]!);
  });
});

test('uptime', { skip }, () => {
  const ours = viewOf('uptime').lines[0]!;
  const theirs = output('uptime');
  const loads = /load average: (.*)$/m;
  assert.equal(loads.exec(ours)![1], loads.exec(theirs)![1]);
  assert.equal(/up (.*?), +\S+ users?,/.exec(ours)![1], /up (.*?), +\S+ users?,/.exec(theirs)![1]);
});

test('top', { skip }, () => {
  const text = output('top');
  const block = text.slice(text.lastIndexOf('top - '));
  const theirs = toolRows(block, 'PID').find((row) => row['PID'] === String(treePid))!;
  const ours = viewOf('top').tables[0]![0]!;
  checkColumns('top', ['PID', 'PR', 'NI', 'VIRT', 'RES', 'SHR', '%CPU', '%MEM'], { ours, theirs });
  assert.deepEqual([ours['S'], ours['TIME+'], ours['USER']], [theirs['S'], theirs['TIME+'], theirs['USER']]);
  const { '%guest': guest, '%gnice': guestNice } = viewOf('mpstat').tables[0]![0]!;
  const guestShare = (Number(guest) + Number(guestNice)) / 100;
  const numbers = (line: string) => [...line.matchAll(/\d+\.\d/g)].map(Number);
  for (const start of ['%Cpu(s)', 'MiB Mem', 'MiB Swap']) {
    // Memory is read for top's first screen only.
    const screen = start.startsWith('MiB') ? output('top-once') : block;
    const [own, other] = [viewOf('top').lines, screen.split('\n')].map((lines) => {
      return numbers(lines.find((line) => line.startsWith(start))!);
    }) as [number[], number[]];
    assert.equal(own.length, other.length, start);
    // procps 4.0.2 counts the time of guests twice in the whole.
    const scale = start === '%Cpu(s)' ? 1 / (1 + guestShare) : 1;
    own.forEach((value, i) => checkNumber(start, value * scale, other[i]!.toFixed(1), 0.05));
  }
});
