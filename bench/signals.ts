// What measuring latency costs, beside libbpf-tools' runqlat -P and biolatency -D -F: ns of BPF a
// switch and an I/O, all programs of the probe summed, in rounds taken in turn under the same load; the
// kernel memory of the maps; the front's CPU time for an interval with 1,000 keys.
//
//   node dist/bench/signals.js [--rounds 11] [--seconds 4] [--quick]

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbeDescriptor } from '../bpf/descriptor.js';
import { FLIP_PAUSE_MS } from '../bpf/generations.js';
import { loadProbe } from '../bpf/life.js';
import type { LoadedProbe } from '../bpf/loaded-probe.js';
import { descriptor as biolatency } from '../bpf/probes/biolatency.js';
import { descriptor as runqlat } from '../bpf/probes/runqlat.js';
import { openProbeMetrics } from '../collector/host/probe-metrics.js';
import type { KeyNaming } from '../collector/pipeline/metric-columns.js';
import { plainNaming, startPinned } from '../test/kernel/metric-support.js';
import { objectPath } from '../test/kernel/probe-support.js';
import { enableBpfStats, ended, startProgram } from './observe.js';
import { atEnd, medianInterval, printFigure, printNote, printTitle, readOptions } from './support.js';

const keys = 1000;
const octavesPerKey = 6;
const settleMs = 1000;

const { rounds, seconds } = readOptions({ rounds: 11, seconds: 4 }, { rounds: 3, seconds: 2 });

interface Runs {
  readonly ns: number;
  readonly count: number;
}

/** Time and runs of a program by a descriptor of it. */
function runsOf(fdinfo: string): Runs | undefined {
  const text = readFileSync(fdinfo, 'utf8');
  const number = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(text)?.[1]);
  return text.includes('run_cnt') ? { ns: number('run_time_ns'), count: number('run_cnt') } : undefined;
}

