// Windows as typed. Zones are set by TZ before the first Date; each zone's cases run in this one process,
// since node takes a new TZ at once.
//
//   Europe/Berlin 2026-03-29   01:59:59 -> 03:00:00   02:30 does not happen
//   Europe/Berlin 2026-10-25   02:59:59 -> 02:00:00   02:30 happens twice, at 00:30Z and 01:30Z

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { OperatingError } from '../../storage/model/errors.js';
import { formatRange, formatTime, parseTime, resolveWindow, rfc3339 } from '../../cli/window.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('window.test');
const zoneBefore = process.env['TZ'];

function inZone(zone: string): void {
  beforeEach(() => {
    process.env['TZ'] = zone;
  });
  afterEach(() => {
    if (zoneBefore === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zoneBefore;
  });
}

function at(iso: string): number {
  return Date.parse(iso);
}

function parsed(text: string, nowIso: string): string {
  return rfc3339(parseTime(text, '--from', at(nowIso))).replace('.000000000', '');
}

function refused(action: () => unknown, pattern: RegExp): void {
  assert.throws(
    action,
    (error) => error instanceof OperatingError && error.code === 'usage' && pattern.test(error.message),
  );
}

describe('in Berlin', () => {
  inZone('Europe/Berlin');
  const now = '2026-11-20T14:00:00Z'; // 15:00 there

  test('relative times count back from now', () => {
    assert.equal(parsed('now', now), '2026-11-20T14:00:00Z');
    assert.equal(parsed('-15m', now), '2026-11-20T13:45:00Z');
    assert.equal(parsed('-1h30m', now), '2026-11-20T12:30:00Z');
    assert.equal(parsed('-2d', now), '2026-11-18T14:00:00Z');
  });

  test('a time of day is the most recent one', () => {
    assert.equal(parsed('14:05', now), '2026-11-20T13:05:00Z');
    assert.equal(parsed('15:00', now), '2026-11-20T14:00:00Z');
    assert.equal(parsed('15:00:01', now), '2026-11-19T14:00:01Z');
    assert.equal(parsed('23:59', now), '2026-11-19T22:59:00Z');
  });

  test('a date is its midnight; RFC 3339 without offset is local', () => {
    assert.equal(parsed('2026-11-20', now), '2026-11-19T23:00:00Z');
    assert.equal(parsed('2026-11-20T14:05', now), '2026-11-20T13:05:00Z');
    assert.equal(parsed('2026-11-20 14:05:30', now), '2026-11-20T13:05:30Z');
    assert.equal(parsed('2026-11-20T14:05:30.123456789Z', now), '2026-11-20T14:05:30.123456789Z');
    assert.equal(parsed('2026-11-20T14:05:30-03:30', now), '2026-11-20T17:35:30Z');
  });

  test('set back: a time that happens twice means the second, once that is over', () => {
    assert.equal(parsed('02:30', '2026-10-25T00:45:00Z'), '2026-10-25T00:30:00Z');
    assert.equal(parsed('02:30', '2026-10-25T01:29:00Z'), '2026-10-25T00:30:00Z');
    assert.equal(parsed('02:30', '2026-10-25T01:31:00Z'), '2026-10-25T01:30:00Z');
    assert.equal(parsed('02:30', '2026-10-25T20:00:00Z'), '2026-10-25T01:30:00Z');
  });

  test('set forward: a time that does not happen means the day before', () => {
    assert.equal(parsed('02:30', '2026-03-29T10:00:00Z'), '2026-03-28T01:30:00Z');
    assert.equal(parsed('03:30', '2026-03-29T10:00:00Z'), '2026-03-29T01:30:00Z');
    refused(() => parsed('2026-03-29T02:30:00', now), /is no time/);
  });

  test('ranges are printed in local time, with one offset where one is enough', () => {
    const range = (from: string, to: string) =>
      formatRange({
        fromUnixNs: BigInt(at(from)) * 1_000_000n,
        toUnixNs: BigInt(at(to)) * 1_000_000n,
      });
    assert.equal(
      range('2026-11-20T13:00:00Z', '2026-11-20T13:10:00.500Z'),
      '2026-11-20 14:00:00 to 14:10:00.500 +01:00',
    );
    assert.equal(
      range('2026-11-19T13:00:00Z', '2026-11-20T13:00:00Z'),
      '2026-11-19 14:00:00 to 2026-11-20 14:00:00 +01:00',
    );
    assert.equal(
      range('2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z'),
      '2026-10-25 02:30:00 +02:00 to 02:30:00 +01:00',
    );
  });
});

describe('in Adelaide, half an hour off', () => {
  inZone('Australia/Adelaide');
  test('offsets have minutes', () => {
    assert.equal(formatTime(BigInt(at('2026-06-01T00:00:00Z')) * 1_000_000n), '2026-06-01 09:30:00 +09:30');
  });
});

describe('in New York', () => {
  inZone('America/New_York');

  test('what is printed is read back as the same time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: at('2199-12-30T00:00:00Z') }), (unixMs) => {
        const unixNs = BigInt(unixMs) * 1_000_000n;
        assert.equal(parseTime(rfc3339(unixNs), '--from', 0), unixNs);
        const [day, time, offset] = formatTime(unixNs).split(' ');
        assert.equal(parseTime(`${day}T${time}${offset}`, '--from', 0), unixNs);
      }),
    );
  });

  test('a time of day is never in the future, shows what was typed, and is the latest such', () => {
    const nows = fc.integer({ min: at('2020-01-01T00:00:00Z'), max: at('2030-01-01T00:00:00Z') });
    fc.assert(
      fc.property(nows, fc.nat(23), fc.nat(59), (nowMs, hours, minutes) => {
        const text = `${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`;
        const unixMs = Number(parseTime(text, '--from', nowMs) / 1_000_000n);
        assert.ok(unixMs <= nowMs);
        assert.ok(formatTime(BigInt(unixMs) * 1_000_000n).includes(` ${text}:00 `));
        for (let later = unixMs + 900e3; later <= nowMs; later += 900e3) {
          assert.ok(!formatTime(BigInt(later) * 1_000_000n).includes(` ${text}:00 `), 'a later one');
        }
      }),
    );
  });
});

