// Small parts of a probe's life that need no kernel: integers into
// constants, the verifier's word, fdinfo.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseFdInfo, readFdInfo } from '../../bpf/fd-info.js';
import { writeIntegers } from '../../bpf/rodata.js';
import { lastVerifierLine } from '../../bpf/trial.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('configure');

test('integers of every width come back, signed and unsigned', () => {
  const widths = [
    [1, (view: DataView, at: number) => [view.getUint8(at), view.getInt8(at)]],
    [2, (view: DataView, at: number) => [view.getUint16(at, true), view.getInt16(at, true)]],
    [4, (view: DataView, at: number) => [view.getUint32(at, true), view.getInt32(at, true)]],
    [8, (view: DataView, at: number) => [view.getBigUint64(at, true), view.getBigInt64(at, true)]],
  ] as const;
  for (const [bytes, read] of widths) {
    const limit = 2n ** BigInt(8 * bytes);
    const value = fc.bigInt({ min: -limit / 2n, max: limit - 1n });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
        const view = new DataView(new ArrayBuffer(bytes * values.length));
        writeIntegers(view, values, 'test');
        values.forEach((written, index) => {
          const [unsigned, signed] = read(view, index * bytes);
          assert.equal(BigInt((written < 0n ? signed : unsigned)!), written);
        });
      }),
    );
    const one = new DataView(new ArrayBuffer(bytes));
    assert.throws(() => writeIntegers(one, [limit], 'test'), /fits/);
    assert.throws(() => writeIntegers(one, [-limit / 2n - 1n], 'test'), /fits/);
  }
  assert.throws(
    () => writeIntegers(new DataView(new ArrayBuffer(12)), [1, 2, 3, 4, 5], 'test'),
    /make up/,
  );
});

test('the last line of a verifier log that is no statistics', () => {
  const log = [
    '0: (b7) r0 = 0',
    "R0 invalid mem access 'scalar'",
    'verification time 66 usec',
    'stack depth 0',
    'processed 3 insns (limit 1000000) max_states_per_insn 0',
    '',
  ];
  assert.equal(lastVerifierLine(log), "R0 invalid mem access 'scalar'");
  assert.equal(lastVerifierLine(['', 'processed 3 insns']), undefined);
  assert.equal(lastVerifierLine([]), undefined);
});

test('fdinfo', () => {
  const info = parseFdInfo('pos:\t0\nmap_id:\t12\nmemlock:\t4096\nodd\n:x\n');
  assert.deepEqual(info, { pos: '0', map_id: '12', memlock: '4096' });
  assert.ok('flags' in readFdInfo(1));
  assert.deepEqual(readFdInfo(987_654), {});
  fc.assert(fc.property(fc.string(), (text) => void parseFdInfo(text)));
});
