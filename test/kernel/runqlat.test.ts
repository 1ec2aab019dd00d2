// Run-queue latency against the kernel's own accounts: switches in /proc/PID/status, run_delay in
// schedstat, quotas of cgroups, and the one who holds the CPU.

import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { ProbeDescriptor } from '../../bpf/descriptor.js';
import { descriptor } from '../../bpf/probes/runqlat.js';
import { endAll, hiddenSwitches, measure, startPinned, stopAndAsk, sumOf } from './metric-support.js';
import type { Measured, Pinned, SwitchAccount } from './metric-support.js';
import { skipWithoutBpf, sleep } from './probe-support.js';

const skip = skipWithoutBpf;
const v2Folders = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
const v2 = v2Folders.find((folder) => existsSync(join(folder, 'cgroup.procs')));
const cpuController = '/sys/fs/cgroup/cpu';

/** As on a kernel that has no task storage for tracing. */
const byHash: ProbeDescriptor = {
  ...descriptor,
  hooks: descriptor.hooks.filter(({ maps = [] }) => maps.includes('tasks_hash')),
};

const everyPair: ProbeDescriptor = {
  ...descriptor,
  outputs: descriptor.outputs.map((output) => (output.kind === 'counter' ? { ...output, top: 4096 } : output)),
};

/** Runs these programs for a while and stops them; their own accounts, and ours. */
async function watchPinned(
  probe: ProbeDescriptor,
  programs: readonly Pinned[],
  seconds: number,
): Promise<{ accounts: SwitchAccount[]; runq: Measured; culprits: Measured }> {
  const children: ReturnType<typeof startPinned>[] = [];
  const accounts: SwitchAccount[] = [];
  try {
    const [measured] = await measure(probe, [
      async () => {
        children.push(...programs.map((program) => startPinned(program)));
        await sleep(seconds * 1000);
        for (const child of children) accounts.push(await stopAndAsk(child));
      },
    ]);
    return {
      accounts,
      runq: measured!.get('runq')!,
      culprits: measured!.get('runq_culprit')!,
    };
  } finally {
    await endAll(children);
  }
}

const rowsOf = ({ rows }: Measured, pid: number) => rows.filter(({ labels }) => labels['pid'] === pid);

for (const [name, probe] of [['task storage', descriptor], ['a hash', byHash]] as const) {
  test(`each switch-in is one wait, and waits are as long as schedstat says: ${name}`, { skip }, async () => {
    const cpu = 0;
    const nap = { cpu, workUs: 300, napUs: 700 };
    const hiddenBefore = hiddenSwitches();
    const { accounts, runq } = await watchPinned(probe, [{ cpu }, { cpu }, { cpu }, nap], 4);
    const tolerance = 1 + hiddenSwitches() - hiddenBefore;
    console.log(`tolerance ${tolerance}`);
    for (const [i, { pid, switches, runDelayNs }] of accounts.entries()) {
      const rows = rowsOf(runq, pid);
      const [waits, waitedNs] = [sumOf(rows, 'count'), sumOf(rows)];
      const share = waitedNs / runDelayNs - 1;
      console.log(
        `${i < 3 ? 'spins' : 'naps'}: ${waits} waits, ${switches} switches; ` +
          `${(waitedNs / 1e6).toFixed(1)} ms, run_delay ${(runDelayNs / 1e6).toFixed(1)} ms (${(share * 100).toFixed(2)} %)`,
      );
      assert.ok(Math.abs(waits - switches) <= tolerance, `${waits} waits of ${switches} switches`);
      if (i < 3) assert.ok(Math.abs(share) < 0.02, `${waitedNs} of ${runDelayNs} ns`);
      const slots = rows.flatMap((row) => [...row.slots.values()]);
      assert.equal(slots.reduce((sum, count) => sum + count, 0), waits);
    }
    assert.equal(runq.counters['lost.map_full'] ?? 0, 0);
    assert.equal(runq.counters['lost.negative'] ?? 0, 0);
    assert.ok(runq.rows.every(({ labels }) => labels['pid'] !== 0), 'the idle task never waits');
    assert.equal(sumOf(runq.rows, 'count'), runq.counters['captured']);
  });
}

