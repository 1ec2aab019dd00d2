// Drained entries become columns: every count in its slot and key, whatever the order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MetricOutput } from '../../../bpf/descriptor.js';
import type { DrainedKeys } from '../../../bpf/keyed-maps.js';
import { atOnce } from '../../../collector/pace.js';
import type { KeyNaming } from '../../../collector/pipeline/metric-columns.js';
import { counterColumns, histogramColumns, KeyLabels } from '../../../collector/pipeline/metric-columns.js';
import type { BtfStruct } from '../../../elf/btf.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('metric-columns');

const u32 = { kind: 'int', sizeBytes: 4, isSigned: false } as const;
const names = ['who', 'octave', 'what'];
const struct: BtfStruct = {
  name: 'key',
  sizeBytes: 12,
  members: names.map((name, i) => ({ name, offsetBytes: 4 * i, type: u32 })),
};
const output: MetricOutput = {
  kind: 'histogram',
  map: 'map',
  stream: 'test',
  valueType: { type: 'test', unit: 'nanoseconds' },
  otel: '',
  prometheus: '',
  fields: [
    { name: 'who', from: 'who', as: 'number' },
    { name: 'what', from: 'what', as: 'word', words: ['a', 'b'] },
  ],
};
const naming: KeyNaming = {
  image: () => undefined,
  cgroupPath: () => '',
  userName: () => '',
  deviceName: () => '',
};

interface Entry {
  readonly who: number;
  readonly octave: number;
  readonly what: number;
  readonly counts: readonly number[];
}

const entry: fc.Arbitrary<Entry> = fc.record({
  who: fc.oneof(fc.nat(5), fc.integer({ min: 2 ** 31, max: 2 ** 32 - 1 })),
  octave: fc.nat(65),
  /** The last two have one label. */
  what: fc.nat(3),
  counts: fc.array(fc.nat(3), { minLength: 8, maxLength: 8 }),
});
/** As a map holds them: no key twice. */
const entries = fc.uniqueArray(entry, { selector: ({ who, octave, what }) => `${who} ${octave} ${what}` });

const sumOf = ({ counts, octave }: Entry) => counts.reduce((sum, count) => sum + count, 0) * (octave + 1);

function drainedOf(all: readonly Entry[]): DrainedKeys {
  const keys = Uint32Array.from(all.flatMap(({ who, octave, what }) => [who, octave, what]));
  const values = Float64Array.from(all.flatMap((each) => [...each.counts, sumOf(each)]));
  return { count: all.length, keys: new Uint8Array(keys.buffer), values, stats: new Float64Array() };
}

test('each count is in its slot, under its key', () => {
  const labels = new KeyLabels(output, struct, {});
  fc.assert(
    fc.property(entries, (all) => {
      const expected = new Map<string, number>();
      const sums = new Map<string, number>();
      for (const each of all) {
        const key = `${each.who} ${['a', 'b'][each.what] ?? ''}`;
        sums.set(key, (sums.get(key) ?? 0) + sumOf(each));
        each.counts.forEach((count, i) => {
          const slot = `${key} ${each.octave * 8 + i - 248}`;
          if (count > 0) expected.set(slot, (expected.get(slot) ?? 0) + count);
        });
      }
      const columns = atOnce(histogramColumns(drainedOf(all), labels, naming));
      const got = new Map<string, number>();
      columns.keys.forEach((parts, row) => {
        const key = parts.join(' ');
        const [from, to] = [columns.starts[row]!, columns.starts[row + 1]!];
        let total = 0;
        for (let i = from; i < to; i++) {
          got.set(`${key} ${columns.slots[i]}`, columns.counts[i]!);
          total += columns.counts[i]!;
          if (i > from) assert.ok(columns.slots[i]! > columns.slots[i - 1]!, 'slots ascend');
        }
        assert.equal(columns.totals[row], total);
        assert.equal(columns.sumsNs[row], sums.get(key));
      });
      assert.deepEqual(got, expected);
      assert.equal(columns.keys.length, sums.size);
    }),
  );
});

test('of a counter the largest stay, then some fields are folded, then all: the sum stays', () => {
  const counter: MetricOutput = { ...output, kind: 'counter', top: 2, foldFirst: ['who'] };
  const labels = new KeyLabels(counter, struct, {});
  const rows = [[1, 0, 50], [2, 1, 40], [3, 0, 30], [4, 1, 20], [5, 0, 10]] as const;
  const keys = Uint32Array.from(rows.flatMap(([who, what]) => [who, 0, what]));
  const drained = {
    count: rows.length,
    keys: new Uint8Array(keys.buffer),
    values: Float64Array.from(rows, ([, , value]) => value),
    stats: new Float64Array(),
  };
  const columns = atOnce(counterColumns(drained, labels, naming));
  assert.deepEqual(
    columns.keys.map((key, i) => [...key, columns.values[i]]),
    [[1, 'a', 50], [2, 'b', 40], [-1, 'a', 40], [-1, 'b', 20]],
  );
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { maxLength: 300 }), (values) => {
      const many = Uint32Array.from(values.flatMap((_, i) => [i, 0, i % 2]));
      const all = { ...drained, count: values.length, keys: new Uint8Array(many.buffer), values: Float64Array.from(values) };
      const { values: sums } = atOnce(counterColumns(all, labels, naming));
      const sum = (numbers: Iterable<number>) => Array.from(numbers).reduce((total, n) => total + n, 0);
      assert.equal(sum(sums), sum(values));
      assert.ok(sums.length <= 2 * 2 + 1);
    }),
  );
});

test('a field that goes with a switch is there with it alone', () => {
  const fields = [...output.fields, { name: 'more', from: 'who', as: 'number', onlyWith: 'extra' } as const];
  const fieldsWith = (extra: boolean) => new KeyLabels({ ...output, fields }, struct, { extra }).fields.length;
  assert.deepEqual([fieldsWith(false), fieldsWith(true)], [2, 3]);
});
