// The files of /proc about the whole host, by one table: path, parser, the streams it tells of, and how
// they are kept each second.

import type { HostStreamName } from '../../storage/model/host-streams.js';
import {
  diskstatsParser,
  parseLoadavg,
  parseMeminfo,
  parseNetDev,
  parseProtocols,
  parseStat,
  parseUptime,
  parseVmstat,
  pressureParser,
} from './host-text.js';
import type { HostParser } from './host-text.js';

export interface HostSource {
  /** Below /proc. */
  readonly path: string;
  readonly parse: HostParser;
  readonly streams: readonly HostStreamName[];
  /** What is kept of the file each second; undefined: nothing. */
  readonly seconds?: SecondsPart;
}

/** The first `maxBytes` of the file, without what `cut` leaves out. */
export interface SecondsPart {
  readonly maxBytes: number;
  readonly cut?: (bytes: Buffer) => readonly Buffer[];
}

/** Bounds what one second takes of a host with very many disks or interfaces. */
const MAX_SECOND_BYTES = 32 << 10;
/** 28 lines of 28 bytes: all but the last of what is told. */
const MEMINFO_BYTES = 784;
const each: SecondsPart = { maxBytes: MAX_SECOND_BYTES };

/** `isWhole`: of a block device, that it is no partition. */
export function hostSources(isWhole: (device: string) => boolean): readonly HostSource[] {
  const disks = ['Operations', 'Bytes', 'Merged', 'Time', 'Busy', 'Queue', 'InFlight'] as const;
  const nets = ['Bytes', 'Packets', 'Errors', 'Compressed', 'Multicast'] as const;
  return [
    {
      path: 'stat',
      parse: parseStat,
      streams: ['cpu', 'system', 'tasks'],
      seconds: { maxBytes: 8 * MAX_SECOND_BYTES, cut: cutInterrupts },
    },
    {
      path: 'meminfo',
      parse: parseMeminfo,
      streams: ['memory'],
      seconds: { maxBytes: MEMINFO_BYTES },
    },
    {
      path: 'diskstats',
      parse: diskstatsParser(isWhole),
      streams: disks.map((name) => `disk${name}` as const),
      seconds: each,
    },
    {
      path: 'net/dev',
      parse: parseNetDev,
      streams: nets.map((name) => `net${name}` as const),
      seconds: each,
    },
    ...['cpu', 'memory', 'io', 'irq'].map(
      (resource): HostSource => ({
        path: `pressure/${resource}`,
        parse: pressureParser(resource),
        streams: ['pressure'],
        seconds: each,
      }),
    ),
    { path: 'loadavg', parse: parseLoadavg, streams: ['load', 'tasks'] },
    { path: 'uptime', parse: parseUptime, streams: ['uptime'] },
    { path: 'vmstat', parse: parseVmstat, streams: ['vm'] },
    { path: 'net/snmp', parse: parseProtocols, streams: ['protocol', 'tcpConnections'] },
    { path: 'net/netstat', parse: parseProtocols, streams: ['protocol'] },
  ];
}

/** The line `intr SUM ...` has a number for each interrupt, thousands of them; the sum is kept. */
function cutInterrupts(bytes: Buffer): readonly Buffer[] {
  const line = bytes.indexOf('\nintr ');
  const sumEnd = line < 0 ? -1 : bytes.indexOf(' ', line + 6);
  const lineEnd = sumEnd < 0 ? -1 : bytes.indexOf('\n', sumEnd);
  if (lineEnd < 0) return [bytes.subarray(0, MAX_SECOND_BYTES)];
  const [before, after] = [bytes.subarray(0, sumEnd), bytes.subarray(lineEnd)];
  return before.length + after.length > MAX_SECOND_BYTES ? [] : [before, after];
}
