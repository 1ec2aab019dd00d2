// Stores that released versions wrote must open for ever.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Histogram } from '../../storage/model/histogram.js';
import { openFiles } from '../../storage/query.js';
import { noon, plainRows, second, windowOf } from './support.js';

const dir = join(process.cwd(), 'test/fixtures/store-v1/data');

test('a store of version 1 opens, and reading leaves it as it was', async () => {
  const before = readdirSync(dir);
  const query = openFiles(dir);
  const window = windowOf(noon, 3600);
  const { profile, coverage } = await query.aggregate({
    windows: [window],
    filter: {},
    stream: 'cpu',
  });
  assert.deepEqual(
    [...plainRows(profile)].map((row) => row.join(' ')),
    [
      'db 2 [cut: frame pointer not plausible];do_syscall_64 688',
      'db 2 main;app::run(int) 608',
      'db 2 main;app::run(int);[libfoo.so+0x1000] 648',
      'web 1 [cut: frame pointer not plausible];do_syscall_64 684',
      'web 1 main;app::run(int) 604',
      'web 1 main;app::run(int);[libfoo.so+0x1000] 644',
    ],
  );
  assert.deepEqual(coverage, {
    fromUnixNs: noon,
    toUnixNs: noon + 40_000_000_000n,
    buckets: 4,
    completeness: {
      expected: 4000,
      captured: 3600,
      idle: 360,
      notFired: -4,
      lost: { count_map_full: 44 },
      unexplained: 0,
      missingBuckets: 0,
      brokenBlobs: 0,
    },
  });
  const { events } = await query.events({ window, filter: {}, stream: 'exec', limit: 100 });
  assert.equal(events.length, 12);
  assert.deepEqual(events[4], {
    unixNs: noon + 12_500_000_000n,
    values: { pid: 4, comm: 'make', duration: 1e6 },
  });
  const mangled = profile.functions.find(({ systemName }) => systemName !== undefined);
  assert.deepEqual(mangled, {
    module: { name: 'app', path: '/bin/app', buildId: 'ab01' },
    frameType: 'native',
    name: 'app::run(int)',
    systemName: '_ZN3app3runEi',
    file: 'run.cc',
    startLine: 7,
  });
  const { segments } = await query.status();
  assert.deepEqual(
    segments.map(({ state }) => state),
    ['closed', 'closed', 'closed', 'active'],
  );
  assert.deepEqual(readdirSync(dir), before);
});

test('histograms, counters and gauges of version 1', async () => {
  const path = join(process.cwd(), 'test/fixtures/store-v1-metrics/data');
  const before = readdirSync(path);
  const query = openFiles(path);
  const window = windowOf(noon + 43_180n * second, 40);
  const request = { window, stepNs: 20n * second, filter: {} };
  const delays = await query.series({ ...request, stream: 'runq' });
  assert.ok(delays.kind === 'histogram');
  const text = ({ slots, counts, count, sumNs }: Histogram) =>
    `${slots.join()} x ${counts.join()} = ${count}, ${sumNs} ns`;
  assert.deepEqual(
    delays.keys.map(({ key, values }) => [key.join(' '), ...values.map((h) => h && text(h))]),
    [
      [
        '1 web /web.slice',
        '-241,-240,-160,-152,-147,-144,-80,7,94,102,107 x 5,4,1,1,1,1,8,4,1,1,1 = 28, 21608008010004 ns',
        '-241,-240,-141,-139,-137,-136,-80,7,110,113,115,116 x 4,4,1,1,1,1,8,4,1,1,1,1 = 28, 79208008026004 ns',
      ],
      ['2 db /db.slice', '-88 x 2 = 2, 1000003 ns', '-88 x 1 = 1, 500006 ns'],
      ['3 db /db.slice', '-88 x 1 = 1, 500001 ns', '-88 x 2 = 2, 1000011 ns'],
      ['4 db /db.slice', '-88 x 1 = 1, 500002 ns', '-88 x 1 = 1, 500005 ns'],
    ],
  );
  assert.deepEqual(delays.counters, { captured: 64, 'lost.count_map_full': 28 });
  assert.deepEqual(delays.coveredNs, [20e9, 20e9]);
  const counter = await query.series({ ...request, stream: 'faults' });
  assert.deepEqual(counter.keys, [
    { key: [0, 'sda'], values: [4097, 68736253952] },
    { key: [1, 'sda'], values: [262208, 4399120252928] },
  ]);
  const gauge = await query.series({ ...request, stream: 'load' });
  assert.deepEqual(gauge.keys, [
    { key: ['sda'], values: [1.56, 3.64] },
    { key: ['eth0'], values: [-4503599627370499, -4503599627370503] },
  ]);
  const windows = [window];
  const { profile } = await query.aggregate({ windows, filter: {}, stream: 'cpu' });
  assert.deepEqual([...plainRows(profile).values()], [36]);
  assert.deepEqual(readdirSync(path), before);
});
