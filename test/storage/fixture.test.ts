// Stores that released versions wrote must open for ever.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFiles } from '../../storage/query.js';
import { noon, plainRows, windowOf } from './support.js';

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