test('what is no time is refused, with its value', () => {
  const now = '2026-11-20T14:00:00Z';
  const wrong = [
    '',
    '15m',
    '+15m',
    '24:00',
    '12:60',
    '12:00:60',
    '1:00',
    '12',
    'noon',
    '2026-02-30',
    '2026-13-01',
    '2026-11-20T25:00',
    '2026-11-20T14:05:30+25:00',
    '-',
    '-1y',
    '2026-11-20T',
    '0x10',
    '12:00 ',
    `-${'1s'.repeat(40)}`,
  ];
  for (const text of wrong) refused(() => parsed(text, now), /^--from .*is no time$/);
  refused(() => parsed('9999-01-01', now), /9999-01-01 is outside 1970 to 2200/);
  refused(() => parsed('-99999d', now), /outside|no time/);
});

test('any text is a time or refused, never a crash', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-0-9:TZ+. smhd]{0,30}$/)), (text) => {
      try {
        assert.equal(typeof parseTime(text, '--from', Date.now()), 'bigint');
      } catch (error) {
        assert.ok(error instanceof OperatingError && error.code === 'usage');
      }
    }),
  );
});

test('impossible windows are refused, with the range they came to', () => {
  const nowMs = at('2026-11-20T14:00:00Z');
  refused(() => resolveWindow({ from: '-1m', to: '-2m' }, nowMs), /--from -1m --to -2m is an empty window: /);
  refused(() => resolveWindow({ from: 'now' }, nowMs), /not in the past/);
  refused(
    () => resolveWindow({ from: '2027-01-01T00:00:00Z', to: '2027-01-02T00:00:00Z' }, nowMs),
    /not in the past/,
  );
  const window = resolveWindow({}, nowMs);
  assert.equal(window.toUnixNs - window.fromUnixNs, 15n * 60n * 1_000_000_000n);
});
