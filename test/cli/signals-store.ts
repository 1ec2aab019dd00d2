// A small real store of signals: ten minutes of a host with two CPUs that was overcommitted for 20 s.
//
//   window (10 s)   0 ......... 29   30   31   32 .... 39    40      41 ......... 59
//   runq p99        ~ 1 ms           ~ 60 ms   ~ 1 ms        (gap)   ~ 1 ms
//   on the CPU      serve            spin, serve             -       serve

import { hostStreams } from '../../storage/model/host-streams.js';
import type { HostStreamName } from '../../storage/model/host-streams.js';
import type { Histogram } from '../../storage/model/histogram.js';
import { slotOfNs } from '../../storage/model/histogram.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import type { FlushWriter } from '../../storage/model/writer.js';
import { Store } from '../../storage/store.js';

export const bucketNs = 10_000_000_000n;
export const buckets = 60;
export const slowBuckets = [30, 31];
export const gapBucket = 40;

const cpu: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: 1e7 },
};
const processFields = [
  { name: 'pid', type: 'number' },
  { name: 'start', type: 'number', unit: 'milliseconds' },
  { name: 'comm', type: 'string' },
  { name: 'user', type: 'string' },
  { name: 'cgroup', type: 'string' },
  { name: 'cause', type: 'string' },
] as const;
const culprits: StreamInfo = {
  name: 'runq_culprit',
  kind: 'counter',
  valueType: { type: 'cpu', unit: 'nanoseconds' },
  fields: ['pid', 'culprit_pid', 'culprit_comm', 'culprit_cgroup'].map((name) => {
    return { name, type: name.endsWith('pid') ? 'number' : 'string' };
  }),
};
export const runq: StreamInfo = {
  name: 'runq',
  kind: 'histogram',
  valueType: { type: 'delay', unit: 'nanoseconds' },
  fields: processFields,
};
export const block: StreamInfo = {
  name: 'block',
  kind: 'histogram',
  valueType: { type: 'delay', unit: 'nanoseconds' },
  fields: ['device', 'operation', 'phase', 'cgroup'].map((name) => ({ name, type: 'string' })),
};

/** Of delays in ns, each with how often it was seen. */
export function histogramOf(delays: Readonly<Record<number, number>>): Histogram {
  const slots = new Map<number, number>();
  let [count, sumNs] = [0, 0];
  for (const [ns, times] of Object.entries(delays)) {
    const slot = slotOfNs(Number(ns));
    slots.set(slot, (slots.get(slot) ?? 0) + times);
    count += times;
    sumNs += Number(ns) * times;
  }
  const sorted = [...slots].sort(([a], [b]) => a - b);
  return {
    slots: Int16Array.from(sorted, ([slot]) => slot),
    counts: Float64Array.from(sorted, ([, n]) => n),
    count,
    sumNs,
  };
}

function seriesOf(pid: number, comm: string): SeriesInfo {
  const exe = `/bin/${comm}`;
  return { pid, startUnixMs: 1, comm, thread: comm, exe, uid: 0, user: 'root', cgroup: '/a' };
}

function writeSamples(writer: FlushWriter, isSlow: boolean): void {
  const stream = writer.streamId(cpu);
  const add = (comm: string, names: readonly string[], count: number) => {
    const module = { name: comm, path: `/bin/${comm}`, buildId: 'ab' };
    const node = names.reduce((parent, name) => {
      return writer.node(parent, writer.functionId({ module, frameType: 'native', name }));
    }, 0);
    writer.sample(stream, writer.seriesId(seriesOf(comm === 'web' ? 7 : 8, comm)), node, count);
  };
  add('web', ['main', 'serve'], 200);
  add('web', ['main', 'serve', 'parse'], 50);
  if (isSlow) add('stress', ['main', 'spin'], 1700);
  const captured = isSlow ? 1950 : 250;
  writer.header(stream, { expected: 2000, captured, idle: 2000 - captured });
}

