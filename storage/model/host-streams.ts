// The streams of what the host says of itself: /proc, /sys, cgroups, the kernel's log and perf
// counters. Names and key fields are what answers and exports build on; docs/streams.md is printed
// from this table. A counter's value is what was added in its bucket; a key that was not told had
// nothing added. A gauge's value is the last one read in its bucket.

import type { FieldInfo, StreamInfo, StreamKind } from './stream.js';

export interface HostStream {
  readonly info: StreamInfo;
  /** The file or the call that it is read from. */
  readonly source: string;
  /** What the values and the key fields mean, in one sentence. */
  readonly meaning: string;
  /** Kept each second for the last minutes, too. */
  readonly isInSeconds: boolean;
}

/** Cheap enough to be read each second. */
const secondsFiles = ['stat', 'meminfo', 'diskstats', 'net/dev', 'pressure'].map(
  (name) => `/proc/${name}`,
);

/** Key fields that are numbers; all others are text. */
const numberFields = ['cpu', 'minutes'];

function metric(
  kind: Extract<StreamKind, 'histogram' | 'counter' | 'gauge'>,
  name: string,
  valueType: string,
  keys: string,
  source: string,
  meaning: string,
): HostStream {
  const [type = '', unit = ''] = valueType.split('/');
  const fields = keys
    .split(' ')
    .filter((key) => key !== '')
    .map((key): FieldInfo => ({
      name: key,
      type: numberFields.includes(key) ? 'number' : 'string',
    }));
  const isInSeconds = secondsFiles.some((file) => source.startsWith(file));
  return { info: { name, kind, valueType: { type, unit }, fields }, source, meaning, isInSeconds };
}

const counter = metric.bind(undefined, 'counter');
const gauge = metric.bind(undefined, 'gauge');
const histogram = metric.bind(undefined, 'histogram');

function events(name: string, fields: string, source: string, meaning: string): HostStream {
  const columns = fields.split(' ').map((field): FieldInfo => {
    const [column = '', type = '', unit] = field.split(':');
    const info = { name: column, type: type === 'text' ? 'string' : 'number' } as const;
    return unit === undefined ? info : { ...info, unit };
  });
  const info = { name, kind: 'event', valueType: { type: name, unit: 'count' } } as const;
  return { info: { ...info, fields: columns }, source, meaning, isInSeconds: false };
}

