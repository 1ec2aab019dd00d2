import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClockReading } from '../../../collector/pipeline/tick-accounts.js';
import { TickAccounts } from '../../../collector/pipeline/tick-accounts.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('collector/pipeline/tick-accounts');

const PERIOD = 1000n;
const ANCHOR = 50_000n;
const nothing = { captured: 0, capturedWeight: 0, idle: 0, notFired: 0, lost: {} };

function clock(reading: Partial<ClockReading>): ClockReading {
  return { cpu: 0, anchorKtimeNs: ANCHOR, due: 0n, generation: 0, dueBeforeFlip: 0n, generationBeforeFlip: 0, ...reading };
}

//   period   1   2   3   4   5   6   7   8 | 9  10
//   ticks    .   .   .                     |           flip at 8.5 periods
test('what is due between the last tick and the flip has not fired', () => {
  const accounts = new TickAccounts(PERIOD);
  const counters = accounts.close(ANCHOR + 8500n, 0, [clock({ due: 3n })], { ...nothing, captured: 2, idle: 1 });
  deepEqual(counters, { expected: 8, captured: 2, idle: 1, not_fired: 5 });
});

test('a CPU that is silent over several flips is told in each of them', () => {
  const accounts = new TickAccounts(PERIOD);
  accounts.close(ANCHOR + 8500n, 0, [clock({ due: 3n })], { ...nothing, captured: 3 });
  const silent = accounts.close(ANCHOR + 18_500n, 1, [clock({ due: 3n })], nothing);
  deepEqual(silent, { expected: 10, captured: 0, idle: 0, not_fired: 10 });
});

test('a tick between the flip and the reading belongs to the next generation', () => {
  const accounts = new TickAccounts(PERIOD);
  const ticked = clock({ due: 9n, dueBeforeFlip: 8n, generation: 1 });
  const counters = accounts.close(ANCHOR + 8500n, 0, [ticked], { ...nothing, captured: 8 });
  deepEqual(counters, { expected: 8, captured: 8, idle: 0, not_fired: 0 });
});

test('a CPU that goes away is accounted for until then, and starts anew', () => {
  const accounts = new TickAccounts(PERIOD);
  accounts.retire(clock({ due: 2n }), ANCHOR + 4500n, 0);
  const back = clock({ anchorKtimeNs: ANCHOR + 10_000n, due: 3n });
  const counters = accounts.close(ANCHOR + 13_500n, 0, [back], { ...nothing, captured: 5 });
  deepEqual(counters, { expected: 7, captured: 5, idle: 0, not_fired: 2 });
});

test('lost samples keep their reasons, and a clock that never started is not due', () => {
  const accounts = new TickAccounts(PERIOD);
  const stats = { ...nothing, captured: 1, lost: { count_map_full: 2, no_task: 0 } };
  const counters = accounts.close(ANCHOR + 3000n, 0, [clock({ due: 3n }), clock({ cpu: 1, anchorKtimeNs: 0n })], stats);
  deepEqual(counters, { expected: 3, captured: 1, idle: 0, not_fired: 0, 'lost.count_map_full': 2 });
});

/** What the BPF program does at a tick (sampler.bpf.c), to drive the accounts with. */
class ModelCpu {
  due = 0n;
  dueBeforeFlip = 0n;
  generation = 0;
  generationBeforeFlip = 0;
  notFired = 0;
  fired = 0;

  tick(now: bigint, generation: number, flip: bigint): void {
    const due = (now - ANCHOR + PERIOD / 2n) / PERIOD;
    let before = this.due;
    if (this.generation !== generation) {
      this.dueBeforeFlip = this.due;
      this.generationBeforeFlip = this.generation;
      this.generation = generation;
      before = flip > ANCHOR ? (flip - ANCHOR) / PERIOD : 0n;
    }
    this.due = due;
    this.notFired += Number(due - before - 1n);
    this.fired++;
  }
}

test('every period counts once, whatever ticks late or not at all and whenever the flips are', () => {
  const ticks = fc.array(fc.record({ fires: fc.boolean(), lateNs: fc.integer({ min: 0, max: 900 }) }), { minLength: 1, maxLength: 200 });
  const flipGaps = fc.array(fc.integer({ min: 300, max: 30_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(ticks, flipGaps, (plan, gaps) => {
      const cpu = new ModelCpu();
      const accounts = new TickAccounts(PERIOD);
      const due = plan.map(({ fires, lateNs }, i) => ({ at: ANCHOR + BigInt(i + 1) * PERIOD + BigInt(lateNs), fires }));
      let flip = 0n;
      let generation = 0;
      let next = 0;
      let expected = 0;
      let explained = 0;
      for (const gap of gaps) {
        const flipAt = (flip || ANCHOR) + BigInt(gap);
        for (; next < due.length && due[next]!.at < flipAt; next++) {
          if (due[next]!.fires) cpu.tick(due[next]!.at, generation, flip);
        }
        const reading = clock(cpu);
        const counters = accounts.close(flipAt, generation, [reading], { ...nothing, captured: cpu.fired, notFired: cpu.notFired });
        generation++;
        cpu.fired = 0;
        cpu.notFired = 0;
        flip = flipAt;
        expected += counters['expected']!;
        explained += counters['captured']! + counters['not_fired']!;
        equal(explained, expected);
      }
      equal(expected, Number((flip - ANCHOR) / PERIOD));
    }),
  );
});
