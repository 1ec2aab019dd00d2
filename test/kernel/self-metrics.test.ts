// What a daemon tells of itself, against what its headers, the kernel and its own files say.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFiles } from '../../storage/query.js';
import { TestDaemon } from '../support/daemon.js';

test('samples, stacks, CPU time, memory and flushes are kept as streams', { timeout: 120_000 }, async () => {
  const daemon = await TestDaemon.start(['--interval', '500ms']);
  // So that each flush has about as many samples.
  const spinner = spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' });
  try {
    await sleep(4000);
    const tasks = execFileSync('cat', [`/proc/${daemon.pid}/stat`], { encoding: 'utf8' });
    const fields = tasks.slice(tasks.lastIndexOf(')') + 2).split(' ');
    const cpuSecondsBefore = (Number(fields[11]) + Number(fields[12])) / 100;
    const rssBytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1]) * 1024;
    const asked = await daemon.query();
    for (let i = 0; i < 3; i++) await asked.status();
    asked.close();
    await sleep(1500);
    await daemon.stop();
    const { completeness } = (await daemon.aggregate()).coverage;
    const query = openFiles(daemon.dir);
    const window = { fromUnixNs: 0n, toUnixNs: BigInt(Date.now() + 3600e3) * 1_000_000n };
    const stepNs = 10n ** 10n * 8640n * 10_000n;
    const ask = (stream: string) => query.series({ window, stepNs, filter: {}, stream });
    const valuesOf = async (stream: string) =>
      new Map(
        (await ask(stream)).keys.map(({ key, values }) => {
          const told = values.filter((value) => value !== undefined) as number[];
          return [key.join(' '), told.reduce((sum, value) => sum + value, 0)];
        }),
      );
    const samples = await valuesOf('self.samples');
    assert.equal(samples.get('cpu expected'), completeness.expected);
    assert.equal(samples.get('cpu captured'), completeness.captured);
    assert.equal(samples.get('cpu idle') ?? 0, completeness.idle);
    assert.ok(completeness.captured > 0);
    const stacks = await valuesOf('self.stacks');
    // What the back tells of a flush is stored with the next: the last one's is missing.
    const told = [...stacks.values()].reduce((sum, count) => sum + count, 0);
    const { captured } = completeness;
    assert.ok(told > captured / 4 && told < captured, `${told} stacks of ${captured} samples`);
    assert.ok((stacks.get('cpu complete') ?? 0) <= completeness.stacks!.complete);
    for (const [reason, count] of Object.entries(completeness.stacks!.cut)) {
      assert.ok((stacks.get(`cpu ${reason}`) ?? 0) <= count, reason);
    }
    const cpu = await valuesOf('self.cpu');
    const seconds = [...cpu.values()].reduce((sum, ns) => sum + ns, 0) / 1e9;
    assert.ok(seconds > cpuSecondsBefore * 0.8 && seconds < cpuSecondsBefore + 20, `${seconds} s`);
    assert.ok((cpu.get('front') ?? 0) > 0 && (cpu.get('back') ?? 0) > 0);
    const memory = await valuesOf('self.memory');
    assert.ok(Math.abs(memory.get('rss')! - rssBytes) < rssBytes / 2);
    assert.ok(memory.get('kernel')! > 2 ** 20);
    const flushes = await ask('self.flush');
    assert.ok(flushes.kind === 'histogram');
    assert.deepEqual(flushes.keys.map(({ key }) => key[0]).sort(), ['drain', 'store']);
    assert.ok((await valuesOf('self.frames')).get('named')! > 0);
    assert.ok((await valuesOf('self.store')).get('')! > 4096);
    const [segment] = readdirSync(daemon.dir).filter((name) => name.endsWith('.db') && name !== 'state.db');
    const bornMs = statSync(`${daemon.dir}/${segment}`).birthtimeMs;
    const ages = (await ask('self.store.age')).keys[0]!.values.filter((age) => age !== undefined);
    const sinceBirth = (Date.now() - bornMs) / 1000;
    // Its name says when its first bucket of 10 s began.
    assert.ok(Number(ages.at(-1)) >= 0 && Number(ages.at(-1)) < sinceBirth + 11, `${String(ages)} s`);
    const fills = await valuesOf('self.maps');
    for (const [map, millionths] of fills) assert.ok(millionths >= 0 && millionths <= 1e6, map);
    for (const map of ['sampler counts', 'sampler stacks', 'process events', 'runqlat waits']) {
      assert.ok(fills.has(map), `${map} of ${[...fills.keys()].join(', ')}`);
    }
    assert.ok(fills.get('sampler counts')! > 0);
    const stalls = await valuesOf('self.stall');
    assert.ok(stalls.get('front')! > 0 && stalls.get('back')! > 0);
    const queries = await ask('self.query');
    assert.ok(queries.kind === 'histogram');
    const answers = queries.keys.map(({ key, values }) => [key[0], values.reduce((n, v) => n + (v?.count ?? 0), 0)]);
    assert.deepEqual(answers, [['status', 3]]);
    query.close();
  } finally {
    spinner.kill('SIGKILL');
    daemon.remove();
  }
});