/** Programs that a process holds, once each. */
function programsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fdinfo`;
  const byId = new Map<string, string>();
  for (const fd of readdirSync(folder)) {
    const text = readFileSync(`${folder}/${fd}`, 'utf8');
    const id = /^prog_id:\s*(\d+)$/m.exec(text)?.[1];
    if (id !== undefined && text.includes('run_cnt')) byId.set(id, `${folder}/${fd}`);
  }
  return [...byId.values()];
}

/** ns of all these programs for each run of the one that runs at every event: the busiest, or of
 *  requests the completion, which runs as often as the issue. */
async function nsAnEvent(fdinfos: readonly string[]): Promise<number> {
  const before = fdinfos.map((path) => runsOf(path)!);
  await sleep(seconds * 1000);
  const after = fdinfos.map((path) => runsOf(path)!);
  const deltas = after.map(({ ns, count }, i) => ({ ns: ns - before[i]!.ns, count: count - before[i]!.count }));
  const events = Math.max(...deltas.map(({ count }) => count));
  return deltas.reduce((sum, { ns }) => sum + ns, 0) / events;
}

function load(descriptor: ProbeDescriptor): LoadedProbe {
  const path = objectPath(descriptor.name);
  const rodata = { fk_cgroup_hierarchies: [0, 0, 0] };
  const log = (_: string, line: string) => console.log(line);
  return loadProbe({ descriptor, objectPath: path, rodata, maxEntries: {}, verbosity: 0, log });
}

async function oursNs(descriptor: ProbeDescriptor): Promise<number> {
  const probe = load(descriptor);
  try {
    probe.openGate();
    await sleep(settleMs);
    return await nsAnEvent(probe.programs().map(({ fd }) => `/proc/self/fdinfo/${fd}`));
  } finally {
    probe.close();
  }
}

async function peersNs(command: string, args: readonly string[]): Promise<number> {
  const peer = startProgram(command, args);
  await sleep(settleMs);
  const ns = await nsAnEvent(programsOf(peer.pid!));
  await ended(peer, 'SIGINT');
  return ns;
}

/** Rounds of both, in turn, who comes first changing. */
async function compare(what: string, descriptor: ProbeDescriptor, peer: readonly [string, ...string[]]) {
  const [command, ...args] = peer;
  const [ours, peers]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const steps = [
      async () => ours.push(await oursNs(descriptor)),
      async () => peers.push(await peersNs(command, args)),
    ];
    for (const step of round % 2 === 0 ? steps : steps.toReversed()) await step();
  }
  const [own, other] = [medianInterval(ours), medianInterval(peers)];
  printFigure(`${what}, ${peer.join(' ')}`, other.median, 'ns');
  printNote(`95 % interval of the median ${other.low.toFixed(0)} to ${other.high.toFixed(0)}`);
  printFigure(`${what}, ours`, own.median, 'ns');
  printNote(`95 % interval of the median ${own.low.toFixed(0)} to ${own.high.toFixed(0)}`);
  printFigure(`  ours to theirs`, own.median / other.median, 'x', { atMost: 1.1 });
}

/** Naps of 100 us on every CPU: wake-ups and switches, and some that are preempted. */
function startSwitching() {
  const programs = cpus().flatMap((_, cpu) => [50, 80, 110, 400].map((workUs) => ({ cpu, workUs, napUs: 100 })));
  for (const program of programs) {
    const child = startPinned(program);
    atEnd(() => child.kill('SIGKILL'));
  }
}

function startIo(): void {
  const folder = mkdtempSync(join(tmpdir(), 'fk-bench-'));
  const image = join(folder, 'image');
  writeFileSync(image, '');
  execFileSync('truncate', ['-s', '64M', image]);
  const device = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  // One process, so that a kill ends it.
  const options = ['--thread', '--name=io', `--filename=${device}`, '--direct=1', '--bs=4k', '--ioengine=psync'];
  const job = ['--rw=randrw', '--size=64m', '--time_based', '--runtime=86400', '--output=/dev/null'];
  const fio = spawn('fio', [...options, ...job], { stdio: 'ignore' });
  atEnd(() => {
    fio.kill('SIGKILL');
    execFileSync('losetup', ['-d', device]);
    rmSync(folder, { recursive: true });
  });
}

/** As the process table names: from memory. */
const naming: KeyNaming = { ...plainNaming, image: (tgid) => ({ ...image, id: tgid, tgid }) };
const image = { ...plainNaming.image(process.pid, 0, 0)! };

/** Entries of 1,000 processes as the kernel would have left them, taken as at a flush. */
async function takeCpuMs(): Promise<number> {
  const probe = load(runqlat);
  const file = { descriptor: runqlat, objectPath: objectPath('runqlat') };
  const metrics = openProbeMetrics({ file, probe, settings: {} })!;
  const times: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const map = probe.map('waits').inner(round % 2);
      const [key, value] = [new Uint8Array(map.keySize), new BigUint64Array(map.valueSize / 8).fill(3n)];
      const view = new DataView(key.buffer);
      for (let i = 0; i < keys * octavesPerKey; i++) {
        view.setUint32(8, 1 + (i % keys), true);
        view.setUint32(key.length - 4, 8 + Math.floor(i / keys), true);
        map.update(key, new Uint8Array(value.buffer));
      }
      metrics.flip();
      await sleep(FLIP_PAUSE_MS + 1);
      const before = process.cpuUsage();
      const [taken] = [...metrics.take({ naming })].filter((each) => each !== undefined);
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1000);
      if (!('keys' in taken!.columns) || taken!.columns.keys.length < keys) throw new Error('too few keys');
    }
  } finally {
    metrics.close();
    probe.close();
  }
  return medianInterval(times).median;
}

function kernelMemoryMb(descriptor: ProbeDescriptor): number {
  const probe = load(descriptor);
  const bytes = probe.kernelMemoryBytes();
  probe.close();
  return bytes / 1e6;
}

printTitle('signals', { rounds, seconds });
enableBpfStats();
printFigure('kernel memory of runqlat', kernelMemoryMb(runqlat), 'MB');
printFigure('kernel memory of biolatency', kernelMemoryMb(biolatency), 'MB');
const ms = await takeCpuMs();
printFigure(`front's CPU time an interval with ${keys} keys of ${octavesPerKey} octaves`, ms, 'ms');
const folder = ['/usr/sbin', '/usr/bin'].find((each) => existsSync(join(each, 'biolatency')));
if (folder === undefined) throw new Error('needs libbpf-tools: runqlat and biolatency');
startSwitching();
await compare('BPF a switch', runqlat, [join(folder, 'runqlat'), '-P', '3600', '1']);
startIo();
await sleep(settleMs);
await compare('BPF an I/O', biolatency, [join(folder, 'biolatency'), '-D', '-F', '-Q', '3600', '1']);
process.exit();
