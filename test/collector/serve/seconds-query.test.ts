// Readings of each second: written by one thread, answered by another, in steps below the store's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostSources } from '../../../collector/pipeline/host-sources.js';
import {
  createSecondsMemory,
  maxFiles,
  SecondsReader,
  SecondsWriter,
} from '../../../collector/pipeline/seconds-ring.js';
import { readSeconds } from '../../../collector/serve/seconds-query.js';
import type { HostStream } from '../../../storage/model/host-streams.js';
import { hostStreams } from '../../../storage/model/host-streams.js';
import type { Filter } from '../../../storage/model/query.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('seconds-query.test');

const SECOND = 1_000_000_000n;
const START = 1_800_000_000n * SECOND;
const TICK_MS = 10;

/** Keeps so many seconds; each tells user time of two CPUs and the memory in use. */
class Ring {
  readonly writer: SecondsWriter;
  readonly reader: SecondsReader;
  #user = [1000, 2000];

  constructor(seconds: number, recordBytes = 200) {
    const memory = createSecondsMemory(seconds, recordBytes)!;
    this.writer = new SecondsWriter(memory, seconds);
    this.reader = new SecondsReader(memory, seconds);
    this.write(0, [0, 0], 0);
  }

  /** The second that ends at START + second, a little late. */
  write(second: number, addedMs: readonly [number, number], usedKb: number, padding = ''): void {
    this.#user = this.#user.map((sum, cpu) => sum + addedMs[cpu]! / TICK_MS);
    const cpus = this.#user.map((ticks, cpu) => `cpu${cpu} ${ticks} 0 0 0\n`);
    this.writer.begin();
    this.writer.append([Buffer.from(cpus[0]!), Buffer.from(cpus[1]! + padding)]);
    this.writer.append([Buffer.from(`AnonPages:  ${usedKb} kB\nMapped:  12`)]);
    const unixNs = START + BigInt(second) * SECOND + 2_000_000n;
    this.writer.end({ unixNs, spanNs: 1e9 });
  }

  ask(stream: string, stepS: number, more: { by?: string[]; filter?: Filter; fromS?: number } = {}) {
    const { fromS = 0, filter = {}, by } = more;
    const window = { fromUnixNs: START + BigInt(fromS) * SECOND, toUnixNs: START + 100_000n * SECOND };
    const request = { window, stepNs: BigInt(stepS) * SECOND, filter, stream };
    const answer = readSeconds(this.reader, by === undefined ? request : { ...request, by });
    return answer.keys.map(({ key, values }) =>
      [...key, ...(values as (number | undefined)[]).map((value) => value ?? '.')].join(' '),
    );
  }
}

// wall clock  0.002    1.002    2.002    3.002
//             |  5, 0  |  7, 1  |  0, 2  |
//   step 1 s     0        1        2              each second where most of it lies
test('each second has a step of its own; longer steps sum counters and keep the last gauge', () => {
  const ring = new Ring(10);
  ring.write(1, [50, 0], 5);
  ring.write(2, [70, 10], 2);
  ring.write(3, [0, 20], 7);
  assert.deepEqual(ring.ask('host.cpu', 1), ['0 user 50 70 .', '1 user . 10 20']);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: ['mode'] }), ['user 50 80 20']);
  assert.deepEqual(ring.ask('host.cpu', 2, { by: ['mode'] }), ['user 130 20']);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: [], fromS: 2 }), ['20']);
  assert.deepEqual(ring.ask('host.memory', 1), ['AnonPages 5120 2048 7168']);
  assert.deepEqual(ring.ask('host.memory', 2), ['AnonPages 2048 7168']);
});

test('the oldest seconds make room', () => {
  const ring = new Ring(3);
  for (let second = 1; second <= 20; second++) ring.write(second, [second * 10, 0], second);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: [] }), ['180 190 200']);
});

test('seconds that grow leave room for fewer of them, whole', () => {
  const ring = new Ring(200, 1000);
  const padding = `x ${'9 '.repeat(2000)}\n`;
  for (let second = 1; second <= 1000; second++) ring.write(second, [10, 10], second, padding);
  const [row = ''] = ring.ask('host.cpu', 1, { by: [] });
  const values = row.split(' ');
  assert.ok(values.length >= 50 && values.length < 150, `${values.length}`);
  assert.ok(values.every((value) => value === '20'), row);
});

test('a second that is too long is told, and leaves the others whole', () => {
  const ring = new Ring(3);
  ring.write(1, [10, 0], 1);
  ring.write(2, [10, 0], 2, 'x'.repeat(200_000));
  ring.write(3, [10, 0], 3);
  assert.equal(ring.writer.overLimit, 1);
  assert.deepEqual(ring.ask('host.cpu', 1, { by: [] }), ['10 . 20']);
  assert.deepEqual(ring.ask('host.memory', 1), ['AnonPages 1024 2048 3072']);
});

test('the files of each second are those of the streams that docs/streams.md marks', () => {
  const kept = hostSources(() => true).filter(({ seconds }) => seconds !== undefined);
  assert.ok(kept.length <= maxFiles);
  const streams = new Set<string>(kept.flatMap((source) => source.streams));
  for (const [name, stream] of Object.entries<HostStream>(hostStreams)) {
    assert.equal(streams.has(name), stream.isInSeconds, name);
  }
});

test('of the interrupts the sum is kept', () => {
  const { cut } = hostSources(() => true).find(({ path }) => path === 'stat')!.seconds!;
  const text = 'cpu0 1 2\nintr 77 5 0 6\nctxt 8\n';
  assert.equal(Buffer.concat(cut!(Buffer.from(text))).toString(), 'cpu0 1 2\nintr 77\nctxt 8\n');
  assert.equal(Buffer.concat(cut!(Buffer.from('cpu0 1'))).toString(), 'cpu0 1');
});

test('what cannot be answered is said', () => {
  const ring = new Ring(3);
  assert.throws(() => ring.ask('host.cpu', 1), /no seconds of that time/);
  ring.write(1, [10, 10], 1);
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
        ring.write(i + 1, [pair[0] * TICK_MS, pair[1] * TICK_MS], 0);
        const step = Math.floor((Number(START / SECOND) + i) / stepS) - first;
        sums[step] = (sums[step] ?? 0) + (pair[0] + pair[1]) * TICK_MS;
      }
      const expected = sums.some((sum) => sum > 0) ? sums.map((sum) => (sum > 0 ? sum : '.')) : undefined;
      assert.deepEqual(ring.ask('host.cpu', stepS, { by: [] }), expected ? [expected.join(' ')] : []);
    }),
  );
});
