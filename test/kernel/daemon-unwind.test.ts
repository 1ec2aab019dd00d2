// The daemon with programs that keep no frame pointers: their stacks are whole, and every answer says what
// share is.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatingError } from '../../storage/model/errors.js';
import { nodeDepths } from '../../storage/model/stacks.js';
import { commandPath, TestDaemon } from '../support/daemon.js';
import { buildFixture, skipWithoutBpf as skip } from './probe-support.js';
import { withoutFramePointers } from './unwinding.js';

/** At 199 Hz some hundred samples. */
const runMs = 2500;
const knownWithinMs = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'fk-daemon-unwind-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function whileRunning(path: string, shape: string, work: () => Promise<unknown>): Promise<void> {
  const child = spawn(path, [shape], { stdio: 'ignore' });
  try {
    await work();
  } finally {
    child.kill('SIGKILL');
  }
}

/** Samples of a program: all, and those whose stacks are whole and so many frames deep, as nearly all are.
 *  Names are not looked at: they are those of the file as it is when they are asked for. */
async function samplesOf(daemon: TestDaemon, comm: string, depth: number): Promise<{ whole: number; all: number }> {
  const { profile } = await daemon.aggregate({ comm: [comm] });
  const depths = nodeDepths(profile.parents);
  const isCut = (node: number) => profile.functions[profile.nodeFunctions[node]!]!.frameType === 'cut';
  let [whole, all] = [0, 0];
  for (let row = 0; row < profile.rowNodes.length; row++) {
    const leaf = profile.rowNodes[row]!;
    let root = leaf;
    while (profile.parents[root] !== 0) root = profile.parents[root]!;
    all += profile.values[0]![row]!;
    if (!isCut(root) && depths[leaf] === depth) whole += profile.values[0]![row]!;
  }
  return { whole, all };
}

function noneBeforeTheFirstFlush(error: unknown): { whole: number; all: number } {
  if (error instanceof OperatingError && error.code === 'no-data') return { whole: 0, all: 0 };
  throw error;
}

/** Returns once the samples that come in are whole: the table of the program's file is there. */
async function untilKnown(daemon: TestDaemon, comm: string, depth: number): Promise<void> {
  const giveUpMs = Date.now() + knownWithinMs;
  let before = { whole: 0, all: 0 };
  for (;;) {
    await sleep(1000);
    const now = await samplesOf(daemon, comm, depth).catch(noneBeforeTheFirstFlush);
    const came = { whole: now.whole - before.whole, all: now.all - before.all };
    if (came.all > 50 && came.whole > 0.9 * came.all) return;
    assert.ok(Date.now() < giveUpMs, `of ${comm}'s ${now.all} samples ${now.whole} are whole; ${daemon.stderr}`);
    before = now;
  }
}

/** _start, __libc_start_main, its callee, main, by_..., and the leaf spin. */
const outer = 6;
const [recursion, alloca] = [outer + 20, outer + 5];

//   daemon   |----------------------------------------------------|
//   program      recursion  recursion | written over | alloca  alloca     one inode, a link for each
//                (not known)                          (not known)
test('stacks without frame pointers are whole, also when the file is written over', { skip }, async () => {
  const path = join(folder, 'fk-0');
  copyFileSync(buildFixture('known-shapes.c', ...withoutFramePointers), path);
  const links = [1, 2, 3].map((n) => join(folder, `fk-${n}`));
  for (const link of links) linkSync(path, link);
  const daemon = await TestDaemon.start(['--frequency', '199', '--interval', '1s']);
  try {
    await whileRunning(path, 'recursion', () => untilKnown(daemon, 'fk-0', recursion));
    await whileRunning(links[0]!, 'recursion', () => sleep(runMs));
    const flags = withoutFramePointers.map((flag) => (flag === '-O2' ? '-Os' : flag));
    copyFileSync(buildFixture('known-shapes.c', ...flags), path);
    assert.equal(statSync(path).ino, statSync(links[2]!).ino);
    await whileRunning(links[1]!, 'alloca', () => untilKnown(daemon, 'fk-2', alloca));
    await whileRunning(links[2]!, 'alloca', () => sleep(runMs));
    const status = spawnSync(process.execPath, [commandPath, 'status', '--data', daemon.dir, '--json'], { encoding: 'utf8' });
    const told = JSON.parse(status.stdout);
    assert.ok(told.recent.completeness.stacks.complete > 0);
    assert.ok(told.daemon['unwind.tables'] > 0 && told.daemon['unwind.tableBytes'] > 4096, status.stdout);
    assert.ok(told.daemon['cost.kernelMemoryBytes'] > told.daemon['unwind.tableBytes']);
    await daemon.stop();
    for (const [comm, depth] of [['fk-1', recursion], ['fk-3', alloca]] as const) {
      const { whole, all } = await samplesOf(daemon, comm, depth);
      console.log(`${comm}: ${whole} of ${all} whole`);
      assert.ok(all > 30 && whole > 0.9 * all, `${comm}: ${whole} of ${all}; the daemon said: ${daemon.stderr}`);
    }
    const { coverage } = await daemon.aggregate();
    const { complete, cut } = coverage.completeness.stacks!;
    const counted = complete + Object.values(cut).reduce((sum, count) => sum + count, 0);
    assert.equal(counted, coverage.completeness.captured, 'each captured sample has its stack counted');
  } finally {
    daemon.remove();
  }
});
