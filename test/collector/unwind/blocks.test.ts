// Blocks hold what rows say, found as the kernel finds it, for every shape of the tree.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockBytes, findRule, layOutBlocks } from '../../../collector/unwind/blocks.js';
import { Rows } from '../../../collector/unwind/rows.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('blocks');

for (const [count, levels, blockCount] of [
  [1, 1, 1],
  [512, 1, 1],
  [513, 2, 3],
  [512 * 512, 2, 513],
  [512 * 512 + 1, 3, 516],
] as const) {
  test(`${count} rows make ${levels} levels of ${blockCount} blocks`, () => {
    const pcs = Uint32Array.from({ length: count }, (_, i) => i * 5);
    const rules = pcs.map((pc) => pc ^ 0x5a5a5a5a);
    const table = layOutBlocks(pcs, rules);
    assert.deepEqual(
      [table.levels, table.blockCount, table.blocks.length],
      [levels, blockCount, blockCount * blockBytes],
    );
    for (let i = 0; i < count; i += count > 4096 ? 97 : 1) {
      assert.equal(findRule(table, pcs[i]!), rules[i]);
      assert.equal(findRule(table, pcs[i]! + 4), rules[i]);
    }
    assert.equal(findRule(table, 0xfffffffe), rules.at(-1));
    assert.equal(findRule(table, (count - 1) * 5), rules.at(-1));
  });
}

test('any ascending rows are found', () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 1600 });
  fc.assert(
    fc.property(gaps, (steps) => {
      const pcs = new Uint32Array(steps.length + 1);
      steps.forEach((step, i) => {
        pcs[i + 1] = pcs[i]! + step;
      });
      const table = layOutBlocks(
        pcs,
        pcs.map((_, i) => i),
      );
      pcs.forEach((pc, i) => {
        assert.equal(findRule(table, pc), i);
        if (pc > 0) assert.equal(findRule(table, pc - 1), i - 1);
      });
    }),
    { numRuns: 50 },
  );
});

function rowsOf(write: (rows: Rows) => void): [number, number][] {
  const rows = new Rows();
  rows.reset();
  write(rows);
  rows.finish();
  return [...rows.pcs].map((pc, i) => [pc, rows.rules[i]!]);
}

//        0x100     0x140 0x148      0x200    0x240
//   none | 7 ....... | (8 B) | 7 9 ... | (192 B) | ...
test('equal neighbours are one row; padding is filled, a gap is not', () => {
  const rows = rowsOf((r) => {
    r.begin(0x100);
    r.add(0x100, 7);
    r.add(0x110, 7);
    r.end(0x140);
    r.begin(0x148);
    r.add(0x148, 7);
    r.add(0x150, 8);
    r.add(0x150, 9);
    r.end(0x180);
    r.begin(0x240);
    r.add(0x240, 7);
    r.end(0x250);
  });
  assert.deepEqual(rows, [
    [0, 0],
    [0x100, 7],
    [0x150, 9],
    [0x180, 0],
    [0x240, 7],
    [0x250, 0],
  ]);
});

//   0x100 |-- 1 --|-- 2 ----------|
//   0x120                |-- 3 --|          the one that begins later counts
test('of overlapping functions the later one counts', () => {
  const rows = rowsOf((r) => {
    r.begin(0x100);
    r.add(0x100, 1);
    r.add(0x110, 2);
    r.add(0x130, 5);
    r.end(0x140);
    r.begin(0x120);
    r.add(0x120, 3);
    r.end(0x130);
  });
  assert.deepEqual(rows, [
    [0, 0],
    [0x100, 1],
    [0x110, 2],
    [0x120, 3],
    [0x130, 0],
  ]);
  const twice = rowsOf((r) => {
    r.begin(0x100);
    r.add(0x100, 1);
    r.end(0x140);
    r.begin(0x100);
    r.add(0x100, 4);
    r.end(0x120);
  });
  assert.deepEqual(twice, [
    [0, 0],
    [0x100, 4],
    [0x120, 0],
  ]);
});

test('a table at its limit says so', () => {
  const rows = new Rows();
  rows.reset();
  for (let i = 1; i <= 1 << 21; i++) rows.add(i, i);
  assert.ok(rows.isOverBudget);
  assert.equal(rows.count, 1 << 21);
  rows.reset();
  assert.ok(!rows.isOverBudget);
  assert.equal(rows.count, 1);
});
