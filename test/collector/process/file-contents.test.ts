import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileContents } from '../../../collector/process/file-contents.js';
import { ModuleTable } from '../../../collector/process/modules.js';

function contents(known?: FileContents): FileContents {
  let id = known === undefined ? 0 : 100;
  return new FileContents(() => id++, known);
}

const met = (stamp: string, mtimeNs: number, metNs: number, file = 'f') => ({ stamp, file, mtimeNs, metNs });

//   time      0    5   10   15   20   25   30
//   file      ──── A ──────┆──── B ──┆──── C ──▶
//   met            A 2     B 12      C 22, its time is that of its source
test('each content counts for what was sampled while the file held it', () => {
  const file = contents();
  const a = file.at(0, 0, 5);
  assert.deepEqual(a.stamp, '');
  file.met(met('A', -50, 2));
  assert.equal(file.at(0, 0, 10).id, a.id, 'of the first one the stamp is learned');
  file.met(met('B', 10, 12));
  file.met(met('B', 10, 13));
  const b = file.at(11, 10, 20);
  assert.deepEqual([b.stamp, b.id !== a.id], ['B', true]);
  assert.equal(file.at(0, 0, 10).stamp, 'A', 'a flush before');
  assert.equal(file.at(0, 8, 9).stamp, 'A', 'a process that had ended');
  assert.equal(file.at(0, 8, 18).stamp, undefined, 'a flush with both');
  assert.equal(file.at(10, 8, 18).stamp, 'B', 'a mapping that came after');
  assert.equal(file.at(0, 10, 20).stamp, 'B', 'a flush after');
  file.met(met('C', -99, 22));
  assert.equal(file.at(0, 10, 20).stamp, 'B');
  assert.equal(file.at(0, 15, 25).stamp, undefined);
  assert.equal(file.at(21, 15, 25).stamp, undefined, 'since when is not known');
  assert.equal(file.at(0, 22, 30).stamp, 'C');
  assert.equal(file.at(0, 0, 30), file.at(0, 15, 25), 'all that are mixed are one');
});

//   lower file ──── A ──────────────────────▶     mapped before 10: A for ever
//   upper file              ┆──── B ────────▶
test('after a copy up old mappings keep what was there', () => {
  const file = contents();
  file.met(met('A', -50, 2, 'lower'));
  file.met(met('B', 10, 12, 'upper'));
  file.met(met('A', -50, 14, 'lower'));
  assert.deepEqual([file.at(1, 20, 30).stamp, file.at(1, 0, 30).stamp], ['A', 'A']);
  assert.deepEqual([file.at(11, 0, 30).stamp, file.at(11, 20, 30).stamp], ['B', 'B']);
});

test('a content that comes back has its old id', () => {
  const file = contents();
  const a = file.at(0, 0, 1).id;
  for (const [stamp, ns] of [['A', 1], ['B', 10], ['A', 20]] as const) file.met(met(stamp, ns, ns));
  assert.deepEqual([file.at(0, 20, 30).id, file.at(0, 20, 30).stamp], [a, 'A']);
});

test('a file that changes without end: the oldest contents are forgotten', () => {
  const file = contents();
  for (let i = 0; i < 1000; i++) file.met(met(`${i}`, i * 10, i * 10 + 5));
  assert.equal(file.at(0, 9_980, 9_989).stamp, '998');
  assert.equal(file.at(0, 9_990, 9_999).stamp, '999');
  assert.equal(file.at(0, 0, 10).stamp, '992', 'the oldest that is known');
});

test('all names of a file know what it held, those that come later too', () => {
  const table = new ModuleTable(10);
  const intern = (path: string, inode = 5n) => table.intern({ path, device: '8:1', inode });
  const [first, second, other] = [intern('/a'), intern('/b'), intern('/c', 6n)];
  table.met({ device: '8:1', inode: 5n }, met('A', 0, 1));
  table.met(second, met('B', 10, 12));
  const third = intern('/d');
  const at = [first, second, third, other].map(({ contents: each }) => each.at(11, 10, 20));
  assert.deepEqual(at.map(({ stamp }) => stamp), ['B', 'B', 'B', '']);
  assert.equal(new Set(at.map(({ id }) => id)).size, 4);
  table.retain(new Set([first, third]));
  table.met(first, met('C', 20, 22));
  assert.deepEqual([third, second].map((each) => each.contents.at(21, 20, 30).stamp), ['C', 'B']);
});