function writeLatencies(writer: FlushWriter, isSlow: boolean): void {
  const waits = writer.streamId(runq);
  const keyOf = (pid: number, comm: string, cgroup: string, cause = 'queued') =>
    writer.keyId(waits, [pid, 1, comm, 'root', cgroup, cause]);
  const slow: Record<number, number> = isSlow ? { 60e6: 50 } : {};
  writer.histogram(waits, keyOf(7, 'web', '/a'), histogramOf({ 3000: 900, 1e6: 100, ...slow }));
  writer.histogram(waits, keyOf(8, 'stress', '/b/c'), histogramOf({ 5000: 10 }));
  writer.histogram(waits, keyOf(8, 'stress', '/b/c', 'throttled'), histogramOf(slow));
  const counters = { 'check.switches.kernel': 1000, 'check.switches.ours': 970 };
  writer.header(waits, { captured: 1010 + (isSlow ? 100 : 0), 'lost.no_record': 2, ...counters });
  const held = writer.streamId(culprits);
  writer.counter(held, writer.keyId(held, [7, 8, 'stress', '/b/c']), isSlow ? 2.5e9 : 1e6);
  writer.header(held, {});
  const io = writer.streamId(block);
  for (const [phase, ns] of [
    ['queue', 20e3],
    ['device', 400e3],
  ] as const) {
    writer.histogram(io, writer.keyId(io, ['vda', 'write', phase, '/a']), histogramOf({ [ns]: 40 }));
    const read = histogramOf({ [ns * (isSlow ? 20 : 2)]: 10 });
    writer.histogram(io, writer.keyId(io, ['vdb<i>', 'read', phase, '']), read);
  }
  writer.header(io, { captured: 50, 'unmeasured.dm-0': 70 });
}

/** Counts of perf events, by event, CPU and cgroup ('-' for the whole CPU), of a 2 GHz host that runs
 *  at 2.5 GHz half of the time. */
const counts: Readonly<Record<string, number>> = {
  'instructions 0 -': 30e9,
  'instructions 1 -': 10e9,
  'instructions 1 /b': 4e9,
  'cycles 0 -': 15e9,
  'cycles 1 -': 10e9,
  'cycles 1 /b': 5e9,
  'cache-misses 0 -': 40e6,
  'context-switches 0 -': 1234,
  'context-switches 1 -': 766,
  'msr/tsc/ 0 -': 20e9,
  'msr/tsc/ 1 -': 20e9,
  'msr/mperf/ 0 -': 10e9,
  'msr/mperf/ 1 -': 10e9,
  'msr/aperf/ 0 -': 12.5e9,
  'msr/aperf/ 1 -': 12.5e9,
};

function writeCounts(writer: FlushWriter, isSlow: boolean): void {
  const add = (name: 'perfCount' | 'perfTime' | 'perfShared', keys: Readonly<Record<string, number>>) => {
    const { info } = hostStreams[name];
    const stream = writer.streamId(info);
    for (const [text, value] of Object.entries(keys)) {
      const parts = text.split(' ').map((part) => (part === '-' ? '' : part));
      const key = info.fields!.map(({ type }, i) => (type === 'number' ? Number(parts[i]) : parts[i]!));
      writer.counter(stream, writer.keyId(stream, key), value);
    }
    writer.header(stream, {});
  };
  add('perfCount', isSlow ? { ...counts, 'context-switches 1 -': 20_766 } : counts);
  add('perfTime', { 'task-clock 0 -': 10e9, 'task-clock 1 -': 10e9 });
  // It had the hardware for a quarter of the time.
  add('perfShared', { 'cache-misses 0 - enabled': 10e9, 'cache-misses 0 - running': 2.5e9 });
}

/** Streams of the host by key; a key's parts are joined by blanks. */
const readings: Readonly<Partial<Record<HostStreamName, Readonly<Record<string, number>>>>> = {
  uptime: { '': 93_784 },
  load: { '1': 5.25, '5': 1.5, '15': 0.75 },
  users: { '': 2 },
  tasks: { running: 4, blocked: 1, threads: 120, processes: 80 },
  cpu: {
    '0 user': 6000,
    '0 nice': 100,
    '0 system': 2000,
    '0 idle': 1500,
    '0 iowait': 200,
    '0 irq': 10,
    '0 softirq': 90,
    '0 steal': 100,
    '0 guest': 1000,
    '0 guest_nice': 0,
    '1 user': 9500,
    '1 nice': 0,
    '1 system': 500,
    '1 idle': 0,
    '1 iowait': 0,
    '1 irq': 0,
    '1 softirq': 0,
    '1 steal': 0,
    '1 guest': 0,
    '1 guest_nice': 0,
  },
  system: { interrupts: 12_340, context_switches: 56_780, softirqs: 1, forks: 20 },
  memory: {
    MemTotal: 8e9,
    MemFree: 1e9,
    MemAvailable: 0.5e9,
    Buffers: 0.1e9,
    Cached: 2e9,
    SReclaimable: 0.2e9,
    Shmem: 0.05e9,
    SwapTotal: 1e9,
    SwapFree: 0.25e9,
  },
  vm: { pgpgin: 10_240, pgpgout: 51_200, pswpin: 0, pswpout: 250, oom_kill: 1 },
  diskOperations: { 'vda read': 1000, 'vda write': 2000, 'vda discard': 10, 'vda flush': 50 },
  diskBytes: { 'vda read': 40_960_000, 'vda write': 81_920_000, 'vda discard': 1_048_576 },
  diskMerged: { 'vda read': 250, 'vda write': 0, 'vda discard': 0 },
  diskTime: { 'vda read': 500, 'vda write': 60_000, 'vda discard': 5, 'vda flush': 100 },
  diskBusy: { vda: 9500 },
  diskQueue: { vda: 60_500 },
  diskInFlight: { vda: 3, vdb: 0 },
  netBytes: { 'eth0 receive': 1.1e9, 'eth0 transmit': 1e6 },
  netPackets: { 'eth0 receive': 800_000, 'eth0 transmit': 1000 },
  netErrors: { 'eth0 receive dropped': 30 },
  netMulticast: { eth0: 20 },
  netSpeed: { 'eth0 full': 1000, 'lo unknown': 0 },
  protocol: {
    'Tcp ActiveOpens': 10,
    'Tcp PassiveOpens': 20,
    'Tcp InSegs': 3000,
    'Tcp OutSegs': 4000,
    'Tcp AttemptFails': 5,
    'Tcp EstabResets': 1,
    'Tcp RetransSegs': 100,
    'Tcp InErrs': 0,
    'Tcp OutRsts': 7,
    'TcpExt ListenOverflows': 3,
  },
  pressure: { 'cpu some': 3_500_000, 'io full': 0 },
  cgroupThrottled: { '/b/c': 1_200_000 },
};

