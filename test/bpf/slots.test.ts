// The slot of a delay as the BPF programs find it, compiled for the host, against the bounds of an
// OpenTelemetry exponential histogram in exact arithmetic.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { emitSlotLimits } from '../../bpf/codegen/emit-slots.js';
import { slotLimitsPath } from '../../bpf/codegen/main.js';
import { firstSlot, lastSlot, slotLimitsNs } from '../../storage/model/histogram.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('slots');

const longestNs = 2n ** 64n - 1n;
const hourNs = 3_600_000_000_000n;

/** Slots of these delays by bpf/include/slots.h. */
function slotsInC(delaysNs: readonly bigint[]): number[] {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-'));
  try {
    const program = join(folder, 'slots');
    execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-I', 'bpf/include', '-o', program, 'test/fixtures/slots.c']);
    const input = BigUint64Array.from(delaysNs);
    const output = execFileSync(program, { input: Buffer.from(input.buffer), maxBuffer: 1 << 26 });
    return output.toString().trim().split('\n').map(Number);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether 2^(n/8) s is less than the delay: 2^n * 10^72 < ns^8, without a root. */
function isAbove(delayNs: bigint, n: number): boolean {
  const [left, right] = n < 0 ? [0n, BigInt(-n)] : [BigInt(n), 0n];
  return (10n ** 72n) << left < delayNs ** 8n << right;
}

function assertSlot(delayNs: bigint, slot: number): void {
  if (delayNs === 0n) return assert.equal(slot, firstSlot);
  assert.ok(isAbove(delayNs, slot), `${delayNs} ns is above the lower bound of slot ${slot}`);
  assert.ok(!isAbove(delayNs, slot + 1), `${delayNs} ns is not above the upper bound of slot ${slot}`);
}

test('every bound, one ns beside it, nothing, and hours', () => {
  const bounds = [...slotLimitsNs].flatMap((limit) => [limit - 1n, limit, limit + 1n]);
  const more = [0n, 1n, 2n, hourNs, hourNs + 1n, 24n * hourNs, 2n ** 63n, longestNs];
  const delays = [...bounds, ...more].filter((ns) => ns >= 0n && ns <= longestNs);
  const slots = slotsInC(delays);
  assert.equal(slots.length, delays.length);
  delays.forEach((delay, i) => assertSlot(delay, slots[i]!));
  assert.equal(Math.min(...slots), firstSlot);
  assert.equal(Math.max(...slots), lastSlot);
});

test('powers of two of a second are bounds, and included', () => {
  const seconds = Array.from({ length: 30 }, (_, i) => 1_000_000_000n << BigInt(i));
  const slots = slotsInC(seconds.flatMap((ns) => [ns, ns + 1n]));
  seconds.forEach((_, i) => assert.deepEqual(slots.slice(2 * i, 2 * i + 2), [8 * i - 1, 8 * i]));
});

test('any delay', () => {
  const wide = fc.tuple(fc.bigInt({ min: 0n, max: longestNs }), fc.integer({ min: 0, max: 63 }));
  const delays = fc.sample(wide, 20_000).map(([ns, shift]) => ns >> BigInt(shift));
  const slots = slotsInC(delays);
  delays.forEach((delay, i) => assertSlot(delay, slots[i]!));
});

test('the committed limits are those of the model: else run `npm run gen`', () => {
  assert.equal(emitSlotLimits(), readFileSync(slotLimitsPath, 'utf8'));
});
