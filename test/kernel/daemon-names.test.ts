// Names are those of what a file held as it was sampled, though it is written over where it lies: then the new
// names are the next program's, and those of a program that has it mapped all the time.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { copyFileSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { functionLabel } from '../../storage/model/frame.js';
import { nodeSums } from '../../storage/model/profile.js';
import { withDaemon } from '../support/daemon.js';
import { buildProgram, cpuSecondsOf, runUntil } from '../support/programs.js';
import { until } from '../support/wait.js';
import { skipWithoutBpf as skip } from './probe-support.js';

const frequencyHz = 199;
const flags = ['-O1', '-fno-optimize-sibling-calls', '-ldl'];
const args = ['--frequency', String(frequencyHz), '--interval', '1s'];
const folder = mkdtempSync(join(tmpdir(), 'fk-daemon-names-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const [oldName, newName] = ['alpha_of_before', 'omega_of_after_'] as const;

function build(leaf: string, ...more: readonly string[]): string {
  return buildProgram('named-work.c', `${leaf}${more.length}`, [...flags, `-DLEAF=${leaf}`, ...more]);
}

const hasWorked = (pid: number) => cpuSecondsOf(pid) >= 1.5;

function untilItUsed(child: ChildProcess, cpuSeconds: number): Promise<void> {
  return until(() => cpuSecondsOf(child.pid!) >= cpuSeconds, `the program runs for ${cpuSeconds} s`);
}

/** Samples by the name of the frame above `work`. */
async function leavesOf(daemon: Parameters<Parameters<typeof withDaemon>[2]>[0], comm: string) {
  const { profile } = await daemon.aggregate({ comm: [comm] });
  const { total } = nodeSums(profile);
  const sums = new Map<string, number>();
  profile.nodeFunctions.forEach((fn, node) => {
    const info = profile.functions[fn]!;
    const name = info.reason ?? functionLabel(info);
    if (node > 0) sums.set(name, (sums.get(name) ?? 0) + total[node]!);
  });
  const samples = (name: string) => sums.get(name) ?? 0;
  return { before: samples(oldName), after: samples(newName), unknown: samples('file-changed'), sums };
}

//   file       a a a a a a a a | b b b b b b b b       one inode, a link for each program
//   programs     first           second
test('a program that is written over: the next one has its own names', { skip }, async () => {
  const path = join(folder, 'fk-first');
  const link = join(folder, 'fk-second');
  copyFileSync(build(oldName), path);
  linkSync(path, link);
  await withDaemon(
    args,
    async () => {
      await runUntil(path, [], hasWorked);
      copyFileSync(build(newName), path);
      assert.equal(statSync(path).ino, statSync(link).ino);
      await runUntil(link, [], hasWorked);
    },
    async (daemon) => {
      const [first, second] = [await leavesOf(daemon, 'fk-first'), await leavesOf(daemon, 'fk-second')];
      const said = JSON.stringify([...first.sums, ...second.sums]);
      assert.ok(first.before > 30 && first.after === 0, said);
      assert.ok(second.after > 30 && second.before === 0, said);
      assert.equal(first.unknown + second.unknown, 0, said);
    },
  );
});

//   library    a a a a a a a a | b b b b b b b b       the same code, under another name
//   program    -----------------------------------
//   names      a a a a a a a      . b b b b b b b      .: of the flush in which it held both
test('a library that is written over while it is mapped', { skip }, async () => {
  const [before, after] = [oldName, newName].map((leaf) => build(leaf, '-DLIBRARY', '-shared', '-fPIC'));
  const library = join(folder, 'libfk.so');
  const program = join(folder, 'fk-mapping');
  copyFileSync(before!, library);
  copyFileSync(build('unused'), program);
  const [bytes, other] = [readFileSync(before!), readFileSync(after!)];
  assert.equal(bytes.length, other.length);
  const used = { before: 0, after: 0 };
  await withDaemon(
    args,
    async () => {
      const child = spawn(program, [library], { stdio: 'ignore' });
      await untilItUsed(child, 2);
      writeFileSync(library, other, { flag: 'r+' });
      used.before = cpuSecondsOf(child.pid!);
      await untilItUsed(child, used.before + 2);
      used.after = cpuSecondsOf(child.pid!) - used.before;
      child.kill('SIGKILL');
    },
    async (daemon) => {
      const found = await leavesOf(daemon, 'fk-mapping');
      const said = `${JSON.stringify([...found.sums])} of ${JSON.stringify(used)}`;
      // Of chance; one flush more would be 199 samples.
      const most = (seconds: number) => seconds * frequencyHz + 3 * Math.sqrt(seconds * frequencyHz) + 20;
      assert.ok(found.before <= most(used.before) && found.before > 30, said);
      assert.ok(found.after <= most(used.after) && found.after > 30, said);
      console.log(`named by the library of before ${found.before}, of after ${found.after}, of both ${found.unknown}`);
    },
  );
});
