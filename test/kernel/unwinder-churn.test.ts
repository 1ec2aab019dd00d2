// Code and tables that change under the unwinder: no stack may become wrong by it.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as wire from '../../bpf/generated/wire.js';
import { buildFixture, skipWithoutBpf, sleep } from './probe-support.js';
import { until } from '../support/wait.js';
import { functionFinder, Sampler, withChild, type Sample } from './sampler-run.js';
import type { Served } from './table-server.js';
import {
  assertVerdicts,
  chainOf,
  namesOf,
  recursion,
  Unwinding,
  verdicts,
  withoutFramePointers,
} from './unwinding.js';

/** One frame in the library, and none but there outside the program before main. */
const inLibrary = '((spin )?work )?outside by_mapping main ';
const outsideLibrary = '(outside )*(by_mapping )?main ';

for (const way of ['fixed', 'dlopen']) {
  test(`other code at the same place, by ${way}`, { skip: skipWithoutBpf }, async () => {
    const program = buildFixture('remapping.c', ...withoutFramePointers);
    const libraries = [24, 152].map((room) =>
      buildFixture('mapped-code.S', `-DROOM=${room}`, '-shared', '-nostdlib', '-Wl,-e,enter'));
    const nameOf = functionFinder(program);
    const unwinding = new Unwinding();
    try {
      await withChild(program, [way, ...libraries], async (child) => {
        await unwinding.warm(() => child.pid!);
        const samples = await unwinding.sample(child.pid!, 1500);
        const weights = verdicts(samples, (sample) => {
          const names = namesOf(sample, nameOf).map((name) => (name === '_init' ? 'outside' : name));
          return names.slice(0, names.indexOf('main') + 1).map((name) => `${name} `).join('');
        }, `(${inLibrary}|${outsideLibrary})`);
        assertVerdicts(weights, 0.6);
      });
      const tables = unwinding.server.served.filter(({ request }) => request.file_offset === 4096n);
      assert.ok(tables.length >= 2, 'each library has a table of its own');
    } finally {
      unwinding.close();
    }
  });
}

test('mappings that come and go beside', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('known-shapes.c', ...withoutFramePointers);
  const nameOf = functionFinder(program);
  const unwinding = new Unwinding();
  try {
    await withChild(program, ['mmap'], async (child) => {
      await unwinding.warm(() => child.pid!);
      const samples = await unwinding.sample(child.pid!, 2000);
      const ofMain = samples.filter(({ key }) => key.tid === child.pid);
      assertVerdicts(verdicts(ofMain, (sample) => chainOf(sample, nameOf), recursion));
      const ofOther = samples.filter(({ key }) => key.tid !== child.pid);
      assertVerdicts(verdicts(ofOther, (sample) => chainOf(sample, nameOf), '(map_always )?'));
    });
  } finally {
    unwinding.close();
  }
});

test('tables that are taken away while they are in use', { skip: skipWithoutBpf }, async () => {
  const program = buildFixture('known-shapes.c', ...withoutFramePointers);
  const nameOf = functionFinder(program);
  const unwinding = new Unwinding();
  try {
    await withChild(program, ['recursion'], async (child) => {
      await unwinding.warm(() => child.pid!);
      let evictions = 0;
      let evicted: Served | undefined;
      const timer = setInterval(() => {
        const { served } = unwinding.server;
        const latest = served.findLast(({ request }) => request.incarnation.tgid === child.pid);
        if (latest === undefined || latest === evicted) return;
        unwinding.server.evict(latest);
        evicted = latest;
        evictions++;
      }, 200).unref();
      const samples: Sample[] = [];
      const isWithout = ({ user }: Sample) => user?.end === wire.FkStackEnd.FK_END_NO_TABLE;
      await until(async () => {
        samples.push(...(await unwinding.sample(child.pid!, 500)));
        return samples.length > 200 && evictions > 10 && samples.some(isWithout);
      }, 'tables are taken away from stacks');
      clearInterval(timer);
      const weights = verdicts(samples, (sample) => chainOf(sample, nameOf), recursion);
      assertVerdicts(weights, 0.3);
      assert.ok(evictions > 10 && (weights.get('no unwind table yet') ?? 0) > 0, `${evictions} evictions`);
      for (const verdict of weights.keys()) assert.match(verdict, /^(right|no unwind table yet)$/);
    });
  } finally {
    unwinding.close();
  }
});

test('where files or requests find no room is counted, and the stack says so', { skip: skipWithoutBpf }, async () => {
  const libraries = '/usr/lib/x86_64-linux-gnu';
  const paths = readdirSync(libraries).filter((name) => /\.so\.\d+$/.test(name)).slice(0, 100);
  const visitor = buildFixture('visit-modules.c', '-O2');
  const statsWith = async (maxEntries: Record<string, number>) => {
    const sampler = new Sampler({ maxEntries });
    try {
      sampler.start();
      await withChild(visitor, paths.map((name) => join(libraries, name)), async (child) => {
        await sleep(2000);
        const { samples } = await sampler.take();
        const own = samples.filter(({ key }) => key.incarnation.tgid === child.pid);
        assert.ok(own.length > 0 && own.every(({ user }) => user?.end !== wire.FkStackEnd.FK_END_COMPLETE));
      });
      const map = sampler.probe.map('unwind_stats');
      const view = new DataView(map.lookup(new Uint8Array(4))!.buffer);
      const perCpu = Array.from({ length: view.byteLength / wire.FK_UNWIND_STATS_SIZE }, (_, cpu) =>
        wire.decodeFkUnwindStats(view, cpu * wire.FK_UNWIND_STATS_SIZE));
      const sum = (numbers: bigint[]) => Number(numbers.reduce((total, n) => total + n, 0n));
      return {
        filesFull: sum(perCpu.map(({ files_full }) => files_full)),
        requestDrops: sum(perCpu.map(({ request_drops }) => request_drops)),
      };
    } finally {
      sampler.close();
    }
  };
  const few = await statsWith({ files: 8 });
  assert.ok(few.filesFull > 0 && few.requestDrops === 0, JSON.stringify(few));
  const small = await statsWith({ requests: 4096 });
  assert.ok(small.filesFull === 0 && small.requestDrops > 0, JSON.stringify(small));
});
