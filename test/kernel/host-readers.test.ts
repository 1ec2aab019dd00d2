// What the daemon reads of this host, against the host: CPU time that adds up, a process whose work is
// known, messages that the test itself logs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KernelLog } from '../../collector/host/kernel-log.js';
import type { Query, SeriesAnswer } from '../../storage/model/query.js';
import { withDaemon } from '../support/daemon.js';
import { buildProgram } from '../support/programs.js';
import { skipWithoutBpf } from './probe-support.js';

const skip = skipWithoutBpf;
const SECOND = 1_000_000_000n;

function series(query: Query, stream: string, stepNs: bigint, by: readonly string[]): Promise<SeriesAnswer> {
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  const window = { fromUnixNs: nowNs - 300n * SECOND, toUnixNs: nowNs + 10n * SECOND };
  return query.series({ window, stepNs, filter: {}, stream, by });
}

function sumOf(answer: SeriesAnswer, keep: (key: string) => boolean): number {
  const values = answer.keys.filter(({ key }) => keep(key.join(' '))).flatMap((each) => [...each.values]);
  return (values as (number | undefined)[]).reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

test('messages of the kernel at a level or graver, each once', { skip }, () => {
  const log = KernelLog.open(4);
  assert.ok(typeof log !== 'string', String(log));
  const span = { startUnixNs: BigInt(Date.now()) * 1_000_000n, endUnixNs: 0n };
  const mark = `flamekeeper test ${process.pid}`;
  for (const level of [6, 4, 3]) appendFileSync('/dev/kmsg', `<${level}>${mark} at ${level}\n`);
  const { columns } = log.take({ span });
  assert.ok('timesNs' in columns);
  const [levels, , , messages] = columns.columns;
  const ours = [...columns.timesNs.keys()].filter((i) => String(messages![i]).startsWith(mark));
  assert.deepEqual(ours.map((i) => [levels![i], messages![i]]), [[4, `${mark} at 4`], [3, `${mark} at 3`]]);
  for (const i of ours) assert.ok(Math.abs(columns.timesNs[i]!) < 5e9, `${columns.timesNs[i]} ns from now`);
  const again = log.take({ span }).columns;
  assert.ok('timesNs' in again);
  assert.ok(!again.columns[3]!.some((message) => String(message) === `${mark} at 3`));
  log.close();
});

test('CPU time adds up, and a process has the time, faults and switches that it had', { skip }, async () => {
  const program = buildProgram('counted-work.c', 'counted-proc', ['-O1']);
  let whileRunning: SeriesAnswer | undefined;
  await withDaemon(
    ['--interval', '1s', '--frequency', '199'],
    async (daemon) => {
      // Over the end of a bucket of 10 s, and beyond the end of the daemon.
      const child = spawn(program, ['30000', '100000', '0', '0'], { stdio: 'ignore' });
      after(() => child.kill('SIGKILL'));
      await sleep(1500);
      await sleep(11_500 - (Date.now() % 10_000));
      const query = await daemon.query();
      whileRunning = await series(query, 'host.cpu', SECOND, ['mode']);
      query.close();
    },
    async (daemon) => {
      const query = await daemon.query();
      const isTime = (mode: string) => !mode.startsWith('guest');
      const cpu = await series(query, 'host.cpu', 10n * SECOND, ['mode']);
      query.close();
      for (const [name, answer] of Object.entries({ stored: cpu, seconds: whileRunning! })) {
        const coveredMs = answer.coveredNs.reduce((sum, ns) => sum + ns, 0) / 1e6;
        const share = sumOf(answer, isTime) / (coveredMs * cpus().length);
        console.log(`${name}: CPU time of all modes is ${(share * 100).toFixed(2)} % of the time covered`);
        // Ticks of 10 ms in ten modes of each CPU, and steal that the host takes its time to tell.
        assert.ok(Math.abs(share - 1) < 0.03, name);
      }
      const rows = (await daemon.events('process')).filter(({ values }) => values['comm'] === 'counted-proc');
      // It was new in the first row, so all counts but those after the last are there.
      const total = (name: string) => rows.reduce((sum, { values }) => sum + Math.max(0, Number(values[name])), 0);
      const last = rows.at(-1)!.values;
      const cpuMs = total('userTime') + total('systemTime');
      console.log(`${rows.length} rows: ${cpuMs} ms, /proc said ${last['totalTime']} ms at last`);
      assert.ok(rows.length === 2 || rows.length === 3, `${rows.length} rows`);
      assert.equal(cpuMs, last['totalTime']);
      assert.ok(cpuMs > 0);
      assert.ok(total('minorFaults') >= 99_000 && total('minorFaults') < 105_000, `${total('minorFaults')}`);
      assert.equal(last['state'], 'R');
    },
  );
});
