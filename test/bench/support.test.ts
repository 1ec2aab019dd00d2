// The statistics that bench figures rest on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { medianInterval, readOptions } from '../../bench/support.js';

/** Ranks from tables of the sign test: the interval runs from the k-th smallest to the k-th largest value. */
const ranks = [
  [6, 1],
  [9, 2],
  [10, 2],
  [20, 6],
  [30, 10],
  [50, 18],
  [100, 40],
] as const;

test('the interval of a median is that of the sign test', () => {
  for (const [n, k] of ranks) {
    const values = Array.from({ length: n }, (_, i) => n - i);
    assert.deepEqual(medianInterval(values), { median: (n + 1) / 2, low: k, high: n + 1 - k }, `${n} values`);
  }
});

test('of few values the interval is the whole range', () => {
  assert.deepEqual(medianInterval([7]), { median: 7, low: 7, high: 7 });
  assert.deepEqual(medianInterval([3, 1, 2]), { median: 2, low: 1, high: 3 });
});

test('options: defaults, the quick ones, and what is given, which wins', () => {
  const defaults = { seconds: 60, rounds: 30 };
  assert.deepEqual(readOptions(defaults, { seconds: 5 }, []), defaults);
  assert.deepEqual(readOptions(defaults, { seconds: 5 }, ['--quick']), { seconds: 5, rounds: 30 });
  assert.deepEqual(readOptions(defaults, { seconds: 5 }, ['--quick', '--seconds', '7']), {
    seconds: 7,
    rounds: 30,
  });
  assert.deepEqual(readOptions(defaults, {}, ['--kills', '3']), defaults, 'an option of another bench');
  assert.throws(() => readOptions(defaults, {}, ['--rounds', 'many']), /no number/);
  assert.throws(() => readOptions(defaults, {}, ['--second', '3']), /Unknown option/);
});
