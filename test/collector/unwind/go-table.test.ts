// Go's function table becomes rules, in the layouts of all versions, whatever the bytes are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findRule } from '../../../collector/unwind/blocks.js';
import { buildTable, defaultFileLimits } from '../../../collector/unwind/build-table.js';
import { decodeRule, ruleText } from '../../../collector/unwind/x86-64-rule.js';
import { readerOf } from '../../../elf/elf-file.js';
import type { GoFunction, GoVersion } from '../../elf/gopclntab-builder.js';
import { buildGoFile } from '../../elf/gopclntab-builder.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('go-table');

const outermost = 1;
const writesSp = 2;
const assembly = 4;

const functions: readonly GoFunction[] = [
  {
    name: 'main.work',
    sizeBytes: 64,
    depths: [
      [4, 0],
      [3, 8],
      [40, 136],
      [1, 8],
      [16, 0],
    ],
  },
  { name: 'runtime.goexit.abi0', sizeBytes: 32, flags: outermost | assembly, depths: [[32, 0]] },
  { name: 'runtime.asmcgocall.abi0', sizeBytes: 64, flags: writesSp | assembly, depths: [[64, 0]] },
  {
    name: 'runtime.sigtramp.abi0',
    sizeBytes: 64,
    flags: outermost | assembly,
    depths: [
      [1, 0],
      [63, 232],
    ],
  },
  { name: 'runtime.sigreturn__sigaction.abi0', sizeBytes: 32, flags: assembly, depths: [[32, 0]] },
  {
    name: 'runtime.deep',
    sizeBytes: 64,
    depths: [
      [20, 0],
      [44, 1 << 20],
    ],
  },
];

const expected: readonly (readonly [number, string])[] = [
  [0, 'CFA rsp+8'],
  [4, 'CFA rsp+16, rbp at CFA-16'],
  [7, 'CFA rsp+144, rbp at CFA-16'],
  [47, 'CFA rsp+16, rbp at CFA-16'],
  [48, 'CFA rsp+8'],
  [63, 'CFA rsp+8'],
  [64, 'outermost frame'],
  [96, 'frame pointer'],
  [160, 'CFA rsp+8'],
  [161, 'CFA rsp+240, rbp at CFA-16'],
  // One byte early: a handler returns to the first byte of it.
  [222, 'CFA rsp+240, rbp at CFA-16'],
  [223, 'signal frame'],
  [255, 'signal frame'],
  [256, 'CFA rsp+8'],
  [276, 'cannot be expressed'],
  [320, 'nothing known'],
];

for (const version of ['1.18', '1.20', '1.26'] satisfies GoVersion[]) {
  test(`functions of Go ${version}`, () => {
    const { file, bytes } = buildGoFile(version, functions);
    const table = buildTable(readerOf(bytes), file, defaultFileLimits);
    assert.ok(!('reason' in table), JSON.stringify(table));
    assert.deepEqual(
      expected.map(([pc]) => [pc, ruleText(decodeRule(findRule(table, pc)))]),
      expected,
    );
  });
}

test('a version that is not known, or a text that is not found, gives no table', () => {
  const { file, bytes } = buildGoFile('1.26', functions);
  const withoutModule = { ...file, sections: file.sections.slice(0, 1) };
  assert.deepEqual(buildTable(readerOf(bytes), withoutModule, defaultFileLimits), {
    reason: 'no-unwind-information',
  });
  const newer = Uint8Array.from(bytes);
  newer[0] = 0xf2;
  assert.deepEqual(buildTable(readerOf(newer), file, defaultFileLimits), { reason: 'no-unwind-information' });
});

test('broken tables are read without a throw', () => {
  for (const version of ['1.18', '1.26'] satisfies GoVersion[]) {
    const { file, bytes } = buildGoFile(version, functions);
    const edits = fc.array(
      fc.tuple(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 0, max: 255 })),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(edits, fc.integer({ min: 0, max: bytes.length }), (changes, length) => {
        const changed = Uint8Array.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        buildTable(readerOf(changed.subarray(0, length)), file, defaultFileLimits);
      }),
      { numRuns: 2000 },
    );
  }
});
