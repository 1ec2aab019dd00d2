// The daemon with programs that keep no frame pointers: their stacks are whole, and every answer says what
// share is.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Profile } from '../../storage/model/profile.js';
import { nodeDepths } from '../../storage/model/stacks.js';
import { commandPath, TestDaemon } from '../support/daemon.js';
import { buildFixture, skipWithoutBpf as skip } from './probe-support.js';
import { withoutFramePointers } from './unwinding.js';

const runMs = 2500;
const folder = mkdtempSync(join(tmpdir(), 'fk-daemon-unwind-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function runForAWhile(path: string, shape: string): Promise<void> {
  const child = spawn(path, [shape], { stdio: 'ignore' });
  await sleep(runMs);
  child.kill('SIGKILL');
}

/** Share of stacks that are whole, and so many frames deep, as nearly all are: names are those of the file as it
 *  is when they are asked for. */
function wholeShare(profile: Profile, depth: number): number {
  const depths = nodeDepths(profile.parents);
  const isCut = (node: number) => profile.functions[profile.nodeFunctions[node]!]!.frameType === 'cut';
  let right = 0;
  let all = 0;
  for (let row = 0; row < profile.rowNodes.length; row++) {
    const leaf = profile.rowNodes[row]!;
    let root = leaf;
    while (profile.parents[root] !== 0) root = profile.parents[root]!;
    all += profile.values[0]![row]!;
    if (!isCut(root) && depths[leaf] === depth) right += profile.values[0]![row]!;
  }
  return right / all;
}

/** _start, __libc_start_main, its callee, main, by_..., and the leaf spin. */
const outer = 6;

//   daemon   |----------------------------------------------------|
//   program      recursion  recursion | written over | alloca  alloca     one inode, a link for each
//                (not known)                          (not known)
test('stacks without frame pointers are whole, also when the file is written over', { skip }, async () => {
  const path = join(folder, 'fk-0');
  copyFileSync(buildFixture('known-shapes.c', ...withoutFramePointers), path);
  const links = [1, 2, 3].map((n) => join(folder, `fk-${n}`));
  for (const link of links) linkSync(path, link);
  const daemon = await TestDaemon.start(['--frequency', '199']);
  try {
    await runForAWhile(path, 'recursion');
    await runForAWhile(links[0]!, 'recursion');
    const flags = withoutFramePointers.map((flag) => (flag === '-O2' ? '-Os' : flag));
    copyFileSync(buildFixture('known-shapes.c', ...flags), path);
    assert.equal(statSync(path).ino, statSync(links[2]!).ino);
    await runForAWhile(links[1]!, 'alloca');
    await runForAWhile(links[2]!, 'alloca');
    await sleep(10_500);
    const status = spawnSync(process.execPath, [commandPath, 'status', '--data', daemon.dir, '--json'], { encoding: 'utf8' });
    const told = JSON.parse(status.stdout);
    assert.ok(told.recent.completeness.stacks.complete > 0);
    assert.ok(told.daemon['unwind.tables'] > 0 && told.daemon['unwind.tableBytes'] > 4096, status.stdout);
    assert.ok(told.daemon['cost.kernelMemoryBytes'] > told.daemon['unwind.tableBytes']);
    await daemon.stop();
    const of = async (comm: string) => (await daemon.aggregate({ comm: [comm] })).profile;
    const shares = [wholeShare(await of('fk-1'), outer + 20), wholeShare(await of('fk-3'), outer + 5)];
    console.log(`whole: ${shares.map((share) => `${(share * 100).toFixed(1)} %`).join(', ')}`);
    assert.ok(shares.every((share) => share > 0.9), String(shares));
    const { coverage } = await daemon.aggregate();
    const { complete, cut } = coverage.completeness.stacks!;
    const counted = complete + Object.values(cut).reduce((sum, count) => sum + count, 0);
    assert.equal(counted, coverage.completeness.captured, 'each captured sample has its stack counted');
  } finally {
    daemon.remove();
  }
});
