// What /proc tells of a process, and what was added between two readings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addedCounts, noCounts, parseProcess } from '../../../collector/pipeline/process-text.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('process-text.test');

/** Of a thread that was given its name to mislead, with each field its number in proc(5). */
const stat =
  '1234 (a) R 5 (b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 -2 -19 20 0 22 23 24 25 26 27 28 29 30 31 ' +
  '32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 0\n';
const texts = {
  stat,
  io: 'rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n',
  schedstat: '111 222 333\n',
  statm: '900 800 700 1 0 2 0\n',
};

test('every field is where proc(5) says', () => {
  assert.deepEqual(parseProcess(texts, 4096), {
    startTicks: 22,
    state: 'S',
    priority: -2,
    nice: -19,
    threads: 20,
    processor: 39,
    virtualBytes: 23,
    residentBytes: 24 * 4096,
    sharedBytes: 700 * 4096,
    counts: {
      userTime: 140,
      systemTime: 150,
      guestTime: 430,
      waitTime: 222,
      ioDelay: 420,
      minorFaults: 10,
      majorFaults: 12,
      readBytes: 4096,
      writtenBytes: 8192,
      cancelledBytes: 1,
    },
  });
});

test('what may not be read is -1, and so is what was added', () => {
  const reading = parseProcess({ ...texts, io: undefined, schedstat: undefined, statm: undefined }, 4096)!;
  assert.equal(reading.sharedBytes, -1);
  assert.deepEqual(addedCounts(noCounts, reading.counts), [140, 150, 430, -1, 420, 10, 12, -1, -1, -1]);
  assert.deepEqual(addedCounts(undefined, reading.counts), Array(10).fill(-1));
  const later = { ...reading.counts, userTime: 170, minorFaults: 3 };
  assert.deepEqual(addedCounts(reading.counts, later).slice(0, 6), [30, 0, 0, -1, 0, 0]);
});

test('any text is a reading or none', () => {
  const broken = fc
    .tuple(fc.nat(stat.length), fc.nat(60), fc.string())
    .map(([at, cut, text]) => stat.slice(0, at) + text + stat.slice(at + cut));
  fc.assert(
    fc.property(fc.oneof(fc.string(), broken), fc.string(), (text, io) => {
      const reading = parseProcess({ stat: text, io, schedstat: io, statm: io }, 4096);
      if (reading === undefined) return;
      for (const value of Object.values(reading.counts)) assert.ok(value >= -1, `${value}`);
    }),
  );
});
