// topOf and stackCompleteness against sums made row by row.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { functionLabel } from '../../../storage/model/frame.js';
import { totalOf } from '../../../storage/model/profile.js';
import { cutByProcess, noFramesLabel, stackCompleteness } from '../../../storage/model/stacks.js';
import { topOf } from '../../../storage/model/top.js';
import {
  buildProfile,
  nativeFunction,
  plainRowsOf,
  profiles,
  seriesOf,
  sumBy,
  smallProfile,
} from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('top.test');

test('counts a recursive function once in its total', () => {
  const { rows, total } = topOf(smallProfile(), { valueIndex: 0, limit: 4, sortBy: 'self' });
  assert.equal(total, 55);
  assert.deepEqual(
    rows.map((row) => `${row.self} ${row.total} ${row.label} ${row.moduleName}`),
    [
      '20 26 ns::work<int>(char) app',
      `19 19 ${noFramesLabel} `,
      '8 8 [libx.so+0x2000] libx.so',
      '5 6 vfs_read [kernel]',
    ],
  );
  const byTotal = topOf(smallProfile(), { valueIndex: 1, limit: 2, sortBy: 'total' });
  assert.deepEqual(byTotal.rows.map(({ label }) => label), ['ns::work<int>(char)', 'main']);
});

test('agrees with sums over plain rows', () => {
  fc.assert(
    fc.property(profiles(), fc.constantFrom(0, 1), (profile, valueIndex) => {
      const { rows, total } = topOf(profile, { valueIndex, limit: Infinity, sortBy: 'total' });
      const self = new Map<string, number>();
      const totals = new Map<string, number>();
      const add = (sums: Map<string, number>, key: string, value: number): unknown =>
        sums.set(key, (sums.get(key) ?? 0) + value);
      for (const { frames, values } of plainRowsOf(profile)) {
        const keys = frames.map((fn) => `${fn.module.name}\0${functionLabel(fn)}`);
        if (keys.length === 0) keys.push(`\0${noFramesLabel}`);
        add(self, keys.at(-1)!, values[valueIndex]!);
        for (const key of new Set(keys)) add(totals, key, values[valueIndex]!);
      }
      assert.equal(total, totalOf(profile, valueIndex));
      assert.equal(rows.length, totals.size);
      for (const row of rows) {
        const key = `${row.moduleName}\0${row.label}`;
        assert.deepEqual([row.self, row.total], [self.get(key) ?? 0, totals.get(key)]);
      }
      rows.slice(1).forEach((row, i) => assert.ok(row.total <= rows[i]!.total));
    }),
  );
});

test('says how many stacks are complete and how many frames have names', () => {
  assert.deepEqual(stackCompleteness(smallProfile()), {
    complete: 39,
    cut: { unreadable: 16 },
    framesNamed: 67,
    framesUnnamed: { 'no-match': 1, 'no-symbols': 8 },
  });
  fc.assert(
    fc.property(profiles(), (profile) => {
      const { complete, cut, framesNamed, framesUnnamed } = stackCompleteness(profile);
      const sum = (weights: readonly number[]): number =>
        weights.reduce((all, weight) => all + weight, 0);
      const rows = plainRowsOf(profile);
      assert.equal(complete + sum(Object.values(cut)), totalOf(profile));
      assert.equal(
        complete,
        sum(rows.filter((row) => row.cut === undefined).map((row) => row.values[0]!)),
      );
      const frames = sum(rows.map((row) => row.frames.length * row.values[0]!));
      assert.equal(framesNamed + sum(Object.values(framesUnnamed)), frames);
    }),
  );
});

test('says whose stacks are cut', () => {
  assert.deepEqual(cutByProcess(smallProfile(), 9), [
    { pid: 42, comm: 'db', exe: '/usr/bin/db', complete: 24, cut: { unreadable: 9 } },
    { pid: 41, comm: 'app', exe: '/usr/bin/app', complete: 15, cut: { unreadable: 7 } },
  ]);
  assert.deepEqual(cutByProcess(smallProfile(), 1).map(({ comm }) => comm), ['db']);
  fc.assert(
    fc.property(profiles(), (profile) => {
      const rows = plainRowsOf(profile);
      const keyOf = ({ series: { pid, comm, exe, startUnixMs } }: (typeof rows)[number]) =>
        JSON.stringify([pid, startUnixMs, comm, exe]);
      const cutRows = rows.filter(({ cut }) => cut !== undefined);
      const expected = [...sumBy(cutRows, keyOf, ({ values }) => values[0]!).values()].sort((a, b) => b - a);
      const found = cutByProcess(profile, Infinity);
      assert.deepEqual(found.map(({ cut }) => Object.values(cut).reduce((a, b) => a + b, 0)), expected);
      const ofThese = new Set(cutRows.map(keyOf));
      const whole = rows.filter((row) => row.cut === undefined && ofThese.has(keyOf(row)));
      assert.equal(
        found.reduce((sum, { complete }) => sum + complete, 0),
        whole.reduce((sum, { values }) => sum + values[0]!, 0),
      );
    }),
  );
});

test('a stack of 100,000 frames needs no recursion', () => {
  const stack = Array.from({ length: 100_000 }, (_, i) => nativeFunction(`f${i % 10}`));
  const profile = buildProfile([{ series: seriesOf('deep', 1), stack, count: 1 }]);
  const { rows } = topOf(profile, { valueIndex: 0, limit: 20, sortBy: 'self' });
  assert.deepEqual(rows.map(({ total }) => total), Array<number>(10).fill(1));
});
