// Slots against OpenTelemetry's formula in whole numbers: a delay d of ns lies in slot i when
//
//   2^(i/8) < d / 1e9 <= 2^((i+1)/8)     <=>     2^i * 1e72 < d^8 <= 2^(i+1) * 1e72

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  firstSlot,
  lastSlot,
  mergeHistograms,
  quantileOf,
  slotBoundsNs,
  slotLimitsNs,
  slotOfNs,
} from '../../../storage/model/histogram.js';
import { seedRandomTests } from '../../support/random.js';
import { histogramOf } from '../support.js';

seedRandomTests('histogram.test');

const maxDelay = 2n ** 64n - 1n;

/** Sign of x - 2^n * 1e72 for x = mantissa * 2^exponent. */
function compareToBound(mantissa: bigint, exponent: number, n: number): number {
  const shift = BigInt(Math.max(0, -exponent, -n));
  const left = mantissa << (BigInt(exponent) + shift);
  const right = 10n ** 72n << (BigInt(n) + shift);
  return left < right ? -1 : left > right ? 1 : 0;
}

function isOfSlot(delay: bigint, slot: number): boolean {
  if (delay === 0n) return slot === firstSlot;
  const power = delay ** 8n;
  return compareToBound(power, 0, slot) > 0 && compareToBound(power, 0, slot + 1) <= 0;
}

function checkSlot(delay: bigint): void {
  const slot = slotOfNs(delay);
  assert.ok(isOfSlot(delay, slot), `${delay} ns is not of slot ${slot}`);
  if (delay <= Number.MAX_SAFE_INTEGER) assert.equal(slotOfNs(Number(delay)), slot);
}

test('every bound, and 1 ns beside it', () => {
  let checked = 0;
  for (const limit of slotLimitsNs) {
    for (const delay of [limit - 1n, limit, limit + 1n]) {
      if (delay < 0n || delay > maxDelay) continue;
      checkSlot(delay);
      checked++;
    }
  }
  assert.equal(slotLimitsNs.length, lastSlot - firstSlot + 1);
  assert.ok(checked > 3 * 500);
});

test('0, 1 ns, an hour and more, the longest of 64 bits', () => {
  const hour = 3_600_000_000_000n;
  for (const delay of [1n, 2n, hour - 1n, hour, hour + 1n, 24n * hour, maxDelay]) checkSlot(delay);
  assert.deepEqual([0, 0n, -5].map(slotOfNs), [firstSlot, firstSlot, firstSlot]);
  assert.equal(slotOfNs(1), firstSlot + 1);
  assert.equal(slotOfNs(maxDelay), lastSlot);
  assert.equal(slotOfNs(1_000_000_000), -1, 'a second is the bound of slot -1');
  assert.equal(slotOfNs(1_000_000_001), 0);
});

test('any delay', () => {
  const bits = fc.integer({ min: 1, max: 64 });
  const delays = bits.chain((n) => fc.bigInt({ min: 0n, max: 2n ** BigInt(n) - 1n }));
  fc.assert(fc.property(delays, checkSlot), { numRuns: 2000 });
});

test('bounds are the nearest doubles', () => {
  const view = new DataView(new ArrayBuffer(8));
  for (let slot = firstSlot + 1; slot <= lastSlot; slot++) {
    const { lowerNs, upperNs } = slotBoundsNs(slot);
    if (slot > firstSlot + 1) assert.equal(lowerNs, slotBoundsNs(slot - 1).upperNs);
    view.setFloat64(0, upperNs);
    const bits = view.getBigUint64(0);
    const mantissa = (bits & (2n ** 52n - 1n)) | (2n ** 52n);
    const exponent = Number(bits >> 52n) - 1075;
    // Half a unit in the last place below and above, each to the eighth power.
    const half = 8 * (exponent - 1);
    assert.ok(compareToBound((2n * mantissa - 1n) ** 8n, half, slot + 1) <= 0, `slot ${slot}`);
    assert.ok(compareToBound((2n * mantissa + 1n) ** 8n, half, slot + 1) >= 0, `slot ${slot}`);
  }
  assert.deepEqual(slotBoundsNs(firstSlot), { lowerNs: 0, upperNs: 0 });
  assert.equal(slotBoundsNs(7).upperNs, 2e9, 'powers of two of a second are bounds');
  assert.equal(slotBoundsNs(-9).upperNs, 5e8);
});

const delayLists = fc.array(fc.oneof(fc.nat(100), fc.nat(2 ** 31 - 1), fc.constant(0)), {
  maxLength: 60,
});

test('merged is as if counted together', () => {
  fc.assert(
    fc.property(fc.array(delayLists, { maxLength: 6 }), (lists) => {
      assert.deepEqual(mergeHistograms(lists.map(histogramOf)), histogramOf(lists.flat()));
    }),
  );
});

test('a quantile lies in the slot of the delay of its rank', () => {
  const shares = fc.constantFrom(0, 0.5, 0.9, 0.99, 1);
  fc.assert(
    fc.property(delayLists, shares, (delays, share) => {
      const quantile = quantileOf(histogramOf(delays), share);
      if (delays.length === 0) return assert.equal(quantile, undefined);
      const sorted = [...delays].sort((a, b) => a - b);
      const delay = sorted[Math.max(Math.ceil(share * delays.length), 1) - 1]!;
      const { valueNs, lowerNs, upperNs } = quantile!;
      assert.deepEqual({ lowerNs, upperNs }, slotBoundsNs(slotOfNs(delay)));
      assert.ok(valueNs >= lowerNs && valueNs <= upperNs);
    }),
  );
});
