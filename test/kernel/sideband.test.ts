// Side-band rings, table and /proc together on this host: what a spawner's children did is known when they
// are gone, and nothing of them stays behind.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onlineCpus } from '../../collector/host/cpus.js';
import { readProcess, readProcesses } from '../../collector/process/proc-files.js';
import type { SidebandEvent } from '../../collector/process/sideband-records.js';
import { SidebandRings } from '../../collector/process/sideband-rings.js';
import { ProcessTable } from '../../collector/process/table.js';
import { clockOffsets } from '../../ffi/libc.js';

const CHILDREN = 300;
const skip = process.getuid?.() === 0 ? false : 'needs root: perf events of all CPUs';

/** Everything up to 20 ms ago. */
function readInto(rings: SidebandRings, table: ProcessTable): SidebandEvent[] {
  const horizonNs = table.tableNs(process.hrtime.bigint() - 20_000_000n);
  const events = [...rings.read(horizonNs)];
  for (const event of events) table.apply(event);
  table.advance(horizonNs);
  return events;
}

/** Prints the tgid of each child. */
async function spawnChildren(): Promise<number[]> {
  const script = `for i in $(seq ${CHILDREN}); do /bin/true & echo $!; done; wait`;
  const shell = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  shell.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(shell, 'close');
  return text.trim().split('\n').map(Number);
}

function liveTgids(): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((tgid) => readProcess(tgid, () => 0) !== undefined);
}

test('short processes are known when they are gone, and leave nothing behind', { skip }, async (t) => {
  const baseKtimeNs = process.hrtime.bigint();
  const { bootMinusMonotonicNs } = clockOffsets();
  const cpus = onlineCpus();
  const rings = new SidebandRings({ baseKtimeNs, cpuCount: cpus.length });
  t.after(() => rings.close());
  for (const cpu of cpus) assert.ok('fd' in rings.addCpu(cpu));
  const table = new ProcessTable({ baseKtimeNs, bootMinusMonotonicNs });
  await readProcesses(table, 'all');

  const tgids = await spawnChildren();
  await sleep(50);
  const events = readInto(rings, table);

  assert.equal(new Set(tgids).size, CHILDREN);
  assert.deepEqual([table.counts.lostEvents, rings.lateEvents, rings.malformedRecords], [0, 0, 0]);
  for (const tgid of tgids) {
    const own = events.filter((e) => 'tgid' in e && e.tgid === tgid);
    const count = (kind: string): number => own.filter((e) => e.kind === kind).length;
    assert.deepEqual([count('fork'), count('comm'), count('exit')], [1, 1, 1], `events of ${tgid}`);
    const fork = own.find((e) => e.kind === 'fork')!;
    const startBootNs = Number(baseKtimeNs + bootMinusMonotonicNs) + fork.ns - 1000;
    const image = table.resolve(tgid, startBootNs, 1);
    assert.equal(image?.comm, 'true');
    assert.match(image.executable, /\/bin\/true$/);
    assert.ok(image.endedNs < Infinity, `${tgid} has ended`);
    const paths = own.flatMap((e) => (e.kind === 'mmap' ? [e.path] : []));
    for (const module of ['true', 'libc.so.6', '[vdso]']) {
      assert.ok(paths.some((path) => path.endsWith(module)), `${module} among ${paths.join(' ')}`);
    }
  }
});

test('the table holds the processes that /proc lists, and forgets the others', { skip }, async (t) => {
  const baseKtimeNs = process.hrtime.bigint();
  const { bootMinusMonotonicNs } = clockOffsets();
  const cpus = onlineCpus();
  const rings = new SidebandRings({ baseKtimeNs, cpuCount: cpus.length });
  t.after(() => rings.close());
  for (const cpu of cpus) rings.addCpu(cpu);
  const table = new ProcessTable({ baseKtimeNs, bootMinusMonotonicNs });
  await readProcesses(table, 'all');
  await spawnChildren();

  let difference = Infinity;
  for (let round = 0; round < 100 && difference !== 0; round++) {
    await sleep(60);
    readInto(rings, table);
    const which = table.takeResync();
    if (which !== undefined) await readProcesses(table, which);
    difference = table.counts.liveProcesses - liveTgids().length;
  }
  assert.equal(difference, 0);
  table.expire(Infinity);
  assert.equal(table.counts.images, table.counts.liveProcesses, 'only live images are left');
});

test('perf record beside our rings writes a file that perf script reads', { skip }, async (t) => {
  const cpus = onlineCpus();
  const rings = new SidebandRings({ baseKtimeNs: process.hrtime.bigint(), cpuCount: cpus.length });
  t.after(() => rings.close());
  for (const cpu of cpus) rings.addCpu(cpu);
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-perf-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'perf.data');
  const perf = spawn('perf', ['record', '-a', '-q', '-o', file, '--', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  // cat is started once perf listens.
  perf.stdin.write('x');
  await once(perf.stdout, 'data');
  await spawnChildren();
  perf.stdin.end();
  const [code] = (await once(perf, 'close')) as [number];
  assert.equal(code, 0);
  const script = ['script', '-i', file, '--show-mmap-events', '-F', 'comm'];
  const text = execFileSync('perf', script, { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.match(text, /PERF_RECORD_MMAP2 .*\/bin\/true/);
});
