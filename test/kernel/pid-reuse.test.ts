// A process number that goes from one program to another, again and again: stacks and names are each program's
// own. The two have other code, frames of another size and other names at the same addresses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDaemon } from '../support/daemon.js';
import { plainRowsOf } from '../support/profiles.js';
import { buildProgram, runProgram } from '../support/programs.js';
import { skipWithoutBpf as skip } from './probe-support.js';
import { withoutFramePointers } from './unwinding.js';

const rounds = 20;
const cpuMs = 300;

test('one process number, two programs in turn', { skip }, async () => {
  const build = (comm: string, leaf: string, roomBytes: number) =>
    buildProgram('named-work.c', comm, [...withoutFramePointers, '-ldl', `-DLEAF=${leaf}`, `-DROOM=${roomBytes}`]);
  const programs = [build('fk-one', 'alpha_of_one', 24), build('fk-two', 'omega_of_two', 104)];
  const spawner = buildProgram('pid-reuse.c', 'pid-reuse', ['-O1']);
  let pids: number[] = [];
  await withDaemon(
    ['--frequency', '199', '--interval', '1s'],
    async () => {
      const printed = await runProgram(spawner, [String(rounds), String(cpuMs), ...programs]);
      pids = printed.trim().split('\n').map(Number);
    },
    async (daemon) => {
      assert.equal(pids.length, rounds);
      const reused = pids.filter((pid, i) => pid === pids[i - 1]).length;
      assert.ok(reused >= rounds / 2, `the number was used again ${reused} times`);
      const exits = (await daemon.events('exit')).map(({ values }) => values);
      const ours = exits.filter(({ executable }) => programs.includes(String(executable)));
      assert.deepEqual(ours.map(({ pid }) => pid), pids);
      assert.deepEqual(ours.map(({ executable }) => executable), pids.map((_, i) => programs[i % 2]));
      for (const [comm, leaf] of [['fk-one', 'alpha_of_one'], ['fk-two', 'omega_of_two']] as const) {
        const { profile } = await daemon.aggregate({ comm: [comm] });
        const isRight = new RegExp(`^_start [^ ]+ [^ ]+ main work( ${leaf})?$`);
        let whole = 0;
        for (const { frames, cut, series, values } of plainRowsOf(profile)) {
          const user = frames.filter(({ frameType }) => frameType === 'native');
          const text = user.map(({ name, reason }) => name || reason).join(' ');
          const said = `${comm}: ${text}${cut === undefined ? '' : `, cut: ${cut}`}`;
          assert.ok(programs.some((path) => path === series.exe && path.endsWith(comm)), series.exe);
          const files = user.map(({ module }) => module.path).filter((path) => programs.includes(path));
          assert.ok(files.every((path) => path === series.exe), said);
          assert.ok(!text.includes(leaf === 'alpha_of_one' ? 'omega' : 'alpha'), said);
          if (cut !== undefined || !text.includes(' work')) continue;
          assert.match(text, isRight, said);
          whole += values[0]!;
        }
        assert.ok(whole > 100, `${whole} whole stacks of ${comm}`);
        console.log(`${comm}: ${whole} whole stacks, the number used again ${reused} times`);
      }
    },
  );
});
