// The difference of two profiles: rates, the one that grew first, and sums that no row is missing from.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffOf } from '../../../storage/model/diff.js';
import { totalOf } from '../../../storage/model/profile.js';
import { buildProfile, kernelFunction, nativeFunction, profiles, seriesOf } from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('diff.test');

const app = seriesOf('app', 1);
const [main, work, spin, read] = ['main', 'work', 'spin', 'read'].map((name) => nativeFunction(name));

test('the function that grew stands first, whatever the lengths; the one that shrank last', () => {
  const now = buildProfile([
    { series: app, stack: [main!, work!], count: 100 },
    { series: app, stack: [main!, spin!], count: 900 },
  ]);
  const before = buildProfile([
    { series: app, stack: [main!, work!], count: 6000 },
    { series: app, stack: [main!, spin!], count: 60 },
    { series: seriesOf('other', 2), stack: [main!, work!, read!], count: 1200 },
  ]);
  const rows = diffOf({ profile: now, seconds: 10 }, { profile: before, seconds: 600 }, 0);
  assert.deepEqual(
    rows.map(({ label, self, selfBefore, total, totalBefore }) => [label, self, selfBefore, total, totalBefore]),
    [
      ['spin', 90, 0.1, 90, 0.1],
      // Equal growth of self: that of total decides.
      ['main', 0, 0, 100, 12.1],
      ['work', 10, 10, 10, 12],
      ['read', 0, 2, 0, 2],
    ],
  );
});

test('functions of one name in two modules are two', () => {
  const now = buildProfile([{ series: app, stack: [kernelFunction('read')], count: 1 }]);
  const before = buildProfile([{ series: app, stack: [read!], count: 1 }]);
  const rows = diffOf({ profile: now, seconds: 1 }, { profile: before, seconds: 1 }, 0);
  assert.deepEqual(
    rows.map(({ moduleName, self, selfBefore }) => [moduleName, self, selfBefore]),
    [
      ['[kernel]', 1, 0],
      ['app', 0, 1],
    ],
  );
});

test('self values of all rows sum to the profiles, and a profile against itself has no difference', () => {
  fc.assert(
    fc.property(profiles(), profiles(), (now, before) => {
      const rows = diffOf({ profile: now, seconds: 1 }, { profile: before, seconds: 1 }, 0);
      const sum = (of: (row: (typeof rows)[number]) => number) => rows.reduce((s, row) => s + of(row), 0);
      assert.equal(sum((row) => row.self), totalOf(now));
      assert.equal(sum((row) => row.selfBefore), totalOf(before));
      for (const row of diffOf({ profile: now, seconds: 3 }, { profile: now, seconds: 3 }, 0)) {
        assert.equal(row.self, row.selfBefore);
      }
    }),
  );
});
