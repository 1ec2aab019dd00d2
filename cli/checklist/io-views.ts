// iostat -xz, sar -n DEV and sar -n TCP,ETCP: disks and the network.

import { cpuShares } from './cpu-views.js';
import type { HostFacts, StreamFacts } from './facts.js';
import type { Cell, Mark, View } from './view.js';
import { missingView } from './view.js';

const kib = 1024;
const nothing: StreamFacts = { seconds: 1, values: new Map() };

/** Waiting longer than this for a read or write, on average, is worth a look. */
const slowAwaitMs = 20;

const cpuColumns = ['%user', '%nice', '%system', '%iowait', '%steal', '%idle'];
const diskColumns = (
  'r/s rkB/s rrqm/s %rrqm r_await rareq-sz ' +
  'w/s wkB/s wrqm/s %wrqm w_await wareq-sz ' +
  'd/s dkB/s drqm/s %drqm d_await dareq-sz ' +
  'f/s f_await aqu-sz %util'
).split(' ');

export function iostatView({ streams }: HostFacts): View {
  const tool = 'iostat -xz';
  const { cpu, diskOperations, diskInFlight = nothing } = streams;
  if (diskOperations === undefined) return missingView(tool, '/proc/diskstats');
  const known = [...diskInFlight.values.keys(), ...devicesOf(diskOperations)];
  const disks = [...new Set(known)].map((name) => diskOf(name, streams));
  const rows = disks.filter(({ isActive }) => isActive);
  const tables = [];
  if (cpu !== undefined) {
    const { percent: p } = cpuShares(cpu)[0]!;
    const system = p.system + p.irq + p.softirq;
    const row = [p.user, p.nice, system, p.iowait, p.steal, p.idle];
    tables.push({ columns: cpuColumns.map((title) => ({ title, decimals: 2 })), rows: [row] });
  }
  tables.push({
    columns: [
      { title: 'Device', align: 'left' as const },
      ...diskColumns.map((title) => ({ title, decimals: 2 })),
    ],
    rows: rows.map(({ cells }) => cells),
  });
  return { tool, lines: [], tables, marks: rows.flatMap(diskMarks) };
}

interface Disk {
  readonly name: string;
  readonly isActive: boolean;
  readonly cells: readonly Cell[];
  readonly busyPercent: number;
  readonly queued: number;
  readonly awaitMs: Readonly<Record<'read' | 'write', number>>;
}

function diskOf(name: string, streams: HostFacts['streams']): Disk {
  const { diskOperations, diskBytes, diskMerged, diskTime, diskBusy, diskQueue } = streams;
  const valueOf = (facts: StreamFacts | undefined, direction: string) =>
    facts?.values.get(`${name} ${direction}`) ?? 0;
  const { seconds } = diskOperations!;
  const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
  let isActive = false;
  const cells: Cell[] = [name];
  for (const direction of ['read', 'write', 'discard']) {
    const operations = valueOf(diskOperations, direction);
    const bytes = valueOf(diskBytes, direction);
    const merged = valueOf(diskMerged, direction);
    isActive ||= operations > 0;
    cells.push(
      operations / seconds,
      bytes / kib / seconds,
      merged / seconds,
      100 * ratio(merged, merged + operations),
      ratio(valueOf(diskTime, direction), operations),
      ratio(bytes / kib, operations),
    );
  }
  const flushes = valueOf(diskOperations, 'flush');
  const queued = (diskQueue?.values.get(name) ?? 0) / 1e3 / seconds;
  const busyPercent = (diskBusy?.values.get(name) ?? 0) / 10 / seconds;
  cells.push(flushes / seconds, ratio(valueOf(diskTime, 'flush'), flushes), queued, busyPercent);
  const awaitOf = (direction: string) =>
    ratio(valueOf(diskTime, direction), valueOf(diskOperations, direction));
  const awaitMs = { read: awaitOf('read'), write: awaitOf('write') };
  return { name, isActive: isActive || flushes > 0, cells, busyPercent, queued, awaitMs };
}

function devicesOf({ values }: StreamFacts): string[] {
  return [...new Set([...values.keys()].map((key) => key.split(' ')[0]!))];
}

function diskMarks({ name, busyPercent, queued, awaitMs }: Disk): Mark[] {
  const marks: Mark[] = [];
  if (busyPercent > 80) {
    const what = 'nearly always busy (no limit yet where it serves many requests at once)';
    const why = `${name} %util ${busyPercent.toFixed(1)}: ${what}`;
    marks.push({ kind: 'utilisation', why });
  }
  for (const [direction, ms] of Object.entries(awaitMs)) {
    if (ms <= slowAwaitMs) continue;
    const title = `${name} ${direction[0]}_await ${ms.toFixed(1)} ms`;
    const why = `${title} with ${queued.toFixed(1)} under way: slow, or a queue before it`;
    marks.push({ kind: 'saturation', why });
  }
  return marks;
}

