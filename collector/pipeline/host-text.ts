// Text of /proc about the whole host -> readings. Pure and tolerant: a line or a column that is not
// known is passed over, one that is missing is not told; nothing throws. What is told is bounded by
// the length of the text. Hot path: some of it runs each second.
// Source: proc(5); Documentation/admin-guide/iostats.rst, Documentation/accounting/psi.rst.

import type { HostStreamName } from '../../storage/model/host-streams.js';

/** Takes one reading: a counter as it stands since the kernel began to count, a gauge as it is.
 *  **Shape**: as many keys as the stream has key fields. */
export type Tell = (
  stream: HostStreamName,
  value: number,
  key0?: string | number,
  key1?: string | number,
  key2?: string | number,
) => void;

export type HostParser = (text: string, tell: Tell) => void;

const TICK_MS = 10;
const SECTOR_BYTES = 512;

const cpuModes = [
  'user',
  'nice',
  'system',
  'idle',
  'iowait',
  'irq',
  'softirq',
  'steal',
  'guest',
  'guest_nice',
];

const statEvents: Readonly<Record<string, string>> = {
  intr: 'interrupts',
  softirq: 'softirqs',
  ctxt: 'context_switches',
  processes: 'forks',
};

/** /proc/stat. */
export function parseStat(text: string, tell: Tell): void {
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    const label = line.slice(0, space);
    if (label.startsWith('cpu') && label.length > 3) {
      const cpu = countOf(label.slice(3));
      if (cpu === undefined) continue;
      const ticks = line.slice(space + 1).split(' ', cpuModes.length);
      for (let i = 0; i < ticks.length; i++) {
        const count = countOf(ticks[i]);
        if (count !== undefined) tell('cpu', count * TICK_MS, cpu, cpuModes[i]!);
      }
      continue;
    }
    // The line of interrupts has a number for each of them; the first is their sum.
    const count = countOf(firstWord(line, space + 1));
    if (count === undefined) continue;
    const event = statEvents[label];
    if (event !== undefined) tell('system', count, event);
    else if (label === 'procs_running') tell('tasks', count, 'running');
    else if (label === 'procs_blocked') tell('tasks', count, 'blocked');
  }
}

/** /proc/loadavg: `0.20 0.18 0.12 1/80 11206`. */
export function parseLoadavg(text: string, tell: Tell): void {
  const words = text.split(/\s+/, 4);
  [1, 5, 15].forEach((minutes, i) => {
    const load = /^\d+\.\d+$/.test(words[i] ?? '') ? Number(words[i]) : undefined;
    if (load !== undefined) tell('load', load, minutes);
  });
  const threads = countOf(words[3]?.split('/')[1]);
  if (threads !== undefined) tell('tasks', threads, 'threads');
}

/** /proc/uptime: seconds since boot, and those that CPUs were idle. */
export function parseUptime(text: string, tell: Tell): void {
  const word = firstWord(text, 0);
  if (/^\d+(?:\.\d+)?$/.test(word)) tell('uptime', Number(word));
}

const memoryKinds = new Set(
  (
    'MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Unevictable ' +
    'SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab ' +
    'SReclaimable SUnreclaim KernelStack PageTables CommitLimit Committed_AS Percpu ' +
    'AnonHugePages Hugetlb'
  ).split(' '),
);

/** /proc/meminfo. */
export function parseMeminfo(text: string, tell: Tell): void {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const kind = line.slice(0, colon);
    if (!memoryKinds.has(kind) || !line.endsWith(' kB')) continue;
    const kilobytes = countOf(line.slice(colon + 1, -3).trim());
    if (kilobytes !== undefined) tell('memory', kilobytes * 1024, kind);
  }
}

const vmEvents = new Set(
  (
    'pgpgin pgpgout pswpin pswpout pgfault pgmajfault pgscan_kswapd pgscan_direct ' +
    'pgsteal_kswapd pgsteal_direct allocstall_normal allocstall_movable ' +
    'workingset_refault_anon workingset_refault_file compact_stall compact_fail oom_kill ' +
    'thp_fault_alloc thp_collapse_alloc numa_pages_migrated'
  ).split(' '),
);

/** /proc/vmstat. */
export function parseVmstat(text: string, tell: Tell): void {
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    const event = line.slice(0, space);
    if (!vmEvents.has(event)) continue;
    const count = countOf(line.slice(space + 1));
    if (count !== undefined) tell('vm', count, event);
  }
}

/** Columns of each direction in /proc/diskstats, from the first behind the name. */
const diskDirections = [
  { direction: 'read', operations: 0, merged: 1, sectors: 2, time: 3 },
  { direction: 'write', operations: 4, merged: 5, sectors: 6, time: 7 },
  { direction: 'discard', operations: 11, merged: 12, sectors: 13, time: 14 },
  { direction: 'flush', operations: 15, merged: undefined, sectors: undefined, time: 16 },
];
const DISK_COLUMNS = 17;
const DISK_IN_FLIGHT = 8;
const DISK_BUSY = 9;
const DISK_QUEUE = 10;

/** /proc/diskstats, of the devices that `isWhole` says are no partitions. Those that never had a
 *  request are passed over. Discards came in 4.18, flushes in 5.5. */
