// Groups of counters as read(2) gives them, when they could not count all the time and when they
// could.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupDelta, parseGroupRead } from '../../../collector/pipeline/perf-group.js';

/** nr, enabled, running, values; each a u64. */
function read(...words: readonly (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(8 * words.length);
  words.forEach((word, i) => bytes.writeBigUInt64LE(BigInt(word), 8 * i));
  return bytes;
}

/** minor-faults and task-clock of a task on CPU 0, read from the kernel (6.18) before and after the
 *  task faulted at a steady rate on CPU 0, on CPU 1 and on CPU 0 again. By getrusage it had 156,720
 *  faults meanwhile, those on CPU 1 included. */
const recorded = {
  before:
    '02000000000000003144a703000000003144a70300000000d35b000000000000870b950300000000',
  after:
    '02000000000000003c9346190000000020cc5c1000000000f0bb0100000000001b934a1000000000',
  faults: 156_720,
};

test('recorded reads of a group that ran for a part of the time are scaled to the whole', () => {
  const before = parseGroupRead(Buffer.from(recorded.before, 'hex'), 2)!;
  const after = parseGroupRead(Buffer.from(recorded.after, 'hex'), 2)!;
  assert.deepEqual(before.values, [0x5bd3n, 0x3950b87n]);
  const delta = groupDelta(before, after)!;
  assert.equal(delta.enabledNs, 0x1946933c - 0x3a74431);
  assert.equal(delta.runningNs, 0x105ccc20 - 0x3a74431);
  const counted = 0x1bbf0 - 0x5bd3;
  assert.equal(delta.counts[0], Math.round((counted * delta.enabledNs) / delta.runningNs));
  const error = delta.counts[0]! / recorded.faults - 1;
  console.log(`counted ${counted}, scaled ${delta.counts[0]}, getrusage ${recorded.faults}`);
  assert.ok(Math.abs(error) < 0.05, `${error}`);
  assert.equal(delta.backwards, 0);
});

test('a group that ran all the time is exact, also where a double would not be', () => {
  const big = 2n ** 60n + 1n;
  const before = { enabledNs: 5n, runningNs: 5n, values: [big] };
  const delta = groupDelta(before, { enabledNs: 9n, runningNs: 9n, values: [big + 7n] });
  assert.deepEqual(delta, { enabledNs: 4, runningNs: 4, counts: [7], backwards: 0 });
});

test('a group that did not get to run is carried over to the next read', () => {
  const before = { enabledNs: 0n, runningNs: 0n, values: [] };
  assert.equal(groupDelta(before, { enabledNs: 10n, runningNs: 0n, values: [0n] }), undefined);
  const later = groupDelta(before, { enabledNs: 20n, runningNs: 5n, values: [10n] })!;
  assert.deepEqual(later.counts, [40]);
  // A cgroup without a task on this CPU is not even enabled.
  assert.deepEqual(groupDelta(before, { enabledNs: 0n, runningNs: 0n, values: [0n] })?.counts, [0]);
});

test('a count that goes backwards is none', () => {
  const before = { enabledNs: 0n, runningNs: 0n, values: [9n, 1n] };
  const delta = groupDelta(before, { enabledNs: 4n, runningNs: 4n, values: [3n, 2n] })!;
  assert.deepEqual([delta.counts, delta.backwards], [[0, 1], 1]);
});

test('what is not the read of such a group is nothing', () => {
  const bytes = read(1, 10, 10, 5);
  assert.deepEqual(parseGroupRead(bytes, 1), { enabledNs: 10n, runningNs: 10n, values: [5n] });
  assert.equal(parseGroupRead(bytes, 2), undefined);
  assert.equal(parseGroupRead(bytes.subarray(0, 24), 1), undefined);
  assert.equal(parseGroupRead(read(2, 10, 10, 5), 1), undefined);
  assert.equal(parseGroupRead(Buffer.alloc(0), 1), undefined);
});
