// The files of a host, from a tree that the test wrote: what is missing, what comes later, what is a
// partition, what a link's speed is.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { HostFiles, LinkSpeeds } from '../../../collector/host/host-files.js';
import type { Tell } from '../../../collector/pipeline/host-text.js';
import { Readings } from '../../../collector/pipeline/readings.js';

const folder = mkdtempSync(join(tmpdir(), 'fk-host-'));
after(() => rmSync(folder, { recursive: true }));
const roots = { proc: join(folder, 'proc'), sys: join(folder, 'sys'), run: join(folder, 'run') };

function write(path: string, text: string): void {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** In place: files are kept open. */
function writeProc(recorded: string): void {
  for (const name of readdirSync(recorded, { recursive: true, encoding: 'utf8' })) {
    const path = join(recorded, name);
    if (statSync(path).isFile()) write(join('proc', name), readFileSync(path, 'utf8'));
  }
}

function told(read: (tell: Tell) => void): string[] {
  const lines: string[] = [];
  read((...args) => lines.push(args.filter((arg) => arg !== undefined).join(' ')));
  return lines;
}

test('what was added in ten recorded seconds of a host', () => {
  writeProc('test/fixtures/proc/before');
  mkdirSync(join(roots.sys, 'block', 'vda'), { recursive: true });
  const files = new HostFiles(roots);
  const readings = new Readings({ maxSeries: 1000 });
  readings.begin();
  const missing = files.read(readings.tell);
  readings.take();
  assert.deepEqual(
    missing.map((path) => path.slice(folder.length)),
    ['/proc/pressure/irq', '/run/utmp'],
  );
  writeProc('test/fixtures/proc/after');
  readings.begin();
  files.read(readings.tell);
  const { series, values } = readings.take();
  const rows = new Map(
    series.map(({ stream, keys }, i) => [[stream, ...keys].join(' '), values[i]!]),
  );
  // Two CPUs for ten seconds, in all modes but those that user and nice hold already.
  const cpuMs = [...rows].flatMap(([name, value]) =>
    name.startsWith('cpu ') && !name.includes('guest') ? [value] : [],
  );
  const sumMs = cpuMs.reduce((sum, value) => sum + value, 0);
  assert.ok(Math.abs(sumMs - 20_000) < 600, `${sumMs} ms`);
  // By hand from the two texts, as `diff` shows them.
  const expected = {
    'cpu 0 user': 7840,
    'cpu 1 steal': 10,
    'system interrupts': 21_575,
    'system context_switches': 24_904,
    'system forks': 279,
    'vm pgfault': 209_104,
    'vm pgpgout': 11_548,
    'diskOperations vda read': 46,
    'diskOperations vda write': 316,
    'diskOperations vda discard': 371,
    'diskOperations vda flush': 88,
    'diskBytes vda write': 23_088 * 512,
    'diskMerged vda write': 39,
    'diskTime vda write': 44,
    'diskBusy vda': 72,
    'diskQueue vda': 102,
    'netBytes eth0 receive': 584,
    'netBytes eth0 transmit': 620,
    'protocol Tcp InSegs': 6,
    'protocol Tcp OutRsts': 4,
    tcpConnections: 0,
    'pressure cpu some': 4_757_596,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(rows.get(name), value, name);
  files.close();
});

test('a file that comes later is found; one that goes is missing', () => {
  const files = new HostFiles(roots);
  assert.ok(!told((tell) => files.read(tell)).some((line) => line.startsWith('pressure irq')));
  write('proc/pressure/irq', 'full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n');
  for (let i = 0; i < 30; i++) files.read(() => undefined);
  assert.ok(told((tell) => files.read(tell)).includes('pressure 5 irq full'));
  files.close();
});

test('a partition is none of the devices, a disk that comes later is', () => {
  const files = new HostFiles(roots);
  const disks = () =>
    told((tell) => files.read(tell))
      .filter((line) => line.startsWith('diskInFlight'))
      .map((line) => line.split(' ')[2]);
  const line = (name: string) => `   8 0 ${name} 1 0 0 0 0 0 0 0 0 0 0\n`;
  write('proc/diskstats', line('vda') + line('vda1'));
  assert.deepEqual(disks(), ['vda']);
  mkdirSync(join(roots.sys, 'block', 'cciss!c0d0'), { recursive: true });
  write('proc/diskstats', line('vda') + line('vda1') + line('cciss/c0d0'));
  assert.deepEqual(disks(), ['vda', 'cciss/c0d0']);
  files.close();
});

test('links: speed and duplex, or what stands for none', () => {
  write('sys/class/net/eth0/speed', '10000\n');
  write('sys/class/net/eth0/duplex', 'full\n');
  write('sys/class/net/veth1/speed', '-1\n');
  write('sys/class/net/veth1/duplex', 'unknown\n');
  mkdirSync(join(roots.sys, 'class', 'net', 'lo'));
  const links = new LinkSpeeds(6, roots);
  const expected = ['netSpeed 0 lo unknown', 'netSpeed 0 veth1 unknown', 'netSpeed 10000 eth0 full'];
  assert.deepEqual(told((tell) => links.read(tell)).toSorted(), expected);
});
