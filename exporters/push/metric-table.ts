// The table of names: how the streams of the host and of flamekeeper itself are called in
// OpenTelemetry, by its semantic conventions (v1.44) where they exist. docs/metrics.md is printed
// from it. What a rule's `when` leaves out goes on to the next rule of the stream, then to
// flamekeeper.STREAM.

export type AttributeValues = Readonly<Record<string, string | number | boolean>>;

/** How the values of some keys of a stream leave. Rules of a stream are tried in their order; the
 *  first whose `when` holds is taken, and with `more` those after it as well. */
export interface MetricRule {
  readonly stream: string;
  /** Field -> values of it that the rule is for. */
  readonly when?: Readonly<Record<string, readonly string[]>>;
  /** For cgroups that are containers themselves, not what is in or above them. */
  readonly onlyContainers?: boolean;
  readonly more?: boolean;
  readonly name: string;
  /** UCUM. Of a time always s; by default from the stream's own unit. */
  readonly unit?: string;
  /** Field -> attribute, with other words for its values; '' leaves it out. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly words?: Readonly<Record<string, string>>;
  readonly constant?: AttributeValues;
  /** Values are subtracted. */
  readonly isNegative?: boolean;
  readonly description: string;
}

const readWrite = { direction: ['read', 'write'] } as const;
const disk = { direction: 'disk.io.direction' } as const;
const network = { device: 'network.interface.name', direction: 'network.io.direction' } as const;
const cpuMode = { mode: 'cpu.mode' } as const;
const memoryState = { kind: 'system.memory.state' } as const;
const slabState = { kind: 'system.memory.linux.slab.state' } as const;

