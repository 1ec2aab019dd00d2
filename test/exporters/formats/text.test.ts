// How values and long lines read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatValue, printable, wrapText } from '../../../exporters/formats/text.js';

test('values have their unit, and digits in groups', () => {
  const samples = { type: 'samples', unit: 'count' };
  assert.equal(formatValue(1, samples), '1 samples');
  assert.equal(formatValue(1_234_567, samples), '1,234,567 samples');
  assert.equal(formatValue(123_456, { type: 'alloc_space', unit: 'bytes' }), '123,456 bytes');
  const cpuTime = { type: 'cpu', unit: 'nanoseconds' };
  const times = [999, 1500, 2_000_000, 61e9].map((ns) => formatValue(ns, cpuTime));
  assert.deepEqual(times, ['999 ns', '1.50 µs', '2.00 ms', '61.00 s']);
});

test('lines break at blanks, else where they must', () => {
  assert.deepEqual(wrapText('one two three\nabcdefghijk', 8), [
    'one two',
    'three',
    'abcdefgh',
    'ijk',
  ]);
  assert.deepEqual(wrapText('', 8), ['']);
});

test('what cannot be printed is replaced, the rest is kept', () => {
  assert.equal(printable('a\tb\u202ec\ud800d'), 'a\ufffdb\ufffdc\ufffdd');
  assert.equal(printable('Größe 火 \u{1f525}'), 'Größe 火 \u{1f525}');
});
