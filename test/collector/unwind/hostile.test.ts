// Whatever a file's bytes are, building its table throws nothing and stays bounded. `npm run fuzz:unwind`
// goes on longer.

import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CfiState } from '../../../elf/cfi.js';
import { CfiInterpreter, cfaKind } from '../../../elf/cfi.js';
import { DwarfReader } from '../../../elf/dwarf-reader.js';
import { loadedFile } from '../../elf/files.js';
import { seedRandomTests } from '../../support/random.js';
import { hostileFiles } from './hostile.js';

seedRandomTests('hostile');

for (const path of [realpathSync('/usr/bin/ls'), loadedFile('libgcc_s')]) {
  test(`${path} with broken bytes`, () => {
    fc.assert(hostileFiles(path), { numRuns: 400 });
  });
}

test('any bytes are a program of call frame instructions: rows ascend, and the end is reached', () => {
  const program = { codeAlignment: 1, dataAlignment: -8, pointerEncoding: 0x1b, initial: undefined };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const reader = new DwarfReader(bytes, 0x1000);
      let last = 0;
      let rows = 0;
      const row = (address: number, state: CfiState): void => {
        assert.ok(address >= last && state[0]! >= cfaKind.broken && state[0]! <= cfaKind.expression);
        last = address;
        rows++;
      };
      new CfiInterpreter(reader, [6, 16]).run(program, 0, 2 ** 31, { row });
      assert.ok(rows <= bytes.length + 1);
    }),
    { numRuns: 5000 },
  );
});

test('LEB128 numbers are read as written, and longer ones than 64 bits are broken', () => {
  const encode = (value: bigint): number[] => {
    const low = Number(BigInt.asUintN(7, value));
    const rest = value >> 7n;
    const isDone = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0);
    return isDone ? [low] : [low | 0x80, ...encode(rest)];
  };
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 48), max: 2 ** 48 - 1 }), (value) => {
      assert.equal(new DwarfReader(Uint8Array.from(encode(BigInt(value))), 0).sleb(), value);
      if (value >= 0) assert.equal(new DwarfReader(Uint8Array.from(encode(BigInt(value))), 0).uleb(), value);
    }),
  );
  const endless = new DwarfReader(new Uint8Array(64).fill(0x80), 0);
  endless.uleb();
  assert.ok(endless.isBroken);
});
