// uptime, vmstat and mpstat: how busy the CPUs are, with what, and who waits for them.

import { groupDigits } from '../../exporters/formats/text.js';
import { formatTime } from '../window.js';
import type { HostFacts, StreamFacts } from './facts.js';
import type { Mark, View } from './view.js';
import { missingView } from './view.js';

const kib = 1024;

/** Of one CPU or all: CPU time by mode, as shares of all of it. */
export interface CpuShares {
  readonly name: string;
  /** Percent by the kernel's name of the mode; guest is part of user. */
  readonly percent: Readonly<Record<CpuMode, number>>;
}

const busyModes = ['user', 'nice', 'system', 'irq', 'softirq', 'steal'] as const;
const modes = [...busyModes, 'iowait', 'idle', 'guest', 'guest_nice'] as const;
type CpuMode = (typeof modes)[number];

/** All of them first, then each by its number. */
export function cpuShares({ values }: StreamFacts): CpuShares[] {
  const sums = new Map<string, Record<CpuMode, number>>([['all', emptyTimes()]]);
  for (const [key, ms] of values) {
    const [cpu = '', mode = ''] = key.split(' ');
    if (!isMode(mode)) continue;
    const times = sums.get(cpu) ?? emptyTimes();
    times[mode] += ms;
    sums.get('all')![mode] += ms;
    sums.set(cpu, times);
  }
  return [...sums]
    .sort(([a], [b]) => (a === 'all' ? -1 : b === 'all' ? 1 : Number(a) - Number(b)))
    .map(([name, times]) => ({ name, percent: percentOf(times) }));
}

function emptyTimes(): Record<CpuMode, number> {
  return Object.fromEntries(modes.map((mode) => [mode, 0])) as Record<CpuMode, number>;
}

function isMode(mode: string): mode is CpuMode {
  return (modes as readonly string[]).includes(mode);
}

/** Time of guests is in user and nice already. */
function percentOf(times: Record<CpuMode, number>): Record<CpuMode, number> {
  const whole = times.idle + times.iowait + busyModes.reduce((sum, mode) => sum + times[mode], 0);
  const shares = modes.map((mode) => [mode, whole === 0 ? 0 : (100 * times[mode]) / whole]);
  return Object.fromEntries(shares) as Record<CpuMode, number>;
}

export function uptimeView({ streams, untilUnixNs }: HostFacts): View {
  const tool = 'uptime';
  const load = [1, 5, 15].map((minutes) => streams.load?.values.get(String(minutes)));
  if (load.some((value) => value === undefined)) return missingView(tool, 'load averages');
  const users = streams.users?.values.get('');
  const parts = [
    `up ${uptimeText(streams.uptime?.values.get(''))}`,
    `${users ?? '-'} user${users === 1 ? '' : 's'}`,
    `load average: ${load.map((value) => value!.toFixed(2)).join(', ')}`,
  ];
  const cpus = cpuCount(streams.cpu);
  const marks: Mark[] = [];
  if (cpus > 0 && load[0]! > cpus) {
    const share = (load[0]! / cpus).toFixed(1);
    const what = `${share} tasks a CPU run, wait for it or for a disk`;
    const why = `load ${load[0]!.toFixed(2)} on ${cpus} CPUs: ${what}`;
    marks.push({ kind: 'saturation', why });
  }
  return { tool, lines: [`${formatTime(untilUnixNs)}  ${parts.join(',  ')}`], tables: [], marks };
}

export function cpuCount(cpu: StreamFacts | undefined): number {
  return cpu === undefined ? 0 : cpuShares(cpu).length - 1;
}

/** As uptime writes it: `3 days,  4:05`, `25 min`. */
export function uptimeText(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  const minutes = Math.floor(seconds / 60) % 60;
  const hours = Math.floor(seconds / 3600) % 24;
  const days = Math.floor(seconds / 86400);
  const dayText = days === 0 ? '' : `${days} day${days === 1 ? '' : 's'}, `;
  if (hours === 0) return `${dayText}${minutes} min`;
  return `${dayText}${String(hours).padStart(2)}:${String(minutes).padStart(2, '0')}`;
}

/** `gu` is of procps 4.0.4; before, guests were in no column. */
const vmstatTitles = 'r b swpd free buff cache si so bi bo in cs us sy id wa st gu'.split(' ');

