// Counters of this kernel against other counts of the same: what getrusage and cpu.stat say of a program
// in a cgroup of its own, /proc/stat, the time stamp counter itself, and perf for the names.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { test } from 'node:test';
import { onlineCpus } from '../../collector/host/cpus.js';
import { findNamedEvent } from '../../collector/host/perf-events.js';
import { PerfCounters } from '../../collector/host/perf-counters.js';
import type { CounterPlan } from '../../collector/host/perf-counters.js';
import { resolveEvent } from '../../collector/host/pmu-events.js';
import type { CounterEvent } from '../../collector/host/pmu-events.js';
import { cgroupHierarchies } from '../../collector/process/cgroups.js';
import { skipReason } from '../support/bpf-fixture.js';
import { buildProgram, runProgram } from '../support/programs.js';

const skip = skipReason() ?? false;
const program = skip === false ? buildProgram('counted-work.c', 'counted-work', ['-O1']) : '';

function event(name: string): CounterEvent {
  const found = resolveEvent(name);
  assert.ok(typeof found !== 'string', `${name}: ${found as string}`);
  return found;
}

function openCounters(plan: Partial<Omit<CounterPlan, 'groups'>>, ...groups: string[][]) {
  const notes: string[] = [];
  const whole = {
    groups: groups.map((names) => names.map(event)),
    cgroups: [],
    cgroupRoot: undefined,
    hybridTypes: new Map(),
    maxDescriptors: 1000,
    ...plan,
  };
  const counters = new PerfCounters(whole, (text) => notes.push(text));
  counters.follow(onlineCpus());
  return { counters, notes };
}

/** Sums over CPUs, by event; of one cgroup or of everything. */
function sums(counters: PerfCounters, cgroup: string): Map<string, number> {
  const byEvent = new Map<string, number>();
  for (const group of counters.read()) {
    if (group.cgroup !== cgroup) continue;
    group.events.forEach(({ name }, i) => {
      byEvent.set(name, (byEvent.get(name) ?? 0) + group.delta.counts[i]!);
    });
  }
  return byEvent;
}

function isWithin(actual: number | undefined, expected: number, share: number, what: string): void {
  const error = actual! / expected - 1;
  console.log(`${what}: ${actual}, expected ${expected}: ${(error * 100).toFixed(3)} %`);
  assert.ok(Math.abs(error) <= share, what);
}

const cgroupRoot =
  skip === false
    ? cgroupHierarchies().mounts.find(({ rank, root }) => rank === 0 && root === '')?.mountPoint
    : undefined;
const skipCgroup = skip !== false ? skip : cgroupRoot === undefined && 'needs cgroup version 2';

test('a cgroup has the switches, faults, migrations and time of its one process', { skip: skipCgroup }, () => {
  const cgroup = `/fk-counters-${process.pid}`;
  const folder = cgroupRoot! + cgroup;
  mkdirSync(folder);
  try {
    const names = ['context-switches', 'minor-faults', 'cpu-migrations', 'task-clock'];
    const { counters, notes } = openCounters({ cgroups: [cgroup], cgroupRoot }, names);
    assert.deepEqual(notes, []);
    const work = (...args: readonly number[]) => {
      const run = `echo $$ > ${folder}/cgroup.procs; exec ${program} ${args.join(' ')}`;
      const { stdout } = spawnSync('/bin/sh', ['-c', run], { encoding: 'utf8' });
      const [cpuNs = 0, faults = 0, switches = 0, migrations = 0] = stdout.split(' ').map(Number);
      return { cpuNs, faults, switches, migrations };
    };
    const usageUs = () =>
      Number(/^usage_usec (\d+)$/m.exec(readFileSync(`${folder}/cpu.stat`, 'utf8'))![1]);

    const did = work(0, 60_000, 8000, 2000);
    const counted = sums(counters, cgroup);
    isWithin(counted.get('minor-faults'), did.faults, 0.01, 'minor faults and getrusage');
    isWithin(counted.get('context-switches'), did.switches, 0.01, 'context switches and getrusage');
    isWithin(counted.get('cpu-migrations'), did.migrations, 0.01, 'migrations and those asked for');

    // Apart, since the kernel counts the switch itself as the process's time and perf does not.
    const beforeUs = usageUs();
    const { cpuNs } = work(2000, 0, 0, 0);
    const spentNs = sums(counters, cgroup).get('task-clock');
    isWithin(spentNs, cpuNs, 0.01, 'task-clock and the process clock, ns');
    isWithin(spentNs, (usageUs() - beforeUs) * 1000, 0.01, 'task-clock and cpu.stat, ns');
    counters.close();
  } finally {
    rmdirSync(folder);
  }
});