export const hostStreams = {
  uptime: gauge('host.uptime', 'uptime/seconds', '', '/proc/uptime', 'Time since boot.'),
  load: gauge(
    'host.load',
    'tasks/count',
    'minutes',
    '/proc/loadavg',
    'Load average over 1, 5 and 15 minutes.',
  ),
  users: gauge('host.users', 'users/count', '', '/run/utmp', 'Sessions of users.'),
  tasks: gauge(
    'host.tasks',
    'tasks/count',
    'state',
    '/proc/stat, /proc/loadavg',
    'running (runnable threads), blocked (waiting for I/O), threads and processes (all there are).',
  ),
  cpu: counter(
    'host.cpu',
    'cpu/milliseconds',
    'cpu mode',
    '/proc/stat',
    'CPU time by mode: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice. ' +
      'As in the kernel, user holds guest too, and nice guest_nice.',
  ),
  system: counter(
    'host.system',
    'events/count',
    'event',
    '/proc/stat',
    'interrupts, softirqs, context_switches, forks.',
  ),
  memory: gauge(
    'host.memory',
    'memory/bytes',
    'kind',
    '/proc/meminfo',
    "Memory by the kernel's names: MemTotal, MemFree, MemAvailable, Buffers, Cached ...",
  ),
  vm: counter(
    'host.vm',
    'events/count',
    'event',
    '/proc/vmstat',
    "Events by the kernel's names; pgpgin and pgpgout are KiB, pswpin and pswpout pages.",
  ),
  diskOperations: counter(
    'host.disk.operations',
    'operations/count',
    'device direction',
    '/proc/diskstats',
    'Completed requests of whole devices: read, write, discard, flush.',
  ),
  diskBytes: counter(
    'host.disk.bytes',
    'io/bytes',
    'device direction',
    '/proc/diskstats',
    'Bytes of completed requests: read, write, discard.',
  ),
  diskMerged: counter(
    'host.disk.merged',
    'operations/count',
    'device direction',
    '/proc/diskstats',
    'Requests merged into others: read, write, discard.',
  ),
  diskTime: counter(
    'host.disk.time',
    'time/milliseconds',
    'device direction',
    '/proc/diskstats',
    'Time that completed requests took, summed: read, write, discard, flush.',
  ),
  diskBusy: counter(
    'host.disk.busy',
    'time/milliseconds',
    'device',
    '/proc/diskstats',
    'Time with at least one request under way (%util).',
  ),
  diskQueue: counter(
    'host.disk.queue',
    'time/milliseconds',
    'device',
    '/proc/diskstats',
    'Time times requests under way (aqu-sz).',
  ),
  diskInFlight: gauge(
    'host.disk.in_flight',
    'operations/count',
    'device',
    '/proc/diskstats',
    'Requests under way; a device is told when it ever had one.',
  ),
  netBytes: counter(
    'host.net.bytes',
    'io/bytes',
    'device direction',
    '/proc/net/dev',
    'Bytes received and transmitted: receive, transmit.',
  ),
  netPackets: counter(
    'host.net.packets',
    'packets/count',
    'device direction',
    '/proc/net/dev',
    'Packets: receive, transmit.',
  ),
  netErrors: counter(
    'host.net.errors',
    'packets/count',
    'device direction kind',
    '/proc/net/dev',
    'errors, dropped, fifo, frame, collisions, carrier.',
  ),
  netCompressed: counter(
    'host.net.compressed',
    'packets/count',
    'device direction',
    '/proc/net/dev',
    'Compressed packets: receive, transmit.',
  ),
  netMulticast: counter(
    'host.net.multicast',
    'packets/count',
    'device',
    '/proc/net/dev',
    'Multicast packets received.',
  ),
  netSpeed: gauge(
    'host.net.speed',
    'speed/megabits_per_second',
    'device duplex',
    '/sys/class/net/*/speed',
    'Speed of the link, 0 when not known; duplex full, half or unknown. Each device has one.',
  ),
  protocol: counter(
    'host.protocol',
    'events/count',
    'protocol event',
    '/proc/net/snmp, /proc/net/netstat',
    "The kernel's counters by its names: Tcp RetransSegs, TcpExt ListenOverflows ...",
  ),
  tcpConnections: gauge(
    'host.tcp.connections',
    'connections/count',
    '',
    '/proc/net/snmp',
    'TCP connections established or waiting to be closed (CurrEstab).',
  ),
  pressure: counter(
    'host.pressure',
    'time/microseconds',
    'resource kind',
    '/proc/pressure/*',
    'Time in which some or full (all) tasks waited for cpu, memory, io, irq.',
  ),
  cgroupCpu: counter(
    'cgroup.cpu',
    'cpu/microseconds',
    'cgroup mode',
    'cpu.stat, cpuacct.usage_user, cpuacct.usage_sys',
    'CPU time of the group and those below it: user, system.',
  ),
  cgroupThrottled: counter(
    'cgroup.throttled',
    'time/microseconds',
    'cgroup',
    'cpu.stat',
    'Time that run queues of the group were throttled by its quota, summed over CPUs.',
  ),
  cgroupPeriods: counter(
    'cgroup.periods',
    'periods/count',
    'cgroup kind',
    'cpu.stat',
    'Periods of the quota: elapsed, and throttled among them.',
  ),
  cgroupMemory: gauge(
    'cgroup.memory',
    'memory/bytes',
    'cgroup',
    'memory.current, memory.usage_in_bytes',
    'Memory charged to the group.',
  ),
  cgroupMemoryEvents: counter(
    'cgroup.memory.events',
    'events/count',
    'cgroup event',
    'memory.events, memory.oom_control, memory.failcnt',
    "The kernel's names: low, high, max, oom, oom_kill, oom_group_kill.",
  ),
  perfCount: counter(
    'perf.count',
    'events/count',
    'event cpu cgroup',
    'perf_event_open(2)',
    "Counters by perf's names, scaled up to the whole time where they had to share the hardware.",
  ),
  perfTime: counter(
    'perf.time',
    'time/nanoseconds',
    'event cpu cgroup',
    'perf_event_open(2)',
    'cpu-clock and task-clock.',
  ),
  perfScaled: counter(
    'perf.scaled',
    'events/millionths',
    'event unit cpu cgroup',
    'perf_event_open(2)',
    'Events that the kernel gives a unit (Joules): millionths of it.',
  ),
  perfShared: counter(
    'perf.shared',
    'time/nanoseconds',
    'event cpu cgroup kind',
    'perf_event_open(2)',
    'Events that had to share the hardware: enabled and running time; the count is scaled by their ' +
      'ratio. Nothing here: it ran all the time.',
  ),
  selfSamples: counter(
    'self.samples',
    'samples/count',
    'type kind',
    'headers of the flush',
    'Of each sample type: expected, captured, idle, not_fired, lost.REASON; in ticks.',
  ),
  selfStacks: counter(
    'self.stacks',
    'stacks/count',
    'type end',
    'headers of the flush',
    "Where captured samples' stacks end: complete, or why they are cut.",
  ),
  selfFrames: counter(
    'self.frames',
    'frames/count',
    'kind',
    'symbolizer',
    'Frames of distinct stacks: named, unnamed.',
  ),
  selfCpu: counter(
    'self.cpu',
    'cpu/nanoseconds',
    'thread',
    '/proc/self/task/*/schedstat',
    'CPU time of the daemon by thread name.',
  ),
  selfMemory: gauge(
    'self.memory',
    'memory/bytes',
    'kind',
    '/proc/self/statm, fdinfo of maps and programs',
    'Memory of the daemon: rss, and kernel for its BPF maps and programs.',
  ),
  selfMaps: gauge(
    'self.maps',
    'fill/millionths',
    'probe map',
    'drains of the maps',
    'How full bounded BPF maps were when they were drained, and rings at most since the last flush.',
  ),
  selfStall: gauge(
    'self.stall',
    'duration/nanoseconds',
    'thread',
    "the threads' event loops",
    'Longest time since the last flush in which the front or the back looked for nothing new; the ' +
      "back's is that of the flush before.",
  ),
  selfStore: gauge('self.store', 'store/bytes', '', 'data directory', 'Size of all segments.'),
  selfStoreAge: gauge(
    'self.store.age',
    'age/seconds',
    '',
    'data directory',
    'Time since the oldest segment began.',
  ),
  selfFlush: histogram(
    'self.flush',
    'duration/nanoseconds',
    'phase',
    'daemon',
    'How long a flush took: drain (taken from the kernel), store (named and written).',
  ),
  selfQuery: histogram(
    'self.query',
    'duration/nanoseconds',
    'method',
    'daemon',
    'How long answers to queries at the socket took: aggregate, series, events, status.',
  ),
  selfExport: histogram(
    'self.export',
    'duration/nanoseconds',
    'phase',
    'daemon',
    'How long exports took: read (points of a bucket), send (until its receiver answered or the ' +
      'request failed), scrape.',
  ),
  selfProgramRuns: counter(
    'self.bpf.runs',
    'runs/count',
    'program',
    '/proc/self/fdinfo',
    'Runs of BPF programs; only while kernel.bpf_stats_enabled is 1.',
  ),
  selfProgramTime: counter(
    'self.bpf.time',
    'time/nanoseconds',
    'program',
    '/proc/self/fdinfo',
    'Time that BPF programs took; only while kernel.bpf_stats_enabled is 1.',
  ),
  kernelLog: events(
    'kernel',
    'level:number facility:number sequence:number message:text',
    '/dev/kmsg',
    'Messages of the kernel at level warning (4) or graver, from the start of the daemon on.',
  ),
  process: events(
    'process',
    'pid:number start:number:milliseconds comm:text user:text cgroup:text ' +
      'interval:number:milliseconds userTime:number:milliseconds systemTime:number:milliseconds ' +
      'guestTime:number:milliseconds waitTime:number:nanoseconds ioDelay:number:milliseconds ' +
      'minorFaults:number majorFaults:number readBytes:number:bytes writtenBytes:number:bytes ' +
      'cancelledBytes:number:bytes virtual:number:bytes resident:number:bytes ' +
      'shared:number:bytes totalTime:number:milliseconds state:text priority:number nice:number ' +
      'threads:number processor:number',
    '/proc/PID/stat, io, schedstat, statm',
    'The processes that used most CPU in a bucket, one event each at its end. From interval to ' +
      'cancelledBytes: what was added in the interval before; -1 when not known: the process was ' +
      'not followed before, or the file may not be read.',
  ),
} as const satisfies Readonly<Record<string, HostStream>>;

export type HostStreamName = keyof typeof hostStreams;

/** docs/streams.md. */
export function streamsPage(): string {
  const rows = Object.values<HostStream>(hostStreams).map(({ info, source, meaning, isInSeconds }) => {
    const { name, kind, valueType, fields = [] } = info;
    const keys = fields.map((f) => (f.unit === undefined ? f.name : `${f.name} (${f.unit})`));
    const seconds = isInSeconds ? ' (1 s)' : '';
    return `| ${name}${seconds} | ${kind} | ${valueType.unit} | ${keys.join(', ')} | ${source} | ${meaning} |`;
  });
  return [
    '# Streams of the host',
    '',
    'What is kept beside samples, in buckets of 10 s. A counter holds what was added in the bucket; a',
    'key without a row had nothing added. A gauge holds the last value read in the bucket. An event has',
    'the fields as columns; -1 is a number that is not known. Those marked (1 s) are also kept each',
    'second for the last minutes while the daemon runs.',
    '',
    '| stream | kind | unit | keys or columns | read from | meaning |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