export function vmstatView({ streams }: HostFacts): View {
  const tool = 'vmstat';
  const { tasks, memory, vm, system, cpu } = streams;
  if (memory === undefined || vm === undefined || system === undefined || cpu === undefined) {
    return missingView(tool, '/proc/stat, meminfo, vmstat');
  }
  const memoryKib = (kind: string) => (memory.values.get(kind) ?? 0) / kib;
  const rate = ({ values, seconds }: StreamFacts, key: string) => (values.get(key) ?? 0) / seconds;
  const { percent } = cpuShares(cpu)[0]!;
  const guests = percent.guest + percent.guest_nice;
  const swapKib = (key: string) => rate(vm, key) * (pageBytes / kib);
  const running = tasks?.values.get('running');
  const row = [
    running,
    tasks?.values.get('blocked'),
    memoryKib('SwapTotal') - memoryKib('SwapFree'),
    memoryKib('MemFree'),
    memoryKib('Buffers'),
    memoryKib('Cached') + memoryKib('SReclaimable'),
    swapKib('pswpin'),
    swapKib('pswpout'),
    rate(vm, 'pgpgin'),
    rate(vm, 'pgpgout'),
    rate(system, 'interrupts'),
    rate(system, 'context_switches'),
    percent.user + percent.nice - guests,
    percent.system + percent.irq + percent.softirq,
    percent.idle,
    percent.iowait,
    percent.steal,
    guests,
  ];
  const marks: Mark[] = [];
  const cpus = cpuCount(cpu);
  if (running !== undefined && running > cpus) {
    marks.push({
      kind: 'saturation',
      why: `r ${running}: more threads want to run than the ${cpus} CPUs`,
    });
  }
  const swapped = swapKib('pswpin') + swapKib('pswpout');
  if (swapped > 0) {
    const why = `si + so ${groupDigits(swapped)} KiB/s: memory is short, pages move to and from swap`;
    marks.push({ kind: 'saturation', why });
  }
  marks.push(...pressureMarks(streams.pressure));
  return {
    tool,
    lines: [],
    tables: [{ columns: vmstatTitles.map((title) => ({ title })), rows: [row] }],
    marks,
  };
}

/** x86-64's, the one architecture supported. */
const pageBytes = 4096;

/** Percent of the time in which tasks waited, above which it is worth a look. */
const pressureLimits = [
  ['cpu some', 20, 'some tasks waited for a CPU'],
  ['memory some', 5, 'some tasks waited for memory'],
  ['memory full', 1, 'all tasks waited for memory'],
  ['io some', 20, 'some tasks waited for a disk'],
  ['io full', 10, 'all tasks waited for a disk'],
] as const;

function pressureMarks(pressure: StreamFacts | undefined): Mark[] {
  if (pressure === undefined) return [];
  return pressureLimits.flatMap(([key, limit, what]): Mark[] => {
    const percent = (pressure.values.get(key) ?? 0) / 1e4 / pressure.seconds;
    if (percent <= limit) return [];
    return [{ kind: 'saturation', why: `pressure ${key} ${percent.toFixed(1)} %: ${what}` }];
  });
}

const mpstatTitles = '%usr %nice %sys %iowait %irq %soft %steal %guest %gnice %idle'.split(' ');

export function mpstatView({ streams: { cpu } }: HostFacts): View {
  const tool = 'mpstat -P ALL';
  if (cpu === undefined) return missingView(tool, '/proc/stat');
  const shares = cpuShares(cpu);
  const rows = shares.map(({ name, percent: p }) => [
    name,
    p.user - p.guest,
    p.nice - p.guest_nice,
    p.system,
    p.iowait,
    p.irq,
    p.softirq,
    p.steal,
    p.guest,
    p.guest_nice,
    p.idle,
  ]);
  const columns = [{ title: 'CPU' }, ...mpstatTitles.map((title) => ({ title, decimals: 2 }))];
  return { tool, lines: [], tables: [{ columns, rows }], marks: mpstatMarks(shares) };
}

function mpstatMarks(shares: readonly CpuShares[]): Mark[] {
  const [all, ...each] = shares;
  const marks: Mark[] = [];
  const busy = ({ percent }: CpuShares) => 100 - percent.idle - percent.iowait;
  if (busy(all!) > 90) {
    marks.push({ kind: 'utilisation', why: `CPUs ${busy(all!).toFixed(1)} % busy` });
  } else {
    for (const cpu of each.filter((one) => busy(one) > 90)) {
      const together = `all together ${busy(all!).toFixed(1)} %: one thread's limit?`;
      const why = `CPU ${cpu.name} ${busy(cpu).toFixed(1)} % busy, ${together}`;
      marks.push({ kind: 'utilisation', why });
    }
  }
  for (const cpu of each) {
    const { softirq, irq, steal } = cpu.percent;
    if (steal > 5) {
      const why = `CPU ${cpu.name} %steal ${steal.toFixed(1)}: the hypervisor gives the time to others`;
      marks.push({ kind: 'saturation', why });
    }
    if (softirq + irq > 30) {
      const why = `CPU ${cpu.name} %irq + %soft ${(softirq + irq).toFixed(1)}: interrupts take it`;
      marks.push({ kind: 'utilisation', why });
    }
  }
  return marks;
}
