// Texts of /proc -> readings: texts of this and of older kernels, and texts that are none.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { cgroupParsers } from '../../../collector/pipeline/cgroup-text.js';
import {
  countOf,
  countUserSessions,
  diskstatsParser,
  parseLoadavg,
  parseMeminfo,
  parseNetDev,
  parseProtocols,
  parseStat,
  parseUptime,
  parseVmstat,
  pressureParser,
} from '../../../collector/pipeline/host-text.js';
import type { HostParser } from '../../../collector/pipeline/host-text.js';
import { hostStreams } from '../../../storage/model/host-streams.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('host-text.test');

/** `stream key key value` a line; each reading has as many keys as its stream. */
function readings(parse: HostParser, text: string): string[] {
  const lines: string[] = [];
  parse(text, (stream, value, ...given) => {
    const keys = given.filter((key) => key !== undefined);
    assert.equal(keys.length, hostStreams[stream].info.fields?.length, stream);
    assert.ok(Number.isFinite(value) && value >= 0, `${stream} ${value}`);
    lines.push([stream, ...keys, value].join(' '));
  });
  return lines;
}

function recorded(name: string): string {
  return readFileSync(`test/fixtures/proc/before/${name}`, 'utf8');
}

test('stat: CPU modes of each CPU, sums of events, tasks', () => {
  const text = [
    'cpu  34466 0 6237 178905 1014 0 119 124 0 0',
    'cpu0 11627 0 2339 96335 47 0 18 57 5 1',
    'cpu3 22838 0 3898',
    'intr 726543 0 0 12 0',
    'ctxt 967505',
    'btime 1795755358',
    'processes 18105',
    'procs_running 3',
    'procs_blocked 0',
    'softirq 298757 0 34574',
    '',
  ].join('\n');
  assert.deepEqual(readings(parseStat, text), [
    'cpu 0 user 116270',
    'cpu 0 nice 0',
    'cpu 0 system 23390',
    'cpu 0 idle 963350',
    'cpu 0 iowait 470',
    'cpu 0 irq 0',
    'cpu 0 softirq 180',
    'cpu 0 steal 570',
    'cpu 0 guest 50',
    'cpu 0 guest_nice 10',
    'cpu 3 user 228380',
    'cpu 3 nice 0',
    'cpu 3 system 38980',
    'system interrupts 726543',
    'system context_switches 967505',
    'system forks 18105',
    'tasks running 3',
    'tasks blocked 0',
    'system softirqs 298757',
  ]);
});

test('loadavg and uptime', () => {
  assert.deepEqual(readings(parseLoadavg, '3.00 0.91 0.42 3/163 18103\n'), [
    'load 1 3',
    'load 5 0.91',
    'load 15 0.42',
    'tasks threads 163',
  ]);
  assert.deepEqual(readings(parseUptime, '1600.67 3000.10\n'), ['uptime 1600.67']);
  assert.deepEqual(readings(parseLoadavg, 'x y'), []);
});

test('meminfo and vmstat: known names alone, in bytes and in events', () => {
  const text = 'MemTotal:       24684084 kB\nMemNew:  5 kB\nHugePages_Total:       0\nDirty:  12 kB\n';
  assert.deepEqual(readings(parseMeminfo, text), ['memory MemTotal 25276502016', 'memory Dirty 12288']);
  assert.deepEqual(readings(parseVmstat, 'nr_free_pages 7\npgfault 12\npswpin x\noom_kill 1\n'), [
    'vm pgfault 12',
    'vm oom_kill 1',
  ]);
});

test('diskstats: columns of 4.18, 5.5 and before; partitions and idle devices left out', () => {
  const parse = diskstatsParser((device) => device !== 'sda1');
  const old = '   8       0 sda 10 1 20 3 40 5 60 7 8 9 100\n   8       1 sda1 9 1 20 3 40 5 60 7 8 9 100\n';
  assert.deepEqual(readings(parse, old), [
    'diskOperations sda read 10',
    'diskMerged sda read 1',
    'diskTime sda read 3',
    'diskBytes sda read 10240',
    'diskOperations sda write 40',
    'diskMerged sda write 5',
    'diskTime sda write 7',
    'diskBytes sda write 30720',
    'diskInFlight sda 8',
    'diskBusy sda 9',
    'diskQueue sda 100',
  ]);
  const now = ' 254       0 vda 1 0 8 1 0 0 0 0 0 1 1 11 12 13 14 15 16 17 18\n   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n';
  assert.deepEqual(
    readings(parse, now).filter((line) => /discard|flush|loop/.test(line)),
    [
      'diskOperations vda discard 11',
      'diskMerged vda discard 12',
      'diskTime vda discard 14',
      'diskBytes vda discard 6656',
      'diskOperations vda flush 15',
      'diskTime vda flush 16',
    ],
  );
});

