// The exec/exit program against the one who spawns: every exec and exit once, with the parent's own view
// of it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import type { RingOutput } from '../../bpf/descriptor.js';
import * as wire from '../../bpf/generated/wire.js';
import { loadProbe, type LoadOptions } from '../../bpf/life.js';
import { descriptor } from '../../bpf/probes/process.js';
import { RingReader } from '../../bpf/ring.js';
import { buildFixture, objectPath, skipWithoutBpf } from './probe-support.js';

const { FkRecordTag } = wire;
const output = descriptor.outputs[0] as RingOutput;

interface Seen {
  readonly execs: wire.FkExec[];
  readonly commandLines: string[];
  readonly exits: wire.FkExit[];
  readonly cgroups: wire.FkCgroup[];
  drops: number;
}

/** Everything that the probe tells while `work` runs. */
async function watchProcesses(
  work: () => Promise<void>,
  options: Partial<Pick<LoadOptions, 'rodata' | 'maxEntries'>> = {},
): Promise<Seen> {
  const probe = loadProbe({
    descriptor,
    objectPath: objectPath('process'),
    rodata: {},
    maxEntries: {},
    ...options,
    verbosity: 0,
    log: (_level, line) => console.log(line),
  });
  const ring = new RingReader(probe.map(output.ring));
  const seen: Seen = { execs: [], commandLines: [], exits: [], cgroups: [], drops: 0 };
  try {
    probe.openGate();
    await work();
    ring.read((view, at, size) => decodeInto(seen, view, at, size));
    const drops = probe.map(output.drops).lookup(new Uint8Array(4))!;
    const perCpu = new BigUint64Array(drops.buffer, drops.byteOffset, drops.byteLength / 8);
    seen.drops = perCpu.reduce((sum, dropped) => sum + Number(dropped), 0);
    return seen;
  } finally {
    ring.close();
    probe.close();
  }
}

function decodeInto(seen: Seen, view: DataView, at: number, sizeBytes: number): void {
  const { tag, size } = wire.decodeFkRecord(view, at);
  assert.equal(size, sizeBytes, 'a record says its own size');
  switch (tag) {
    case FkRecordTag.FK_RECORD_EXEC:
      assert.equal(size, wire.FK_EXEC_SIZE);
      seen.execs.push(wire.decodeFkExec(view, at));
      break;
    case FkRecordTag.FK_RECORD_EXEC_ARGS: {
      assert.equal(size, wire.FK_EXEC_ARGS_SIZE);
      const { exec, n_bytes } = wire.decodeFkExecArgs(view, at);
      seen.execs.push(exec);
      const start = view.byteOffset + at + wire.FK_EXEC_ARGS_ARGS_OFFSET;
      seen.commandLines.push(Buffer.from(view.buffer, start, n_bytes).toString());
      break;
    }
    case FkRecordTag.FK_RECORD_EXIT:
      assert.equal(size, wire.FK_EXIT_SIZE);
      seen.exits.push(wire.decodeFkExit(view, at));
      break;
    case FkRecordTag.FK_RECORD_CGROUP:
      assert.equal(size, wire.FK_CGROUP_SIZE);
      seen.cgroups.push(wire.decodeFkCgroup(view, at));
      break;
    default:
      assert.fail(`tag ${tag}`);
  }
}

interface Ended {
  readonly tgid: number;
  readonly code: number | null;
  readonly signal: string | null;
  /** From before the spawn to after the exit was told, ns. */
  readonly atMostNs: bigint;
}

async function spawnAndWait(path: string, args: readonly string[]): Promise<Ended> {
  const startNs = process.hrtime.bigint();
  const child = spawn(path, args, { stdio: 'ignore' });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return { tgid: child.pid!, code, signal, atMostNs: process.hrtime.bigint() - startNs };
}

const waitStatus = ({ code, signal }: Ended) => (code !== null ? code << 8 : signal === 'SIGKILL' ? 9 : 15);

test('exec and exit of every child, once, as its parent sees them', { skip: skipWithoutBpf }, async () => {
  const ended: Ended[] = [];
  const seen = await watchProcesses(async () => {
    for (let i = 0; i < 120; i++) {
      const end = i % 10 === 9 ? 'kill -KILL $$' : i % 10 === 8 ? 'kill -TERM $$' : `exit ${i % 256}`;
      ended.push(await spawnAndWait('/bin/sh', ['-c', end]));
    }
  });
  assert.equal(seen.drops, 0);
  for (const child of ended) {
    const execs = seen.execs.filter((e) => e.incarnation.tgid === child.tgid);
    const exits = seen.exits.filter((e) => e.incarnation.tgid === child.tgid);
    assert.equal(execs.length, 1);
    assert.equal(exits.length, 1);
    const [exec, exit] = [execs[0]!, exits[0]!];
    assert.deepEqual(exit.incarnation, exec.incarnation, 'the image that was started is the one that ended');
    assert.equal(exit.exit_code, waitStatus(child));
    assert.ok(exit.duration_ns > 0n && exit.duration_ns < child.atMostNs, `${exit.duration_ns} ns`);
    for (const record of [exec, exit]) {
      assert.equal(record.parent_tgid, process.pid);
      assert.equal(record.comm, 'sh');
      assert.equal(record.uid, 0);
    }
    assert.ok(exec.record.ktime_ns < exit.record.ktime_ns);
  }
});

