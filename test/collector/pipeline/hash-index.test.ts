import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HashIndex } from '../../../collector/pipeline/hash-index.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('hash-index');

test('finds what a Map of bigints finds, also where hashes share their low bits', () => {
  const hash = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 15n).map((n) => (n << 40n) | 7n));
  const property = fc.property(fc.array(hash, { maxLength: 300 }), fc.array(hash), (kept, asked) => {
    const index = new HashIndex(BigUint64Array.from(kept), kept.length);
    for (const each of [...kept, ...asked]) {
      const found = index.find(Number(each & 0xffffffffn), Number(each >> 32n));
      assert.equal(found, kept.indexOf(each));
    }
  });
  fc.assert(property);
});

test('reads no more than it is told of', () => {
  const index = new HashIndex(BigUint64Array.of(5n, 6n), 1);
  assert.equal(index.find(5, 0), 0);
  assert.equal(index.find(6, 0), -1);
});