function writeHost(writer: FlushWriter): void {
  for (const [name, values] of Object.entries(readings)) {
    const { info } = hostStreams[name as HostStreamName];
    const stream = writer.streamId(info);
    for (const [text, value] of Object.entries(values)) {
      const parts = text === '' ? [] : text.split(' ');
      const key = info.fields!.map(({ type }, i) => (type === 'number' ? Number(parts[i]) : parts[i]!));
      if (info.kind === 'gauge') writer.gauge(stream, writer.keyId(stream, key), value);
      else writer.counter(stream, writer.keyId(stream, key), value);
    }
    writer.header(stream, {});
  }
  writeEvents(writer, 'process', 9.9e9, [
    processRow(7, 'web', { waitTime: 4e9, guestTime: 0 }),
    processRow(8, 'st\u001bress', { userTime: 8000, systemTime: 100, majorFaults: -1 }),
  ]);
  writeEvents(writer, 'kernelLog', 5e9, [
    { level: 4, facility: 0, sequence: 1, message: 'just a warning' },
    { level: 3, facility: 0, sequence: 2, message: 'blk_update_request: I/O error, dev vda' },
  ]);
}

type Row = Readonly<Record<string, string | number>>;

function processRow(pid: number, comm: string, more: Row): Row {
  const numbers = hostStreams.process.info.fields!.filter(({ type }) => type === 'number');
  return {
    ...Object.fromEntries(numbers.map(({ name }) => [name, 0])),
    pid,
    start: 1,
    comm,
    user: 'root',
    cgroup: pid === 7 ? '/a' : '/b/c',
    interval: 10_000,
    userTime: 1000,
    systemTime: 500,
    guestTime: 100,
    waitTime: 1e9,
    minorFaults: 500,
    virtual: 2 ** 30,
    resident: 2 ** 28,
    shared: 2 ** 20,
    totalTime: 754_330,
    state: 'R',
    priority: 20,
    threads: 2,
    processor: 1,
    ...more,
  };
}

function writeEvents(
  writer: FlushWriter,
  name: 'process' | 'kernelLog',
  atNs: number,
  rows: readonly Row[],
): void {
  const { info } = hostStreams[name];
  const stream = writer.streamId(info);
  writer.events(stream, {
    timesNs: Float64Array.from(rows, () => atNs),
    columns: info.fields!.map(({ name: column, type }) =>
      type === 'number'
        ? Float64Array.from(rows, (row) => Number(row[column]))
        : rows.map((row) => String(row[column])),
    ),
  });
  writer.header(stream, { expected: rows.length, captured: rows.length });
}

/** `endUnixNs` is the end of the last bucket, on a bucket's border. */
export function writeSignals(dir: string, endUnixNs: bigint): void {
  const now = () => Number(endUnixNs / 1_000_000n);
  const store = Store.open({ dir, maxAgeMs: 86_400_000, now });
  for (let i = 0; i < buckets; i++) {
    if (i === gapBucket) continue;
    const startUnixNs = endUnixNs - BigInt(buckets - i) * bucketNs;
    const writer = store.beginFlush({ startUnixNs, endUnixNs: startUnixNs + bucketNs });
    const isSlow = slowBuckets.includes(i);
    writeSamples(writer, isSlow);
    writeLatencies(writer, isSlow);
    writeHost(writer);
    writeCounts(writer, isSlow);
    writer.commit();
  }
  store.close();
}
