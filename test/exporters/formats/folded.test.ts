// Folded stacks: one golden text, and random profiles read back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { foldedLines } from '../../../exporters/formats/folded.js';
import { totalOf } from '../../../storage/model/profile.js';
import { profiles, smallProfile } from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('folded.test');

test('writes a stack a line, root first', () => {
  assert.deepEqual([...foldedLines(smallProfile(), { valueIndex: 0 })], [
    'app;main;</title><script>:alert(1) 2',
    'app;main;ns::work<int>(char) 3',
    'app;main;ns::work<int>(char);ns::work<int>(char) 4',
    'app;main;ns::work<int>(char);vfs_read_[k] 5',
    'app;main;ns::work<int>(char);vfs_read_[k];[kernel+0xffffffff81000000]_[k] 1',
    'app;ns::work<int>(char) 7',
    'db 19',
    'db;main;[libx.so+0x2000] 8',
    'db;main;ns::work<int>(char) 6',
  ]);
});

test('shows cuts and leaves the comm out when asked to', () => {
  const lines = [
    ...foldedLines(smallProfile(), { valueIndex: 0, withComm: false, showCuts: true }),
  ];
  assert.deepEqual(lines.slice(0, 3), [
    '[no frames] 10',
    '[cut: unreadable] 9',
    '[cut: unreadable];ns::work<int>(char) 7',
  ]);
  assert.ok(lines.includes('main;ns::work<int>(char) 9'), 'comms are merged');
});

test('no name breaks a line, no line comes twice, and nothing gets lost', () => {
  const valueIndex = fc.constantFrom(0, 1);
  const options = fc.record({ withComm: fc.boolean(), showCuts: fc.boolean(), valueIndex });
  fc.assert(
    fc.property(profiles(), options, (profile, chosen) => {
      const stacks = new Set<string>();
      let total = 0;
      for (const line of foldedLines(profile, chosen)) {
        const [, stack, value] = /^(\P{Cc}*[^;]) ([1-9]\d*)$/u.exec(line) ?? [];
        assert.ok(stack !== undefined && !stack.split(';').includes(''), JSON.stringify(line));
        assert.ok(!stacks.has(stack));
        stacks.add(stack);
        total += Number(value);
      }
      assert.equal(total, totalOf(profile, chosen.valueIndex));
    }),
  );
});

test('a difference has both values on each line, and neither side loses any', () => {
  fc.assert(
    fc.property(profiles(), profiles(), (profile, before) => {
      const sums = [0, 0];
      for (const line of foldedLines(profile, { valueIndex: 0, before })) {
        const [, was, is] = /^\P{Cc}+ (\d+) (\d+)$/u.exec(line) ?? [];
        assert.ok(was !== undefined && Number(was) + Number(is) > 0, JSON.stringify(line));
        sums[0]! += Number(was);
        sums[1]! += Number(is);
      }
      assert.deepEqual(sums, [totalOf(before), totalOf(profile)]);
    }),
  );
});