test('a cgroup that goes and comes again is counted again', { skip: skipCgroup }, () => {
  const cgroup = `/fk-counters-again-${process.pid}`;
  const folder = cgroupRoot! + cgroup;
  const { counters } = openCounters({ cgroups: [cgroup], cgroupRoot }, ['task-clock']);
  const spin = () => {
    mkdirSync(folder);
    counters.follow(onlineCpus());
    counters.read();
    spawnSync('/bin/sh', ['-c', `echo $$ > ${folder}/cgroup.procs; exec ${program} 200 0 0 0`]);
    const spent = sums(counters, cgroup).get('task-clock')!;
    rmdirSync(folder);
    return spent;
  };
  for (const spent of [spin(), spin()]) assert.ok(spent > 150e6 && spent < 400e6, `${spent}`);
  counters.follow(onlineCpus());
  assert.equal(counters.descriptors, onlineCpus().length);
  counters.close();
});

test('context switches of all CPUs are those of /proc/stat', { skip }, async () => {
  const { counters } = openCounters({}, ['context-switches']);
  const ctxt = () => Number(/^ctxt (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))![1]);
  counters.read();
  const before = ctxt();
  await runProgram(program, ['300', '0', '20000', '0']);
  const after = ctxt();
  isWithin(sums(counters, '').get('context-switches'), after - before, 0.01, 'context switches and ctxt');
  counters.close();
});

const skipTsc =
  skip !== false ? skip
  : !existsSync('/sys/bus/event_source/devices/msr/events/tsc') && 'needs a time stamp counter';

test('msr/tsc/ runs at the rate that the instruction itself shows', { skip: skipTsc }, async () => {
  const { counters } = openCounters({}, ['msr/tsc/']);
  const rateHz = Number(await runProgram(program, ['tsc']));
  counters.read();
  const began = process.hrtime.bigint();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const elapsedNs = Number(process.hrtime.bigint() - began);
  const perCpu = counters.read();
  for (const { cpu, delta } of perCpu) {
    // The time between the two reads, as the kernel took it at each of them, and as we did.
    isWithin(delta.counts[0]! / (delta.enabledNs / 1e9), rateHz, 0.001, `tsc of CPU ${cpu}, Hz`);
    isWithin(delta.enabledNs, elapsedNs, 0.01, `time that CPU ${cpu} was counted, ns`);
  }
  assert.equal(perCpu.length, onlineCpus().length);
  counters.close();
});

test('an event that does not exist is told once, and its group counts without it', { skip }, () => {
  const { counters, notes } = openCounters({}, ['task-clock', 'rffffffffffff', 'page-faults'], ['rfffffffffff0']);
  counters.follow(onlineCpus());
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, /^counters: not counted here: rffffffffffff(, rfffffffffff0)? \(E/);
  const groups = counters.read();
  assert.deepEqual(groups.map(({ events }) => events.map(({ name }) => name).join()), onlineCpus().map(() => 'task-clock,page-faults'));
  counters.close();
});

test('descriptors stay within their limit, which is told', { skip }, () => {
  const names = ['task-clock', 'page-faults'];
  const { counters, notes } = openCounters({ maxDescriptors: 3 }, names, ['context-switches']);
  assert.ok(counters.descriptors <= 3);
  assert.match(notes.join(), /limits.counterDescriptors \(3\)/);
  counters.close();
  assert.equal(counters.descriptors, 0);
});

test('CPUs that go lose their events, those that come get some', { skip }, () => {
  const { counters } = openCounters({}, ['task-clock']);
  counters.follow([0]);
  assert.deepEqual(counters.read().map(({ cpu }) => cpu), [0]);
  counters.follow(onlineCpus());
  assert.deepEqual(counters.read().map(({ cpu }) => cpu), onlineCpus());
  // One that is not there is passed over without a word.
  counters.follow([...onlineCpus(), 4000]);
  assert.deepEqual(counters.read().map(({ cpu }) => cpu), onlineCpus());
  counters.close();
});

const caches = ['L1-dcache', 'L1-icache', 'LLC', 'dTLB', 'iTLB', 'branch', 'node'];
const operations = ['loads', 'load-misses', 'stores', 'store-misses', 'prefetches', 'prefetch-misses'];

test('names mean what they mean to perf', { skip }, () => {
  const names = [
    ...caches.flatMap((cache) => operations.map((operation) => `${cache}-${operation}`)),
    ...(
      'cycles instructions cache-references cache-misses branches branch-misses bus-cycles ' +
      'stalled-cycles-frontend idle-cycles-backend ref-cycles cpu-clock task-clock ' +
      'page-faults faults context-switches cs migrations minor-faults major-faults ' +
      'alignment-faults emulation-faults cgroup-switches'
    ).split(' '),
  ];
  for (const name of names) {
    const known = findNamedEvent(name);
    const { stderr } = spawnSync('perf', ['stat', '-vv', '-e', name, 'true'], { encoding: 'utf8' });
    const attr = /^perf_event_attr:\n([^-]*)-{20}/m.exec(stderr)?.[1] ?? '';
    if (attr === '') {
      // Some caches have no such operation, and perf does not take the name.
      assert.match(stderr, /valid events/, name);
      continue;
    }
    const field = (of: string) => Number(new RegExp(`^ *${of} +(\\S+)`, 'm').exec(attr)?.[1] ?? 0);
    assert.deepEqual([known?.type, known?.config], [field('type'), field('config')], name);
  }
});
