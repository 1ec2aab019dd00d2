// What reading the host costs: files of /proc, counters, cgroups and 50 processes at each flush, and what
// is read each second, alone in a process with the daemon's settings and at the daemon's pace, so that
// caches are as cold as they are there.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostNaming } from '../collector/agent/host-naming.js';
import { relaunchWithSettings } from '../collector/agent/relaunch.js';
import { HostReaders } from '../collector/host/host-readers.js';
import { secondsMemory } from '../collector/host/seconds-timer.js';
import type { TakeContext } from '../collector/host/metric-sources.js';
import type { SampleRows } from '../collector/messages.js';
import { loadConfig } from '../config/load.js';
import type { SeriesInfo } from '../storage/model/series.js';
import { atEnd, printFigure, printTitle, readOptions } from './support.js';

const PROCESSES = 50;
const FLUSH_MS = 10_000;
const TICK_MS = 10;

relaunchWithSettings();
const options = readOptions({ warmup: 120, minutes: 3 }, { warmup: 60, minutes: 1 });
printTitle('host readings', options);

const loaded = loadConfig({ env: {}, flags: { data: '/nowhere' } });
if (!loaded.ok) throw new Error('the defaults are a configuration');
const { config } = loaded.loaded;
const children = Array.from({ length: PROCESSES }, () =>
  spawn('sleep', ['3600'], { stdio: 'ignore' }),
);
atEnd(() => children.forEach((child) => child.kill()));
await sleep(500);

const bootUnixMs = Date.now() - Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
const startUnixMs = (bootNs: number) => Math.round(bootUnixMs + bootNs / 1e6);
const naming = { startUnixMs, processCount: PROCESSES } as unknown as HostNaming;
const cgroup = /^\d+:memory:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '';
const series = children.map(({ pid }): SeriesInfo => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  const start = startUnixMs(Number(stat[19]) * TICK_MS * 1e6);
  const names = { comm: 'sleep', thread: 'sleep', exe: '', user: 'root', uid: 0, cgroup };
  return { pid: pid!, startUnixMs: start, ...names };
});
const samples: SampleRows = {
  rowStream: new Uint8Array(PROCESSES),
  rowSeries: Uint32Array.from(series.keys()),
  rowUser: new Int32Array(PROCESSES),
  rowKernel: new Int32Array(PROCESSES),
  rowWeight: new Float64Array(PROCESSES).fill(1),
  series,
  stacks: {
    starts: new Uint32Array(1),
    ends: new Uint8Array(),
    frameModules: new Int32Array(),
    frameOffsets: new Float64Array(),
  },
};

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const seconds = secondsMemory(config.context.secondsMs / 1000);
const readers = new HostReaders({ config, seconds, note: (text) => console.log(`  ${text}`) });
readers.begin();
const takes: number[] = [];
const between: number[] = [];
let rows = 0;
let processes = 0;
const warmups = Math.ceil((options.warmup * 1000) / FLUSH_MS);
const flushes = warmups + Math.ceil((options.minutes * 60_000) / FLUSH_MS);
for (let flush = 0; flush < flushes; flush++) {
  const beganUs = cpuUs();
  await sleep(FLUSH_MS);
  between.push(cpuUs() - beganUs);
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const context: TakeContext = {
    naming,
    samples: [samples],
    streams: [],
    isLast: true,
    span: { startUnixNs: nowNs - BigInt(FLUSH_MS) * 1_000_000n, endUnixNs: nowNs },
  };
  const takeUs = cpuUs();
  const streams = [...readers.take(context)].filter((taken) => taken !== undefined);
  takes.push(cpuUs() - takeUs);
  rows = streams.reduce((sum, { columns }) => sum + ('keys' in columns ? columns.keys.length : 0), 0);
  processes = streams.find(({ info }) => info.name === 'process')?.counters['captured'] ?? 0;
}
readers.close();

/** The first ones compile; a daemon's cost is told after two minutes, too. */
function mean(values: readonly number[]): number {
  const steady = values.slice(warmups);
  return steady.reduce((sum, value) => sum + value, 0) / steady.length;
}

printFigure('rows of one flush', rows, 'rows');
printFigure('processes of one flush', processes, 'processes');
printFigure('a flush', mean(takes) / 1e3, 'ms CPU');
const [flushMs, secondsMs] = [mean(takes) / FLUSH_MS, mean(between) / FLUSH_MS];
printFigure('flushes', flushMs, 'ms CPU a second');
printFigure('readings of each second, the wake included', secondsMs, 'ms CPU a second');
printFigure('both (the budget is that of latency probes, too)', flushMs + secondsMs, 'ms CPU a second', {
  atMost: 1.5,
});
process.exit();