export function diskstatsParser(isWhole: (device: string) => boolean): HostParser {
  return (text, tell) => {
    for (const [, device, numbers] of text.matchAll(/^ *\d+ +\d+ (\S+) +(.*)$/gm)) {
      if (device === undefined || numbers === undefined) continue;
      const words = numbers.split(' ', DISK_COLUMNS);
      const column = (i: number | undefined) => (i === undefined ? undefined : countOf(words[i]));
      if (!diskDirections.some(({ operations }) => (column(operations) ?? 0) > 0)) continue;
      if (!isWhole(device)) continue;
      for (const { direction, operations, merged, sectors, time } of diskDirections) {
        const bytes = column(sectors);
        tellIfKnown(tell, 'diskOperations', column(operations), device, direction);
        tellIfKnown(tell, 'diskMerged', column(merged), device, direction);
        tellIfKnown(tell, 'diskTime', column(time), device, direction);
        if (bytes !== undefined) tell('diskBytes', bytes * SECTOR_BYTES, device, direction);
      }
      tellIfKnown(tell, 'diskInFlight', column(DISK_IN_FLIGHT), device);
      tellIfKnown(tell, 'diskBusy', column(DISK_BUSY), device);
      tellIfKnown(tell, 'diskQueue', column(DISK_QUEUE), device);
    }
  };
}

/** Columns of /proc/net/dev behind the colon: of a stream, and its further keys. */
const netColumns: readonly (readonly [HostStreamName, ...string[]])[] = [
  ['netBytes', 'receive'],
  ['netPackets', 'receive'],
  ['netErrors', 'receive', 'errors'],
  ['netErrors', 'receive', 'dropped'],
  ['netErrors', 'receive', 'fifo'],
  ['netErrors', 'receive', 'frame'],
  ['netCompressed', 'receive'],
  ['netMulticast'],
  ['netBytes', 'transmit'],
  ['netPackets', 'transmit'],
  ['netErrors', 'transmit', 'errors'],
  ['netErrors', 'transmit', 'dropped'],
  ['netErrors', 'transmit', 'fifo'],
  ['netErrors', 'transmit', 'collisions'],
  ['netErrors', 'transmit', 'carrier'],
  ['netCompressed', 'transmit'],
];

/** /proc/net/dev. The name of an interface may hold a colon. */
export function parseNetDev(text: string, tell: Tell): void {
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const device = line.slice(0, colon).trim();
    const words = line.slice(colon + 1).trim().split(/ +/, netColumns.length);
    for (let i = 0; i < words.length; i++) {
      const [stream, key1, key2] = netColumns[i]!;
      tellIfKnown(tell, stream, countOf(words[i]), device, key1, key2);
    }
  }
}

/** What stands among the protocols' counters and is none. */
const protocolSettings = new Set([
  'Ip Forwarding',
  'Ip DefaultTTL',
  'Tcp RtoAlgorithm',
  'Tcp RtoMin',
  'Tcp RtoMax',
  'Tcp MaxConn',
  'Tcp CurrEstab',
  'MPTcpExt MPCurrEstab',
]);

/** /proc/net/snmp and /proc/net/netstat: a line of names, then one of numbers. */
export function parseProtocols(text: string, tell: Tell): void {
  const lines = text.split('\n');
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const names = lines[i]!.split(' ');
    const values = lines[i + 1]!.split(' ');
    const protocol = names[0]!.replace(/:$/, '');
    if (names[0] !== values[0] || protocol === '') continue;
    for (let n = 1; n < names.length; n++) {
      // Nearly all are 0, and stay so.
      if (values[n] === '0' || names[n] === '') continue;
      const count = countOf(values[n]);
      if (count === undefined) continue;
      const isSetting = protocolSettings.has(`${protocol} ${names[n]}`);
      if (!isSetting) tell('protocol', count, protocol, names[n]);
    }
    const established = names.indexOf('CurrEstab');
    if (protocol === 'Tcp') tellIfKnown(tell, 'tcpConnections', countOf(values[established]));
  }
}

/** A file of /proc/pressure: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
export function pressureParser(resource: string): HostParser {
  return (text, tell) => {
    for (const [, kind, total] of text.matchAll(/^(some|full) .{0,200}?\btotal=(\d{1,20})\b/gm)) {
      tell('pressure', Number(total), resource, kind);
    }
  };
}

/** Sessions of users in /run/utmp, records of 384 bytes that begin with their type. */
export function countUserSessions(utmp: Buffer): number {
  const recordBytes = 384;
  const userProcess = 7;
  let sessions = 0;
  for (let at = 0; at + recordBytes <= utmp.length; at += recordBytes) {
    if (utmp.readInt16LE(at) === userProcess) sessions++;
  }
  return sessions;
}

function tellIfKnown(
  tell: Tell,
  stream: HostStreamName,
  value: number | undefined,
  key0?: string,
  key1?: string,
  key2?: string,
): void {
  if (value !== undefined) tell(stream, value, key0, key1, key2);
}

function firstWord(line: string, from: number): string {
  const end = line.indexOf(' ', from);
  return end < 0 ? line.slice(from) : line.slice(from, end);
}

/** A number of digits alone; undefined for all else. Beyond 2^53 it is not exact. */
export function countOf(word: string | undefined): number | undefined {
  if (word === undefined || word.length === 0 || word.length > 20) return undefined;
  for (let i = 0; i < word.length; i++) {
    const digit = word.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return undefined;
  }
  return Number(word);
}
