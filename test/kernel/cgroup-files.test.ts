// What cgroups tell, for one whose quota is a fifth of a CPU: how often and how long it was throttled, its
// CPU time, its memory.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CgroupFiles } from '../../collector/host/cgroup-files.js';
import type { SampleRows } from '../../collector/messages.js';
import { Readings } from '../../collector/pipeline/readings.js';
import { cgroupHierarchies } from '../../collector/process/cgroups.js';
import { buildProgram } from '../support/programs.js';

const { mounts } = cgroupHierarchies();
const mountOf = (rank: number) => mounts.find((m) => m.rank === rank && m.root === '')?.mountPoint;
const [v2, memory, cpu] = [mountOf(0), mountOf(2), mountOf(3)];
const path = `/fk-quota-${process.pid}`;
const skip =
  process.getuid!() !== 0 ? 'needs root: it makes cgroups'
  : cpu === undefined || memory === undefined ? 'needs the cpu and memory controllers of version 1'
  : false;

/** A flush in which a process of this cgroup was sampled. */
function sampled(cgroup: string): SampleRows[] {
  return [{ series: [{ cgroup }] } as unknown as SampleRows];
}

test('throttling, CPU time and memory of a cgroup of version 1 that has a quota', { skip }, () => {
  const folders = [cpu!, memory!].map((mount) => mount + path);
  for (const folder of folders) mkdirSync(folder);
  try {
    writeFileSync(`${folders[0]}/cpu.cfs_period_us`, '20000');
    writeFileSync(`${folders[0]}/cpu.cfs_quota_us`, '4000');
    const files = new CgroupFiles(mounts, { maxGroups: 10 });
    const readings = new Readings({ maxSeries: 100, isContinuous: true });
    const take = () => {
      readings.begin();
      files.read(sampled(`${path}/below`), readings.tell);
      const { series, values } = readings.take();
      return new Map(series.map(({ stream, keys }, i) => [[stream, ...keys].join(' '), values[i]!]));
    };
    take();
    const program = buildProgram('counted-work.c', 'counted-quota', ['-O1']);
    const join = folders.map((folder) => `echo $$ > ${folder}/cgroup.procs;`).join(' ');
    spawnSync('/bin/sh', ['-c', `${join} exec ${program} 300 0 0 0`]);
    const rows = take();
    const stat = readFileSync(`${folders[0]}/cpu.stat`, 'utf8');
    const own = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)![1]);
    assert.equal(rows.get(`cgroupPeriods ${path} elapsed`), own('nr_periods'));
    assert.equal(rows.get(`cgroupPeriods ${path} throttled`), own('nr_throttled'));
    assert.equal(rows.get(`cgroupThrottled ${path}`), Math.floor(own('throttled_time') / 1000));
    // 0.3 s of CPU at 4 ms in 20 takes 75 periods; a busy host leaves it less to be throttled for.
    assert.ok(rows.get(`cgroupPeriods ${path} elapsed`)! >= 70);
    assert.ok(rows.get(`cgroupThrottled ${path}`)! > 0);
    assert.ok(rows.has(`cgroupMemory ${path}`));
    files.close();
  } finally {
    for (const folder of folders) rmdirSync(folder);
  }
});

const skipV2 =
  process.getuid!() !== 0 ? 'needs root: it makes cgroups'
  : v2 === undefined ? 'needs cgroup version 2'
  : false;

test('a group made anew under its old name begins again; one that is gone is passed over', { skip: skipV2 }, () => {
  const folder = v2! + path;
  mkdirSync(folder);
  const program = buildProgram('counted-work.c', 'counted-again', ['-O1']);
  const spin = () => spawnSync('/bin/sh', ['-c', `echo $$ > ${folder}/cgroup.procs; exec ${program} 100 0 0 0`]);
  try {
    const files = new CgroupFiles(mounts, { maxGroups: 10 });
    const readings = new Readings({ maxSeries: 100, isContinuous: true });
    const spentUs = (cgroup = path) => {
      readings.begin();
      files.read(sampled(cgroup), readings.tell);
      const { series, values, backwards } = readings.take();
      assert.equal(backwards.get('cgroupCpu') ?? 0, 0);
      const own = values.filter((_, i) => series[i]!.stream === 'cgroupCpu' && series[i]!.keys[0] === path);
      return own.length === 0 ? undefined : own.reduce((sum, value) => sum + value);
    };
    assert.equal(spentUs(), undefined);
    spin();
    const spent = spentUs()!;
    assert.ok(spent > 50_000 && spent < 200_000, `${spent} us`);
    rmdirSync(folder);
    assert.equal(spentUs('/elsewhere'), undefined);
    mkdirSync(folder);
    assert.equal(spentUs(), undefined);
    spin();
    assert.ok(spentUs()! > 50_000);
    files.close();
  } finally {
    if (existsSync(folder)) rmdirSync(folder);
  }
});