test('threads that end at the same moment end their process once', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('threads-exit.c', '-O1', '-pthread');
  const count = 2000;
  let parent = 0;
  const seen = await watchProcesses(async () => {
    parent = (await spawnAndWait(program, [String(count), '2'])).tgid;
  }, { maxEntries: { [output.ring]: 1 << 20 } });
  const exits = seen.exits.filter((e) => e.parent_tgid === parent);
  assert.equal(exits.length, count);
  assert.ok(exits.every((e) => e.exit_code === 0));
});

test('command lines only when asked for, cut at their limit', { skip: skipWithoutBpf }, async () => {
  const long = 'x'.repeat(2000);
  const work = async () => {
    await spawnAndWait('/bin/true', ['one', 'two words']);
    await spawnAndWait('/bin/true', [long]);
  };
  const seen = await watchProcesses(work, { rodata: { fk_arguments: 1 } });
  assert.ok(seen.commandLines.includes('/bin/true\0one\0two words\0'));
  const cut = seen.commandLines.find((line) => line.startsWith('/bin/true\0xxx'))!;
  assert.equal(cut.length, wire.FkLimit.FK_ARGS);
  assert.deepEqual((await watchProcesses(work)).commandLines, []);
});

test('records that find no room are counted', { skip: skipWithoutBpf }, async () => {
  const count = 120;
  const work = async () => {
    for (let i = 0; i < count; i++) await spawnAndWait('/bin/true', []);
  };
  const seen = await watchProcesses(work, { maxEntries: { [output.ring]: 4096 } });
  const kept = seen.execs.length + seen.exits.length + seen.cgroups.length;
  assert.ok(seen.drops > 0 && kept + seen.drops >= 2 * count, `kept ${kept}, dropped ${seen.drops}`);
});

interface CgroupMounts {
  readonly v2: string | undefined;
  readonly systemd: { readonly path: string; readonly hierarchy: number } | undefined;
}

/** Where cgroup v2 and the v1 hierarchy of systemd are mounted. */
function cgroupMounts(): CgroupMounts {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' '));
  const v2 = mounts.find((m) => m.includes('cgroup2'))?.[4];
  const path = mounts.find((m) => m.at(-1)?.split(',').includes('name=systemd'))?.[4];
  const id = /^(\d+):name=systemd:/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  const isMounted = path !== undefined && id !== undefined;
  return { v2, systemd: isMounted ? { path, hierarchy: Number(id) } : undefined };
}

test('a new cgroup is told with its path, a task in it with its id', { skip: skipWithoutBpf }, async () => {
  const { v2, systemd } = cgroupMounts();
  const folders: { path: string; rank: bigint; canRename: boolean }[] = [];
  const name = `flamekeeper-test-${process.pid}`;
  if (v2 !== undefined) folders.push({ path: join(v2, name), rank: 0n, canRename: false });
  if (systemd !== undefined) folders.push({ path: join(systemd.path, name), rank: 1n, canRename: true });
  assert.ok(folders.length > 0, 'cgroups are mounted');
  for (const { path, rank, canRename } of folders) {
    let id = 0n;
    const seen = await watchProcesses(async () => {
      mkdirSync(path);
      try {
        id = statSync(path, { bigint: true }).ino | (rank << 56n);
        await spawnAndWait('/bin/sh', ['-c', `echo $$ > ${path}/cgroup.procs; exec true`]);
        if (canRename) renameSync(path, `${path}-renamed`);
      } finally {
        rmdirSync(existsSync(path) ? path : `${path}-renamed`);
      }
    }, { rodata: { fk_cgroup_hierarchies: [systemd?.hierarchy ?? 0, 0, 0, 0] } });
    const paths = seen.cgroups.filter((c) => c.id === id).map((c) => basename(c.path));
    assert.deepEqual(paths, canRename ? [name, `${name}-renamed`] : [name]);
    assert.equal(seen.execs.filter((e) => e.cgroup === id).length, 1, 'the second exec, after the move');
    assert.equal(seen.exits.filter((e) => e.cgroup === id).length, 1);
  }
});
