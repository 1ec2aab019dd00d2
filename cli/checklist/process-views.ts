// pidstat and top: the busiest processes of the window. Only those are kept, so idle ones that the
// tools list are not here.

import { formatTime } from '../window.js';
import { cpuShares, uptimeText } from './cpu-views.js';
import type { EventValues, HostFacts } from './facts.js';
import type { Cell, Mark, View, ViewColumn } from './view.js';
import { missingView } from './view.js';

const kib = 1024;
const bucketSeconds = 10;
const leftOut = 'only the busiest processes are kept';

/** One process over the window: added values summed, the others as they were last. */
export interface ProcessFacts {
  readonly last: EventValues;
  /** Time that the sums cover. */
  readonly seconds: number;
  /** What was added, by the stream's column; undefined where it is not known of any bucket. */
  readonly added: Readonly<Record<string, number | undefined>>;
}

const addedColumns = (
  'userTime systemTime guestTime waitTime ioDelay minorFaults majorFaults ' +
  'readBytes writtenBytes cancelledBytes'
).split(' ');

export function processesOf({ processes, streams }: HostFacts): ProcessFacts[] {
  const groups = new Map<string, EventValues[]>();
  for (const values of processes) {
    const key = `${values['pid']} ${values['start']}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [values]);
    else group.push(values);
  }
  const windowSeconds = streams.cpu?.seconds ?? 0;
  return [...groups.values()].map((group) => {
    const known = group.filter((values) => Number(values['interval']) > 0);
    const sums = addedColumns.map((column) => {
      const parts = known.map((values) => Number(values[column])).filter((value) => value >= 0);
      return [column, parts.length === 0 ? undefined : parts.reduce((sum, part) => sum + part, 0)];
    });
    const seconds = secondsOf(known, windowSeconds - bucketSeconds * (group.length - known.length));
    return { last: group.at(-1)!, seconds, added: Object.fromEntries(sums) };
  });
}

/** As the tools, all of the window, also where a process did not live so long or had nothing to do:
 *  a bucket without an event of it is one in which it added nothing. */
function secondsOf(known: readonly EventValues[], windowSeconds: number): number {
  const ms = known.reduce((sum, values) => sum + Number(values['interval']), 0);
  return Math.max(ms / 1e3, windowSeconds);
}

/** Percent of one CPU that ms in the window are. */
function percentOf({ seconds }: ProcessFacts, ms: number | undefined): number | undefined {
  return ms === undefined || seconds === 0 ? undefined : ms / 10 / seconds;
}

const cpuTitles = ['%usr', '%system', '%guest', '%wait', '%CPU'];
const pidstatColumns: readonly ViewColumn[] = [
  { title: 'USER', align: 'left' },
  { title: 'PID' },
  ...cpuTitles.map((title) => ({ title, decimals: 2 })),
  { title: 'CPU' },
  { title: 'Command', align: 'left' },
];
const usageColumns: readonly ViewColumn[] = [
  { title: 'PID' },
  ...['minflt/s', 'majflt/s'].map((title) => ({ title, decimals: 2 })),
  { title: 'VSZ' },
  { title: 'RSS' },
  { title: '%MEM', decimals: 2 },
  ...['kB_rd/s', 'kB_wr/s', 'kB_ccwr/s'].map((title) => ({ title, decimals: 2 })),
  { title: 'iodelay' },
  { title: 'Command', align: 'left' },
];

export function pidstatView(facts: HostFacts): View {
  const tool = 'pidstat -urd';
  const processes = processesOf(facts).sort(
    (a, b) => Number(a.last['pid']) - Number(b.last['pid']),
  );
  if (processes.length === 0) return missingView(tool, 'processes');
  const totalKib = (facts.streams.memory?.values.get('MemTotal') ?? 0) / kib;
  return {
    tool,
    lines: [],
    tables: [
      { columns: pidstatColumns, rows: processes.map(cpuRow) },
      { columns: usageColumns, rows: processes.map((p) => usageRow(p, totalKib)), leftOut },
    ],
    marks: processes.flatMap(waitMarks),
  };
}

function cpuRow(process: ProcessFacts): Cell[] {
  const { last, added } = process;
  const { userTime, systemTime, guestTime, waitTime } = added;
  const percent = (ms: number | undefined) => percentOf(process, ms);
  return [
    text(last['user']),
    known(last['pid']),
    percent(minus(userTime, guestTime)),
    percent(systemTime),
    percent(guestTime),
    percent(waitTime === undefined ? undefined : waitTime / 1e6),
    percent(plus(userTime, systemTime)),
    known(last['processor']),
    text(last['comm']),
  ];
}

function usageRow({ last, added, seconds }: ProcessFacts, totalKib: number): Cell[] {
  const rate = (column: string, unit = 1) => {
    const sum = added[column];
    return sum === undefined || seconds === 0 ? undefined : sum / unit / seconds;
  };
  const rssKib = sizeKib(last['resident']);
  return [
    known(last['pid']),
    rate('minorFaults'),
    rate('majorFaults'),
    sizeKib(last['virtual']),
    rssKib,
    rssKib === undefined || totalKib === 0 ? undefined : (100 * rssKib) / totalKib,
    rate('readBytes', kib),
    rate('writtenBytes', kib),
    rate('cancelledBytes', kib),
    // pidstat counts clock ticks of 10 ms.
    added['ioDelay'] === undefined ? undefined : added['ioDelay'] / 10,
    text(last['comm']),
  ];
}

function waitMarks(process: ProcessFacts): Mark[] {
  const { last, added } = process;
  const name = `${text(last['comm'])} (${last['pid']})`;
  const waited = percentOf(process, added['waitTime'] && added['waitTime'] / 1e6) ?? 0;
  const marks: Mark[] = [];
  if (waited > 20) {
    const why = `${name} %wait ${waited.toFixed(1)}: its threads wait for a CPU`;
    marks.push({ kind: 'saturation', why });
  }
  const faults = process.seconds === 0 ? 0 : (added['majorFaults'] ?? 0) / process.seconds;
  if (faults > 10) {
    const why = `${name} majflt/s ${faults.toFixed(1)}: it reads its pages from disk`;
    marks.push({ kind: 'saturation', why });
  }
  return marks;
}

const topColumns: readonly ViewColumn[] = [
  { title: 'PID' },
  { title: 'USER', align: 'left' },
  { title: 'PR' },
  { title: 'NI' },
  { title: 'VIRT' },
  { title: 'RES' },
  { title: 'SHR' },
  { title: 'S' },
  { title: '%CPU', decimals: 1 },
  { title: '%MEM', decimals: 1 },
  { title: 'TIME+' },
  { title: 'COMMAND', align: 'left' },
];

export function topView(facts: HostFacts): View {
  const tool = 'top';
  const { streams } = facts;
  const processes = processesOf(facts);
  if (processes.length === 0) return missingView(tool, 'processes');
  const totalKib = (streams.memory?.values.get('MemTotal') ?? 0) / kib;
  const rows = processes
    .map((process) => topRow(process, totalKib))
    .sort((a, b) => Number(b[8] ?? 0) - Number(a[8] ?? 0));
  return {
    tool,
    lines: headLines(facts),
    tables: [{ columns: topColumns, rows, leftOut }],
    marks: [],
  };
}

function topRow(process: ProcessFacts, totalKib: number): Cell[] {
  const { last, added } = process;
  const resident = sizeKib(last['resident']);
  return [
    known(last['pid']),
    text(last['user']),
    // What top calls rt: a real-time task's priority is -2 to -100.
    last['priority'] === -100 ? 'rt' : (last['priority'] as number),
    last['nice'] as number,
    sizeKib(last['virtual']),
    resident,
    sizeKib(last['shared']),
    text(last['state']),
    percentOf(process, plus(added['userTime'], added['systemTime'])),
    resident === undefined || totalKib === 0 ? undefined : (100 * resident) / totalKib,
    timeText(known(last['totalTime'])),
    text(last['comm']),
  ];
}

/** top's five lines; how many sleep, are stopped or zombies is not kept. */
function headLines({ streams, untilUnixNs }: HostFacts): string[] {
  const load = [1, 5, 15].map((m) => streams.load?.values.get(String(m))?.toFixed(2) ?? '-');
  const mib = (kind: string) => (streams.memory?.values.get(kind) ?? 0) / 2 ** 20;
  const used = mib('MemTotal') - mib('MemAvailable');
  const cache = mib('Buffers') + mib('Cached') + mib('SReclaimable');
  const mibText = (amount: number) => amount.toFixed(1).padStart(8);
  const size = (kind: string) => mibText(mib(kind));
  const count = (state: string) => streams.tasks?.values.get(state) ?? '-';
  const up = uptimeText(streams.uptime?.values.get(''));
  const users = streams.users?.values.get('') ?? '-';
  const lines = [
    `top - ${formatTime(untilUnixNs)} up ${up},  ${users} users,  load average: ${load.join(', ')}`,
    `Threads: ${count('threads')} total, ${count('running')} running; processes: ${count('processes')}`,
  ];
  if (streams.cpu !== undefined) {
    const { percent: p } = cpuShares(streams.cpu)[0]!;
    const parts = [
      [p.user, 'us'],
      [p.system, 'sy'],
      [p.nice, 'ni'],
      [p.idle, 'id'],
      [p.iowait, 'wa'],
      [p.irq, 'hi'],
      [p.softirq, 'si'],
      [p.steal, 'st'],
    ] as const;
    const texts = parts.map(([percent, name]) => `${percent.toFixed(1)} ${name}`);
    lines.push(`%Cpu(s): ${texts.join(', ')}`);
  }
  const swapUsed = mib('SwapTotal') - mib('SwapFree');
  lines.push(
    `MiB Mem : ${size('MemTotal')} total, ${size('MemFree')} free, ${mibText(used)} used, ` +
      `${mibText(cache)} buff/cache`,
    `MiB Swap: ${size('SwapTotal')} total, ${size('SwapFree')} free, ${mibText(swapUsed)} used. ` +
      `${size('MemAvailable')} avail Mem`,
  );
  return lines;
}

/** `12:05.33`: minutes, seconds, hundredths. */
function timeText(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  const hundredths = Math.floor(ms / 10);
  const minutes = Math.floor(hundredths / 6000);
  const seconds = Math.floor(hundredths / 100) % 60;
  const parts = [seconds, hundredths % 100].map((part) => String(part).padStart(2, '0'));
  return `${minutes}:${parts.join('.')}`;
}

/** -1 is a number that is not known. */
function known(value: string | number | undefined): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined;
}

function sizeKib(bytes: string | number | undefined): number | undefined {
  const size = known(bytes);
  return size === undefined ? undefined : size / kib;
}

function text(value: string | number | undefined): string {
  return String(value ?? '');
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}

function minus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? undefined : a - (b ?? 0);
}
