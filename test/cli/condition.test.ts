// Conditions of `flame --around`: what they mean, and that a slip is told with its place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { holds, parseCondition } from '../../cli/condition.js';
import { OperatingError } from '../../storage/model/errors.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('condition.test');

test('conditions are read as they are written', () => {
  assert.deepEqual(parseCondition('runq p99 > 20ms'), {
    signal: 'runq',
    quantile: 0.99,
    operator: '>',
    thresholdNs: 20e6,
    filter: {},
    text: 'runq p99 > 20ms',
  });
  assert.deepEqual(parseCondition(`  block:nvme0n1  p99.9<=1.5s --comm 'tar x' --pid 7 --comm "a<b"`), {
    signal: 'block',
    device: 'nvme0n1',
    quantile: 0.999,
    operator: '<=',
    thresholdNs: 1.5e9,
    filter: { comm: ['tar x', 'a<b'], pid: [7] },
    text: 'block:nvme0n1 p99.9 <= 1.5s --comm tar x --pid 7 --comm a<b',
  });
  assert.equal(parseCondition('runq p5 >= 250us').quantile, 0.05);
  assert.equal(parseCondition('runq p99.9999 < 1h').quantile, 0.999999);
});

test('each comparison holds where it says', () => {
  const at = (operator: string) =>
    [19e6, 20e6, 21e6].map((ns) => holds(parseCondition(`runq p50 ${operator} 20ms`), ns));
  assert.deepEqual(at('>'), [false, false, true]);
  assert.deepEqual(at('>='), [false, true, true]);
  assert.deepEqual(at('<'), [true, false, false]);
  assert.deepEqual(at('<='), [true, true, false]);
});

test('a slip is told with the word that is wrong', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /the end is neither runq nor block/],
    ['cpu p99 > 1ms', /"cpu" is neither runq nor block/],
    ['runq:sda p99 > 1ms', /runq has no device/],
    ['block: p99 > 1ms', /"block:" names no device/],
    ['block:a:b p99 > 1ms', /"block:a:b" names no device/],
    ['runq 99 > 1ms', /"99" is no quantile/],
    ['runq p0 > 1ms', /"p0" is no quantile/],
    ['runq p100 > 1ms', /"p100" is no quantile/],
    ['runq p99 = 1ms', /"=" is no comparison/],
    ['runq p99', /the end is no comparison/],
    ['runq p99 > 20', /"20" is no duration/],
    ['runq p99 >', /the end is no duration/],
    ['runq p99 > 1ms comm=x', /"comm=x" is no filter/],
    ['runq p99 > 1ms --function x', /"--function" is no filter/],
    ['runq p99 > 1ms --comm', /--comm is without its value/],
    ['runq p99 > 1ms --pid x', /--pid x is no pid/],
    [`runq p99 > 1ms --comm 'x`, /the quote at "'x" does not end/],
    [`${'x'.repeat(5000)}`, /longer than 4096/],
  ];
  for (const [text, pattern] of cases) {
    assert.throws(
      () => parseCondition(text),
      (error) => error instanceof OperatingError && error.code === 'usage' && pattern.test(error.message),
      text,
    );
  }
});

test('no text does worse than being refused', () => {
  const word = fc.oneof(
    fc.constantFrom('runq', 'block', ':', 'p99', '>', '<=', '20ms', '--comm', "'", '"', ' '),
    fc.string({ unit: 'binary', maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      try {
        const { quantile, thresholdNs } = parseCondition(words.join(''));
        assert.ok(quantile > 0 && quantile < 1 && thresholdNs >= 0);
      } catch (error) {
        assert.ok(error instanceof OperatingError && error.code === 'usage', String(error));
      }
    }),
  );
});
