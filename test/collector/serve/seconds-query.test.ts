// Readings of each second: written by one thread, answered by another, in steps below the store's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Readings } from '../../../collector/pipeline/readings.js';
import {
  createSecondsMemory,
  SecondsReader,
  SecondsWriter,
} from '../../../collector/pipeline/seconds-ring.js';
import { readSeconds } from '../../../collector/serve/seconds-query.js';
import type { Filter } from '../../../storage/model/query.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('seconds-query.test');

const SECOND = 1_000_000_000n;
const START = 1_800_000_000n * SECOND;

/** A ring of so many seconds; each second tells user time of two CPUs and a load. */
class Ring {
  readonly readings = new Readings({ maxSeries: 10 });
  readonly #memory: SharedArrayBuffer;
  readonly writer: SecondsWriter;
  readonly reader: SecondsReader;
  #user = [0, 0];

  constructor(seconds: number) {
    this.#memory = createSecondsMemory(seconds)!;
    this.writer = new SecondsWriter(this.#memory);
    this.reader = new SecondsReader(this.#memory);
    this.#tell([0, 0], 0);
    this.readings.take();
  }

  /** The second that ends at START + second, a little late. */
  write(second: number, added: readonly [number, number], load: number): void {
    this.#tell(added, load);
    const unixNs = START + BigInt(second) * SECOND + 2_000_000n;
    this.writer.write(this.readings.take(), { unixNs, spanNs: 1e9 });
  }

  ask(stream: string, stepS: number, more: { by?: string[]; filter?: Filter; fromS?: number } = {}) {
    const { fromS = 0, filter = {}, by } = more;
    const window = { fromUnixNs: START + BigInt(fromS) * SECOND, toUnixNs: START + 1000n * SECOND };
    const request = { window, stepNs: BigInt(stepS) * SECOND, filter, stream };
    const answer = readSeconds(this.reader, by === undefined ? request : { ...request, by });
    return answer.keys.map(({ key, values }) =>
      [...key, ...(values as (number | undefined)[]).map((value) => value ?? '.')].join(' '),
    );
  }

  #tell(added: readonly [number, number], load: number): void {
    this.readings.begin();
    this.#user = this.#user.map((sum, cpu) => sum + added[cpu]!);
    this.#user.forEach((value, cpu) => this.readings.tell('cpu', value, cpu, 'user'));
    this.readings.tell('load', load, 1);
  }
}

// wall clock  0.002    1.002    2.002    3.002
//             |  5, 0  |  7, 1  |  0, 2  |
//   step 1 s     0        1        2              each second where most of it lies
test('each second has a step of its own; longer steps sum counters and keep the last gauge', () => {
  const ring = new Ring(10);
  ring.write(1, [5, 0], 0.5);
  ring.write(2, [7, 1], 0.25);
  ring.write(3, [0, 2], 0.75);
  assert.deepEqual(ring.ask('host.cpu', 1), ['0 user 5 7 .', '1 user . 1 2']);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: ['mode'] }), ['user 5 8 2']);
  assert.deepEqual(ring.ask('host.cpu', 2, { by: ['mode'] }), ['user 13 2']);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: [], fromS: 2 }), ['2']);
  assert.deepEqual(ring.ask('host.load', 1), ['1 0.5 0.25 0.75']);
  assert.deepEqual(ring.ask('host.load', 2), ['1 0.25 0.75']);
});

test('the oldest seconds make room', () => {
  const ring = new Ring(3);
  for (let second = 1; second <= 20; second++) ring.write(second, [second, 0], second);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: [] }), ['18 19 20']);
  assert.equal(ring.reader.seconds().length, 3);
});

test('what cannot be answered is said', () => {
  const ring = new Ring(3);
  assert.throws(() => ring.ask('host.cpu', 1), /no seconds of that time/);
  ring.write(1, [1, 1], 1);
  assert.throws(() => ring.ask('host.vm', 1), /not read each second/);
  assert.throws(() => ring.ask('host.cpu', 1, { by: ['device'] }), /has no field device/);
  assert.throws(() => ring.ask('host.cpu', 1, { filter: { pid: [1] } }), /pid/);
});

test('sums are those of a naive model, whatever the step', () => {
  const pairs = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(pairs, fc.integer({ min: 1, max: 9 }), (added, stepS) => {
      const ring = new Ring(50);
      const sums: number[] = [];
      const first = Math.floor(Number(START / SECOND) / stepS);
      for (const [i, pair] of added.entries()) {
        ring.write(i + 1, pair, 0);
        const step = Math.floor((Number(START / SECOND) + i) / stepS) - first;
        sums[step] = (sums[step] ?? 0) + pair[0] + pair[1];
      }
      const expected = sums.some((sum) => sum > 0) ? sums.map((sum) => (sum > 0 ? sum : '.')) : undefined;
      assert.deepEqual(ring.ask('host.cpu', stepS, { by: [] }), expected ? [expected.join(' ')] : []);
    }),
  );
});

test('more keys than columns are counted', () => {
  const writer = new SecondsWriter(createSecondsMemory(60)!);
  const readings = new Readings({ maxSeries: 3000 });
  readings.begin();
  for (let i = 0; i < 2100; i++) readings.tell('diskInFlight', 1, `disk${i}`);
  writer.write(readings.take(), { unixNs: START, spanNs: 1e9 });
  assert.equal(writer.overLimit, 2100 - 2048);
});