test('the wait of four cgroups goes to the three that wait, and the guilty one is named', {
  skip: skip || (v2 === undefined ? 'needs a cgroup v2 hierarchy' : false),
}, async () => {
  const names = ['guilty', 'a', 'b', 'c'];
  const folders = names.map((name) => join(v2!, `fk-${process.pid}-${name}`));
  for (const folder of folders) mkdirSync(folder);
  const ids = folders.map((folder) => String(statSync(folder, { bigint: true }).ino));
  try {
    const programs = folders.map((folder, i) => {
      return { cpu: 1, nice: i === 0 ? -20 : 0, cgroup: join(folder, 'cgroup.procs') };
    });
    const { runq, culprits } = await watchPinned(everyPair, programs, 5);
    const waited = ids.map((id) => sumOf(runq.rows.filter(({ labels }) => labels['cgroup'] === id)));
    const ofVictims = culprits.rows.filter(({ labels }) => ids.slice(1).includes(String(labels['cgroup'])));
    const held = new Map<string, number>();
    for (const { labels, sumNs } of ofVictims) {
      const who = String(labels['culprit_cgroup']);
      held.set(who, (held.get(who) ?? 0) + sumNs);
    }
    const ranking = [...held].sort(([, a], [, b]) => b - a);
    console.log(`waited ${waited.map((ns) => (ns / 1e6).toFixed(0)).join(', ')} ms (guilty first)`);
    const parts = Object.entries(runq.counters).filter(([name]) => name.endsWith('_ns'));
    console.log(`long waits: ${parts.map(([name, ns]) => `${name} ${(ns / 1e6).toFixed(0)}`).join(', ')} (ms)`);
    console.log(`held: ${ranking.slice(0, 4).map(([id, ns]) => `${names[ids.indexOf(id)] ?? id} ${(ns / 1e6).toFixed(0)} ms`).join(', ')}`);
    for (const ns of waited.slice(1)) assert.ok(ns > waited[0]!, `${ns} ns of ${waited[0]}`);
    const ours = ranking.filter(([id]) => ids.includes(id));
    assert.equal(ours[0]![0], ids[0]);
    assert.ok(ours[0]![1] > 3 * (ours[1]?.[1] ?? 0), 'by far');
  } finally {
    for (const folder of folders) rmdirSync(folder);
  }
});

test('a quota alone shows as throttling', {
  skip: skip || (existsSync(join(cpuController, 'cpu.cfs_quota_us')) ? false : 'needs the cpu controller of cgroup v1'),
}, async () => {
  const folder = join(cpuController, `fk-${process.pid}-quota`);
  mkdirSync(folder);
  try {
    writeFileSync(join(folder, 'cpu.cfs_quota_us'), '10000');
    const limited = { cpu: 0, nice: -20, cgroup: join(folder, 'cgroup.procs') };
    const { accounts, runq } = await watchPinned(descriptor, [limited, { cpu: 0, nice: 10 }], 4);
    const [ofLimited, ofFree] = accounts.map(({ pid }) =>
      ['throttled', 'queued'].map((cause) =>
        sumOf(rowsOf(runq, pid).filter(({ labels }) => labels['cause'] === cause)) / 1e6,
      ),
    );
    console.log(`limited: ${ofLimited!.map((ms) => ms.toFixed(1)).join(' ms throttled, ')} ms queued`);
    console.log(`free: ${ofFree!.map((ms) => ms.toFixed(1)).join(' ms throttled, ')} ms queued`);
    assert.ok(ofLimited![0]! > ofLimited![1]!, 'it may run a tenth of the time');
    assert.equal(ofFree![0], 0);
  } finally {
    rmdirSync(folder);
  }
});

test('keys that find no room are counted', { skip }, async () => {
  const maxEntries = { waits: 8, culprits: 4 };
  const [measured] = await measure(descriptor, [() => sleep(1000)], { maxEntries });
  const { rows, counters } = measured!.get('runq')!;
  console.log(`${sumOf(rows, 'count')} waits kept, ${counters['lost.map_full']} not`);
  assert.ok(rows.length <= 8);
  assert.ok(counters['lost.map_full']! > 0);
  assert.equal(sumOf(rows, 'count'), counters['captured']);
});

test('threads are kept apart when asked for', { skip }, async () => {
  const inPool = () => Promise.all([1, 2, 3, 4].map(() => promisify(pbkdf2)('a', 'b', 200_000, 32, 'sha512')));
  const [measured] = await measure(descriptor, [inPool], {
    settings: { threads: true },
    rodata: { fk_threads: 1 },
  });
  const own = rowsOf(measured!.get('runq')!, process.pid);
  assert.ok(new Set(own.map(({ labels }) => labels['thread'])).size > 1, 'node has several threads');
});

test('the checks agree with the kernel', { skip }, async () => {
  const children = [0, 1].flatMap((cpu) => [startPinned({ cpu }), startPinned({ cpu })]);
  try {
    const intervals = await measure(descriptor, [1, 2, 3, 4].map(() => () => sleep(3000)));
    const sums: Record<string, number> = {};
    for (const interval of intervals) {
      for (const [name, value] of Object.entries(interval.get('runq')!.counters)) {
        if (name.startsWith('check.')) sums[name] = (sums[name] ?? 0) + value;
      }
    }
    console.log(sums);
    for (const check of ['switches', 'run_delay']) {
      const [kernel, ours] = [sums[`check.${check}.kernel`]!, sums[`check.${check}.ours`]!];
      assert.ok(Math.abs(ours / kernel - 1) < 0.03, `${check}: ${ours} of ${kernel}`);
    }
  } finally {
    await endAll(children);
  }
});