const netColumns = [
  'rxpck/s',
  'txpck/s',
  'rxkB/s',
  'txkB/s',
  'rxcmp/s',
  'txcmp/s',
  'rxmcst/s',
  '%ifutil',
];

export function sarDevView({ streams }: HostFacts): View {
  const tool = 'sar -n DEV';
  const {
    netBytes,
    netPackets = nothing,
    netCompressed = nothing,
    netMulticast = nothing,
  } = streams;
  const { netSpeed = nothing, netErrors = nothing } = streams;
  if (netBytes === undefined) return missingView(tool, '/proc/net/dev');
  const { seconds } = netBytes;
  const rate = ({ values }: StreamFacts, key: string) => (values.get(key) ?? 0) / seconds;
  const links = [...netSpeed.values].map(([key, megabits]) => {
    const [name = '', duplex = ''] = key.split(' ');
    return { name, duplex, megabits };
  });
  const names = links.length > 0 ? links.map(({ name }) => name) : devicesOf(netBytes);
  const marks: Mark[] = [];
  const rows = names.map((name) => {
    const [received, sent] = ['receive', 'transmit'].map((d) => rate(netBytes, `${name} ${d}`)) as [
      number,
      number,
    ];
    const { megabits = 0, duplex = '' } = links.find((link) => link.name === name) ?? {};
    const busiest = duplex === 'full' ? Math.max(received, sent) : received + sent;
    const percent = megabits === 0 ? 0 : (busiest * 800) / (megabits * 1e6);
    if (percent > 70) {
      const why = `${name} %ifutil ${percent.toFixed(1)} of ${megabits} Mbit/s`;
      marks.push({ kind: 'utilisation', why });
    }
    return [
      name,
      rate(netPackets, `${name} receive`),
      rate(netPackets, `${name} transmit`),
      received / kib,
      sent / kib,
      rate(netCompressed, `${name} receive`),
      rate(netCompressed, `${name} transmit`),
      rate(netMulticast, name),
      percent,
    ];
  });
  for (const [key, count] of netErrors.values) {
    const [name, direction, kind] = key.split(' ');
    if (count === 0) continue;
    marks.push({
      kind: 'errors',
      why: `${name} ${direction} ${kind} ${(count / seconds).toFixed(2)}/s`,
    });
  }
  const columns = [{ title: 'IFACE' }, ...netColumns.map((title) => ({ title, decimals: 2 }))];
  return { tool, lines: [], tables: [{ columns, rows }], marks };
}

const tcpColumns = [
  ['active/s', 'ActiveOpens'],
  ['passive/s', 'PassiveOpens'],
  ['iseg/s', 'InSegs'],
  ['oseg/s', 'OutSegs'],
] as const;
const tcpErrorColumns = [
  ['atmptf/s', 'AttemptFails'],
  ['estres/s', 'EstabResets'],
  ['retrans/s', 'RetransSegs'],
  ['isegerr/s', 'InErrs'],
  ['orsts/s', 'OutRsts'],
] as const;

/** Share of segments sent again above which the path is bad. */
const retransPercent = 1;

export function sarTcpView({ streams: { protocol } }: HostFacts): View {
  const tool = 'sar -n TCP,ETCP';
  if (protocol === undefined) return missingView(tool, '/proc/net/snmp');
  const rate = (key: string) => (protocol.values.get(key) ?? 0) / protocol.seconds;
  const tables = [tcpColumns, tcpErrorColumns].map((columns) => ({
    columns: columns.map(([title]) => ({ title, decimals: 2 })),
    rows: [columns.map(([, event]) => rate(`Tcp ${event}`))],
  }));
  const marks: Mark[] = [];
  const [again, sent] = [rate('Tcp RetransSegs'), rate('Tcp OutSegs')];
  const percent = sent === 0 ? 0 : (100 * again) / sent;
  if (percent > retransPercent) {
    const share = `${percent.toFixed(1)} % of the segments sent`;
    const why = `retrans/s ${again.toFixed(2)}: ${share} were lost or late`;
    marks.push({ kind: 'errors', why });
  }
  const errors = [
    ['Tcp InErrs', 'isegerr/s', 'broken segments came in'],
    ['Tcp AttemptFails', 'atmptf/s', 'connections could not be opened'],
    ['TcpExt ListenOverflows', 'listen overflows/s', 'a program accepts too slowly'],
    ['TcpExt ListenDrops', 'listen drops/s', 'connections were dropped before accept'],
  ] as const;
  for (const [key, title, what] of errors) {
    if (rate(key) > 0)
      marks.push({ kind: 'errors', why: `${title} ${rate(key).toFixed(2)}: ${what}` });
  }
  return { tool, lines: [], tables, marks };
}
