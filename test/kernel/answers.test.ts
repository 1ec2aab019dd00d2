// From the kernel to the answers on waiting, by the daemon and the command line as a user has them.
//
//   known-wait      -          8 on 2 CPUs         -         condition: its own waits, p50 > 500 us
//   window        quiet      held    held        quiet

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandPath, withDaemon } from '../support/daemon.js';
import { buildKnownProgram, runForSeconds } from '../support/programs.js';
import { skipWithoutBpf } from './probe-support.js';

interface DifferenceJson {
  readonly held: readonly (readonly [string, string])[];
  readonly heldWindows: number;
  readonly restWindows: number;
  readonly rows: readonly { readonly label: string; readonly selfBefore: number; readonly self: number }[];
}

function ask(dir: string, ...args: string[]): string {
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [commandPath, ...args, '--data', dir],
    options,
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

test(
  'threads that wait are found, with what they ran, and with their waits',
  { skip: skipWithoutBpf },
  async () => {
    const program = buildKnownProgram('known-wait');
    let [startMs, endMs] = [0, 0];
    const work = async () => {
      await sleep(12_000);
      startMs = Date.now();
      const crowd = Array.from({ length: 4 * cpus().length }, () => runForSeconds(program, ['60'], 14));
      await Promise.all(crowd);
      endMs = Date.now();
      await sleep(11_000);
    };
    await withDaemon([], work, async ({ dir }) => {
      const condition = 'runq p50 > 500us --comm known-wait';
      const answer = JSON.parse(ask(dir, 'flame', '--around', condition, '--json')) as DifferenceJson;
      assert.ok(answer.heldWindows >= 1 && answer.restWindows >= 1, JSON.stringify(answer.held));
      for (const [from, to] of answer.held) {
        assert.ok(Date.parse(from) < endMs && Date.parse(to) > startMs, `${from} to ${to} touches the crowd`);
      }
      // What the kernel does at each switch may take more than the turns themselves.
      const ofCrowd = ['--comm', 'known-wait', '--no-kernel'];
      const own = JSON.parse(
        ask(dir, 'flame', '--around', condition, ...ofCrowd, '--json'),
      ) as DifferenceJson;
      assert.equal(own.rows[0]!.label, 'spin');
      assert.ok(own.rows[0]!.self > own.rows[0]!.selfBefore);
      const { parts, by } = JSON.parse(
        ask(dir, 'latency', 'runq', '--comm', 'known-wait', '--by', 'process', '--json'),
      );
      assert.ok(parts[0].count > 100, `${parts[0].count} waits`);
      // Processes that have ended may be folded, without their pids.
      const alive = by.filter(({ key }: { key: [string, number] }) => key[1] > 0);
      assert.equal(alive.length, 4 * cpus().length, 'each process is a row');
      const { views } = JSON.parse(ask(dir, 'checklist', '--from', '-10m', '--json'));
      const missing = views.filter((view: { missing?: string }) => view.missing !== undefined);
      assert.deepEqual(missing, [], 'every view has what it needs');
    });
  },
);