test('net/dev: an interface whose name holds a colon, and no space before the first number', () => {
  const line = 'eth0:1:1 2 3 4 5 6 7 8 11 12 13 14 15 16 17 18\n';
  const found = readings(parseNetDev, `Inter-|   Receive\n face |bytes\n${line}`);
  assert.equal(found.length, 16);
  assert.deepEqual(
    found.filter((each) => /Bytes|Multicast|carrier|collisions/.test(each)),
    [
      'netBytes eth0:1 receive 1',
      'netMulticast eth0:1 8',
      'netBytes eth0:1 transmit 11',
      'netErrors eth0:1 transmit collisions 16',
      'netErrors eth0:1 transmit carrier 17',
    ],
  );
});

test('net/snmp and net/netstat: counters by name, settings left out, zeros not told', () => {
  const text =
    'Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 3461\n' +
    'Tcp: MaxConn ActiveOpens CurrEstab RetransSegs New\nTcp: -1 32 0 5 6\n' +
    'TcpExt: TW\nOther: 1\n';
  assert.deepEqual(readings(parseProtocols, text), [
    'protocol Ip InReceives 3461',
    'protocol Tcp ActiveOpens 32',
    'protocol Tcp RetransSegs 5',
    'protocol Tcp New 6',
    'tcpConnections 0',
  ]);
});

test('pressure: totals, also before cpu had a full line', () => {
  const text = 'some avg10=62.80 avg60=27.26 avg300=7.71 total=42449181\n';
  assert.deepEqual(readings(pressureParser('cpu'), text), ['pressure cpu some 42449181']);
  assert.equal(readings(pressureParser('io'), recorded('pressure/io')).length, 2);
});

test('utmp: user sessions alone', () => {
  const utmp = Buffer.alloc(3 * 384 + 10);
  [7, 2, 7].forEach((type, i) => utmp.writeInt16LE(type, i * 384));
  assert.equal(countUserSessions(utmp), 2);
});

test('cgroups of both versions', () => {
  const of = (file: string, text: string) =>
    readings((t, tell) => cgroupParsers[file]!(t, '/a', tell), text);
  const v2 = 'usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\n';
  assert.deepEqual(of('cpu.stat', v2), [
    'cgroupCpu /a user 5',
    'cgroupCpu /a system 4',
    'cgroupPeriods /a elapsed 3',
    'cgroupPeriods /a throttled 2',
    'cgroupThrottled /a 7',
  ]);
  assert.deepEqual(of('cpu.stat', 'nr_periods 3\nnr_throttled 2\nthrottled_time 7999\n').at(-1), 'cgroupThrottled /a 7');
  assert.deepEqual(of('cpuacct.usage_user', '1999\n'), ['cgroupCpu /a user 1']);
  assert.deepEqual(of('memory.events', 'low 1\nhigh 0\noom_kill 2\nnew 5\n'), [
    'cgroupMemoryEvents /a low 1',
    'cgroupMemoryEvents /a high 0',
    'cgroupMemoryEvents /a oom_kill 2',
  ]);
  assert.deepEqual(of('memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n'), [
    'cgroupMemoryEvents /a oom_kill 2',
  ]);
  assert.deepEqual(of('memory.current', '4096\n'), ['cgroupMemory /a 4096']);
  assert.deepEqual(of('memory.current', 'max\n'), []);
});

const parsers: Readonly<Record<string, HostParser>> = {
  stat: parseStat,
  loadavg: parseLoadavg,
  uptime: parseUptime,
  meminfo: parseMeminfo,
  vmstat: parseVmstat,
  diskstats: diskstatsParser(() => true),
  'net/dev': parseNetDev,
  'net/snmp': parseProtocols,
  'net/netstat': parseProtocols,
  'pressure/cpu': pressureParser('cpu'),
};

test('any text gives readings that the streams can hold, no more than it has characters', () => {
  for (const [name, parse] of Object.entries(parsers)) {
    const real = recorded(name);
    const broken = fc
      .tuple(fc.nat(real.length), fc.nat(200), fc.string())
      .map(([at, cut, text]) => real.slice(0, at) + text + real.slice(at + cut));
    fc.assert(
      fc.property(fc.oneof(fc.string(), broken), (text) => {
        assert.ok(readings(parse, text).length <= text.length);
      }),
      { numRuns: 200 },
    );
  }
});

test('a count is digits alone', () => {
  for (const word of ['', ' 1', '-1', '1.5', '0x1', '1e3', 'Infinity', '1'.repeat(21), undefined]) {
    assert.equal(countOf(word), undefined);
  }
  assert.equal(countOf('18446744073709551615'), 2 ** 64);
});