export const metricRules: readonly MetricRule[] = [
  { stream: 'host.uptime', name: 'system.uptime', description: 'Time since boot.' },
  { stream: 'host.load', name: 'flamekeeper.host.load', description: 'Load average.' },
  { stream: 'host.users', name: 'flamekeeper.host.users', description: 'Sessions of users.' },
  {
    stream: 'host.tasks',
    when: { state: ['processes'] },
    name: 'system.process.count',
    unit: '{process}',
    attributes: { state: '' },
    description: 'Processes there are.',
  },
  {
    stream: 'host.tasks',
    name: 'flamekeeper.host.threads',
    unit: '{thread}',
    description: 'Threads: all, runnable, or waiting for I/O.',
  },
  {
    stream: 'host.cpu',
    when: { mode: ['guest', 'guest_nice'] },
    name: 'flamekeeper.host.cpu.guest.time',
    attributes: cpuMode,
    description: 'CPU time of virtual machines; user and nice hold it, too.',
  },
  {
    stream: 'host.cpu',
    name: 'system.cpu.time',
    attributes: cpuMode,
    words: { irq: 'interrupt', softirq: 'interrupt' },
    description: 'CPU time by mode.',
  },
  {
    stream: 'host.system',
    when: { event: ['forks'] },
    name: 'system.process.created',
    unit: '{process}',
    attributes: { event: '' },
    description: 'Processes and threads that were created.',
  },
  {
    stream: 'host.system',
    name: 'flamekeeper.host.events',
    unit: '{event}',
    description: 'Interrupts, soft interrupts and context switches.',
  },
  {
    stream: 'host.memory',
    when: { kind: ['MemTotal'] },
    name: 'system.memory.limit',
    attributes: { kind: '' },
    description: 'Memory there is.',
  },
  {
    stream: 'host.memory',
    when: { kind: ['MemAvailable'] },
    name: 'system.memory.linux.available',
    attributes: { kind: '' },
    description: 'Memory that new programs could have without swapping.',
  },
  {
    stream: 'host.memory',
    when: { kind: ['MemFree', 'Buffers', 'Cached'] },
    name: 'system.memory.usage',
    attributes: memoryState,
    words: { MemFree: 'free', Buffers: 'buffers', Cached: 'cached' },
    description: 'Memory by state.',
  },
  {
    stream: 'host.memory',
    when: { kind: ['SReclaimable', 'SUnreclaim'] },
    name: 'system.memory.linux.slab.usage',
    attributes: slabState,
    words: { SReclaimable: 'reclaimable', SUnreclaim: 'unreclaimable' },
    description: "Memory of the kernel's slabs.",
  },
  {
    stream: 'host.memory',
    name: 'flamekeeper.host.memory',
    description: "Memory by the kernel's names.",
  },
  {
    stream: 'host.vm',
    when: { event: ['pgmajfault'] },
    more: true,
    name: 'system.paging.faults',
    unit: '{fault}',
    attributes: { event: '' },
    constant: { 'system.paging.fault.type': 'major' },
    description: 'Page faults.',
  },
  {
    stream: 'host.vm',
    when: { event: ['pgmajfault'] },
    name: 'system.paging.faults',
    unit: '{fault}',
    attributes: { event: '' },
    constant: { 'system.paging.fault.type': 'minor' },
    isNegative: true,
    description: 'Page faults.',
  },
  {
    stream: 'host.vm',
    when: { event: ['pgfault'] },
    name: 'system.paging.faults',
    unit: '{fault}',
    attributes: { event: '' },
    constant: { 'system.paging.fault.type': 'minor' },
    description: 'Page faults.',
  },
  {
    stream: 'host.vm',
    when: { event: ['pswpin', 'pswpout'] },
    name: 'system.paging.operations',
    unit: '{operation}',
    attributes: { event: 'system.paging.direction' },
    words: { pswpin: 'in', pswpout: 'out' },
    description: 'Pages swapped in and out.',
  },
  {
    stream: 'host.vm',
    name: 'flamekeeper.host.vm.events',
    unit: '{event}',
    description: "Events of memory management by the kernel's names.",
  },
  {
    stream: 'host.disk.operations',
    when: readWrite,
    name: 'system.disk.operations',
    unit: '{operation}',
    attributes: disk,
    description: 'Completed requests.',
  },
  {
    stream: 'host.disk.operations',
    name: 'flamekeeper.host.disk.operations',
    unit: '{operation}',
    description: 'Completed discards and flushes.',
  },
  {
    stream: 'host.disk.bytes',
    when: readWrite,
    name: 'system.disk.io',
    attributes: disk,
    description: 'Bytes of completed requests.',
  },
  {
    stream: 'host.disk.bytes',
    name: 'flamekeeper.host.disk.io',
    description: 'Bytes of completed discards.',
  },
  {
    stream: 'host.disk.merged',
    when: readWrite,
    name: 'system.disk.merged',
    unit: '{operation}',
    attributes: disk,
    description: 'Requests merged into others.',
  },
  {
    stream: 'host.disk.merged',
    name: 'flamekeeper.host.disk.merged',
    unit: '{operation}',
    description: 'Discards merged into others.',
  },
  {
    stream: 'host.disk.time',
    when: readWrite,
    name: 'system.disk.operation_time',
    attributes: disk,
    description: 'Time that completed requests took, summed.',
  },
  {
    stream: 'host.disk.time',
    name: 'flamekeeper.host.disk.operation_time',
    description: 'Time that completed discards and flushes took, summed.',
  },
  {
    stream: 'host.disk.busy',
    name: 'system.disk.io_time',
    description: 'Time with at least one request under way.',
  },
  {
    stream: 'host.disk.queue',
    name: 'flamekeeper.host.disk.queue_time',
    description: 'Time times requests under way.',
  },
  {
    stream: 'host.disk.in_flight',
    name: 'flamekeeper.host.disk.in_flight',
    unit: '{operation}',
    description: 'Requests under way.',
  },
  {
    stream: 'host.net.bytes',
    name: 'system.network.io',
    attributes: network,
    description: 'Bytes received and transmitted.',
  },
  {
    stream: 'host.net.packets',
    name: 'system.network.packet.count',
    unit: '{packet}',
    attributes: { direction: 'network.io.direction' },
    description: 'Packets received and transmitted.',
  },
  {
    stream: 'host.net.errors',
    when: { kind: ['errors'] },
    name: 'system.network.errors',
    unit: '{error}',
    attributes: { ...network, kind: '' },
    description: 'Errors of network interfaces.',
  },
  {
    stream: 'host.net.errors',
    when: { kind: ['dropped'] },
    name: 'system.network.packet.dropped',
    unit: '{packet}',
    attributes: { ...network, kind: '' },
    description: 'Packets dropped.',
  },
  {
    stream: 'host.net.errors',
    name: 'flamekeeper.host.net.errors',
    unit: '{packet}',
    attributes: network,
    description: 'Other errors of network interfaces.',
  },
  {
    stream: 'host.net.compressed',
    name: 'flamekeeper.host.net.compressed',
    unit: '{packet}',
    attributes: network,
    description: 'Compressed packets.',
  },
  {
    stream: 'host.net.multicast',
    name: 'flamekeeper.host.net.multicast',
    unit: '{packet}',
    attributes: { device: network.device },
    description: 'Multicast packets received.',
  },
  {
    stream: 'host.net.speed',
    name: 'flamekeeper.host.net.speed',
    attributes: { device: network.device },
    description: 'Speed of the link; 0 when not known.',
  },
  {
    stream: 'host.protocol',
    name: 'flamekeeper.host.protocol.events',
    unit: '{event}',
    description: "The kernel's counters of network protocols, by its names.",
  },
  {
    stream: 'host.tcp.connections',
    name: 'flamekeeper.host.tcp.connections',
    unit: '{connection}',
    description: 'TCP connections established or waiting to be closed.',
  },
  {
    stream: 'host.pressure',
    name: 'flamekeeper.host.pressure',
    description: 'Time in which some or all tasks waited for cpu, memory, io or irq.',
  },
  {
    stream: 'cgroup.cpu',
    onlyContainers: true,
    more: true,
    name: 'container.cpu.time',
    attributes: cpuMode,
    description: 'CPU time of a container.',
  },
  {
    stream: 'cgroup.cpu',
    name: 'flamekeeper.cgroup.cpu.time',
    attributes: cpuMode,
    description: 'CPU time of a control group and those below it.',
  },
  {
    stream: 'cgroup.throttled',
    name: 'flamekeeper.cgroup.cpu.throttled.time',
    description: 'Time that run queues of the group were throttled by its quota.',
  },
  {
    stream: 'cgroup.periods',
    name: 'flamekeeper.cgroup.cpu.periods',
    unit: '{period}',
    description: 'Periods of the quota, elapsed and throttled.',
  },
  {
    stream: 'cgroup.memory',
    onlyContainers: true,
    more: true,
    name: 'container.memory.usage',
    description: 'Memory charged to a container.',
  },
  {
    stream: 'cgroup.memory',
    name: 'flamekeeper.cgroup.memory.usage',
    description: 'Memory charged to a control group.',
  },
  {
    stream: 'cgroup.memory.events',
    name: 'flamekeeper.cgroup.memory.events',
    unit: '{event}',
    description: "Events of the group's memory by the kernel's names.",
  },
  {
    stream: 'perf.count',
    name: 'flamekeeper.perf.events',
    unit: '{event}',
    description: "Hardware and software counters by perf's names.",
  },
  {
    stream: 'perf.time',
    name: 'flamekeeper.perf.time',
    description: 'cpu-clock and task-clock.',
  },
  {
    stream: 'perf.scaled',
    name: 'flamekeeper.perf.scaled',
    description: 'Counters with a unit of their own, such as Joules.',
  },
  {
    stream: 'perf.shared',
    name: 'flamekeeper.perf.shared.time',
    description: 'Enabled and running time of counters that had to share the hardware.',
  },
  {
    stream: 'self.samples',
    name: 'flamekeeper.samples',
    unit: '{sample}',
    description: 'Samples expected, captured, idle, not fired and lost, in ticks.',
  },
  {
    stream: 'self.stacks',
    name: 'flamekeeper.stacks',
    unit: '{stack}',
    description: 'Stacks of captured samples by where they end.',
  },
  {
    stream: 'self.frames',
    name: 'flamekeeper.frames',
    unit: '{frame}',
    description: 'Frames of distinct stacks, named or not.',
  },
  {
    stream: 'self.cpu',
    name: 'flamekeeper.cpu.time',
    attributes: { thread: 'thread.name' },
    description: 'CPU time of the daemon.',
  },
  {
    stream: 'self.memory',
    name: 'flamekeeper.memory.usage',
    description: 'Memory of the daemon.',
  },
  {
    stream: 'self.maps',
    name: 'flamekeeper.bpf.map.fill',
    description: 'Share of a bounded BPF map that was in use.',
  },
  {
    stream: 'self.stall',
    name: 'flamekeeper.thread.stall',
    attributes: { thread: 'thread.name' },
    description: 'Longest time since the last flush in which a thread of the daemon was not to be had.',
  },
  { stream: 'self.store', name: 'flamekeeper.store.size', description: 'Size of the store.' },
  {
    stream: 'self.store.age',
    name: 'flamekeeper.store.age',
    description: 'Time since the oldest segment of the store began.',
  },
  {
    stream: 'self.flush',
    name: 'flamekeeper.flush.duration',
    description: 'How long flushes took.',
  },
  {
    stream: 'self.query',
    name: 'flamekeeper.query.duration',
    description: 'How long answers to queries took.',
  },
  {
    stream: 'self.export',
    name: 'flamekeeper.export.duration',
    description: 'How long exports took.',
  },
  {
    stream: 'self.bpf.runs',
    name: 'flamekeeper.bpf.program.runs',
    unit: '{run}',
    description: 'Runs of BPF programs, while the kernel counts them.',
  },
  {
    stream: 'self.bpf.time',
    name: 'flamekeeper.bpf.program.time',
    description: 'Time that BPF programs took, while the kernel measures it.',
  },
];
