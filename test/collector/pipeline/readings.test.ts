// What was added between two takes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HostStreamName } from '../../../storage/model/host-streams.js';
import { Readings } from '../../../collector/pipeline/readings.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('readings.test');

type Told = readonly [HostStreamName, number, ...(string | number)[]];

function round(readings: Readings, ...told: readonly Told[]): string[] {
  readings.begin();
  for (const [stream, value, a, b, c] of told) readings.tell(stream, value, a, b, c);
  const { series, values, backwards, overLimit } = readings.take();
  const rows = series.map(({ stream, keys }, i) => [stream, ...keys, values[i]].join(' '));
  const count = (counts: ReadonlyMap<string, number>, what: string) =>
    [...counts].map(([stream, n]) => `${stream} ${what} ${n}`);
  return [...rows, ...count(backwards, 'backwards'), ...count(overLimit, 'over limit')];
}

// told   100   130   130   20   25   (absent)   30
// taken   -     30    -     ↓    5      -        5
test('a counter gives what was added; backwards it is counted and begins anew', () => {
  const readings = new Readings({ maxSeries: 10 });
  const forks = (value: number): Told => ['system', value, 'forks'];
  assert.deepEqual(round(readings, forks(100)), []);
  assert.deepEqual(round(readings, forks(130)), ['system forks 30']);
  assert.deepEqual(round(readings, forks(130)), []);
  assert.deepEqual(round(readings, forks(20)), ['system backwards 1']);
  assert.deepEqual(round(readings, forks(25)), ['system forks 5']);
  assert.deepEqual(round(readings), []);
  assert.deepEqual(round(readings, forks(30)), ['system forks 5']);
});

test('a gauge gives what it is, and nothing when it is not told', () => {
  const readings = new Readings({ maxSeries: 10 });
  assert.deepEqual(round(readings, ['load', 1.5, 1]), ['load 1 1.5']);
  assert.deepEqual(round(readings, ['load', 0, 1]), ['load 1 0']);
  assert.deepEqual(round(readings), []);
});

test('what has no event is not told, so its first reading after the first round counts', () => {
  const readings = new Readings({ maxSeries: 10 });
  round(readings, ['protocol', 7, 'Tcp', 'InSegs'], ['netBytes', 5, 'eth0', 'receive']);
  assert.deepEqual(
    round(readings, ['protocol', 2, 'TcpExt', 'ListenDrops'], ['netBytes', 9, 'eth1', 'receive']),
    ['protocol TcpExt ListenDrops 2'],
  );
});

test('a continuous reading that was missing for a round begins anew', () => {
  const readings = new Readings({ maxSeries: 10, isContinuous: true });
  const cpu = (value: number): Told => ['cgroupCpu', value, '/a', 'user'];
  round(readings, cpu(1));
  assert.deepEqual(round(readings, cpu(5)), ['cgroupCpu /a user 4']);
  round(readings);
  assert.deepEqual(round(readings, cpu(50)), []);
  assert.deepEqual(round(readings, cpu(52)), ['cgroupCpu /a user 2']);
});

test('more series than there is room for are counted, each time', () => {
  const readings = new Readings({ maxSeries: 2 });
  const told: Told[] = ['a', 'b', 'c'].map((device) => ['diskInFlight', 1, device]);
  const expected = ['diskInFlight a 1', 'diskInFlight b 1', 'diskInFlight over limit 1'];
  assert.deepEqual(round(readings, ...told), expected);
  assert.deepEqual(round(readings, ...told), expected);
});

test('in any order, and with any that come and go, sums are those of a naive model', () => {
  const told = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  const rounds = fc.array(fc.array(fc.tuple(told, fc.nat(9)), { minLength: 1, maxLength: 1 }), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(rounds, (all) => {
      const readings = new Readings({ maxSeries: 10 });
      const counts = new Map<string, number>();
      const before = new Map<string, number>();
      for (const [[names, added]] of all as [[string[], number]][]) {
        for (const name of 'abcde') counts.set(name, (counts.get(name) ?? 0) + added);
        const expected = names.flatMap((name) => {
          const sum = counts.get(name)! - (before.get(name) ?? counts.get(name)!);
          before.set(name, counts.get(name)!);
          return sum > 0 ? [`vm ${name} ${sum}`] : [];
        });
        const taken = round(readings, ...names.map((name): Told => ['vm', counts.get(name)!, name]));
        assert.deepEqual(taken.toSorted(), expected.toSorted());
      }
    }),
  );
});
