// Symbols against readelf on the files of this host, the rules of choice on small
// made files, and hostile files.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync, ftruncateSync, mkdtempSync, openSync, realpathSync, rmSync, writeFileSync, writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeFile, fileReader } from '../../collector/symbols/file-reader.js';
import type { ElfFile, ReadAt } from '../../elf/elf-file.js';
import { readElf, readerOf } from '../../elf/elf-file.js';
import type { SymbolTable } from '../../elf/symbols.js';
import { readSymbols } from '../../elf/symbols.js';
import { seedRandomTests } from '../support/random.js';
import type { SymbolSpec } from './elf-builder.js';
import { buildElf, textAddress, textBytes, textOffset } from './elf-builder.js';
import type { ReadelfSymbol } from './files.js';
import { loadedFile, readelfFunctions } from './files.js';

seedRandomTests('symbols');

function tableOf(read: ReadAt): SymbolTable {
  const file = readElf(read);
  assert.ok(!('reason' in file));
  const table = readSymbols(read, file);
  assert.ok(!('reason' in table));
  return table;
}

/** Names that readelf's list allows at an address: of the sized symbols around it those
 *  that begin last; else, unsized. */
function allowedNames(
  sorted: readonly ReadelfSymbol[], address: number,
): { readonly names: Set<string>; readonly isSized: boolean } {
  const after = sorted.findIndex((s) => s.value > address);
  const to = after < 0 ? sorted.length : after;
  const before = sorted.slice(Math.max(0, to - 3000), to);
  const around = before.filter((s) => s.value + s.sizeBytes > address);
  const unsized = before.filter((s) => s.sizeBytes === 0);
  const isSized = around.length > 0;
  const allowed = isSized ? around : unsized;
  const last = allowed.at(-1)?.value;
  return { names: new Set(allowed.filter((s) => s.value === last).map((s) => s.name)), isSized };
}

const files = [
  { path: loadedFile('libc.so'), step: 1 }, { path: loadedFile('libstdc++'), step: 3 },
  { path: realpathSync('/usr/bin/ls'), step: 1 }, { path: '/usr/bin/python3', step: 1 },
  { path: process.execPath, step: 500 },
];

for (const { path, step } of files.filter((f) => existsSync(f.path))) {
  test(`names of ${path} are readelf's, inside and outside of symbols`, () => {
    const sorted = readelfFunctions(path).sort((a, b) => a.value - b.value);
    const fd = openSync(path, 'r');
    const read = fileReader(fd);
    const table = tableOf(read);
    let checked = 0;
    for (let i = 0; i < sorted.length; i += step) {
      const { value, sizeBytes } = sorted[i]!;
      for (const inside of [0, Math.floor(sizeBytes / 2), sizeBytes - 1, sizeBytes]) {
        const address = value + inside;
        const { names, isSized } = allowedNames(sorted, address);
        const index = table.find(address);
        const found = index < 0 ? '(none)' : table.name(index, read);
        const isGuess = index >= 0 && table.range(index).isGuess;
        const isRight = isSized
          ? names.has(found) && !isGuess
          : index < 0 || (isGuess && names.has(found));
        assert.ok(isRight, `0x${address.toString(16)}: ${found}, readelf: ${[...names].join(' ')}`);
        checked++;
      }
    }
    closeFile(fd);
    assert.ok(checked > 20, `${checked} addresses`);
  });
}

test('sizes of 0 in assembly reach to the next symbol of the section, and are marked', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-symbols-'));
  try {
    writeFileSync(join(folder, 'a.s'), `
      .globl first, second, last, other, main
      .type first, @function; .type second, @function; .type last, @function; .type other, @function
      .type main, @function
      .text
      first:  .skip 32, 0x90
      second: .skip 16, 0x90
              .size second, 16
              .skip 16, 0x90
      last:   .skip 8, 0x90
      main:   .skip 8, 0x90
      .section .text.z, "ax", @progbits
      other:  .skip 64, 0x90
      .section .note.GNU-stack,"",@progbits`);
    const object = join(folder, 'a.so');
    execFileSync('clang', ['-shared', '-nostdlib', '-o', object, join(folder, 'a.s')]);
    const fd = openSync(object, 'r');
    const read = fileReader(fd);
    const table = tableOf(read);
    const first = readelfFunctions(object).find((s) => s.name === 'first')!.value;
    const seen = [0, 31, 32, 47, 48, 63, 64, 72].map((offset) => {
      const index = table.find(first + offset);
      return index < 0 ? '-' : table.name(index, read) + (table.range(index).isGuess ? '?' : '');
    });
    closeFile(fd);
    assert.deepEqual(seen, ['first?', 'first?', 'second', 'second', '-', '-', 'last?', 'main?']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** `name|name?|-` for each 16 bytes of .text. */
function picture(symbols: SymbolSpec[], dynamicSymbols: SymbolSpec[], slots: number): string {
  const read = readerOf(buildElf({ symbols, dynamicSymbols }));
  const table = tableOf(read);
  return Array.from({ length: slots }, (_, i) => {
    const index = table.find(textAddress + 16 * i);
    return index < 0 ? '-' : table.name(index, read) + (table.range(index).isGuess ? '?' : '');
  }).join(' ');
}

function at(slot: number, slots: number, name: string, more: Partial<SymbolSpec> = {}): SymbolSpec {
  return { name, value: textAddress + 16 * slot, sizeBytes: 16 * slots, ...more };
}

test('what begins last wins, and what is around it goes on after it', () => {
  assert.equal(picture([at(0, 6, 'a'), at(2, 2, 'b')], [], 7), 'a a b b a a -');
  assert.equal(picture([at(0, 4, 'a'), at(2, 4, 'b')], [], 7), 'a a b b b b -');
  assert.equal(picture([at(0, 6, 'a'), at(1, 4, 'b'), at(2, 1, 'c')], [], 7), 'a b c b b a -');
  assert.equal(picture([at(0, 6, 'a'), at(2, 0, 'label')], [], 7), 'a a a a a a -');
  const guesses = [at(0, 1, 'a'), at(1, 0, 'b'), at(4, 0, 'c'), at(5, 1, 'd')];
  assert.equal(picture(guesses, [], 7), 'a b? b? b? c? d -');
});

test('of symbols at one address the choice does not depend on their order', () => {
  const weak = at(0, 2, 'w', { binding: 'weak' });
  const local = at(0, 2, 'l', { binding: 'local' });
  const globals = [at(0, 2, 'gg'), at(0, 2, 'zz'), at(0, 2, 'long')];
  assert.equal(picture([weak, local, ...globals], [], 3), 'gg gg -');
  assert.equal(picture([...globals.toReversed(), local, weak], [], 3), 'gg gg -');
  assert.equal(picture([weak, local], [], 3), 'l l -');
  const wide = at(0, 3, 'wide', { binding: 'weak' });
  assert.equal(picture([at(0, 1, 'short'), wide], [], 4), 'short wide wide -');
  assert.equal(picture([weak], [at(0, 2, 'exported'), at(2, 1, 'more')], 4), 'w w more -');
  assert.equal(picture([at(0, 1, 'memcpy@@GLIBC_2.14')], [], 1), 'memcpy');
});

test('no code: undefined, absolute zero, data, nameless, outside of the file', () => {
  const file = buildElf({ symbols: [
    at(0, 1, 'import', { section: 0 }), at(0, 1, 'object', { type: 1 }), at(0, 1, ''),
    { name: 'zero', value: 0, sizeBytes: 16 }, { name: 'far', value: 2 ** 40, sizeBytes: 16 }] });
  const read = readerOf(file);
  assert.deepEqual(readSymbols(read, readElf(read) as ElfFile), { reason: 'no-symbols' });
});

test('names are the same from file and memory, and ranges of one function share its id', () => {
  const symbols = [at(0, 4, 'a'), at(1, 1, 'b')];
  const read = readerOf(buildElf({ symbols, dynamicSymbols: [at(5, 1, 'c')] }));
  const table = tableOf(read);
  const names = Array.from({ length: table.count }, (_, i) => table.name(i, read));
  assert.ok(table.keepNames(read));
  assert.deepEqual(names, ['a', 'b', 'a', 'c']);
  assert.deepEqual(names, names.map((_, i) => table.name(i, () => new Uint8Array(0))));
  assert.equal(table.functionId(0), table.functionId(2));
  assert.equal(table.gapStart(textAddress + 16 * 9), textAddress + 16 * 6);
});

test('ranges are disjoint and agree with the rule, whatever the symbols', () => {
  const symbol = fc.record({
    slot: fc.integer({ min: 0, max: 30 }),
    slots: fc.integer({ min: 0, max: 12 }),
    binding: fc.constantFrom('local' as const, 'global' as const, 'weak' as const),
  });
  fc.assert(
    fc.property(fc.array(symbol, { minLength: 1, maxLength: 12 }), (specs) => {
      const symbols = specs.map(({ slot, slots, binding }, i) =>
        at(slot, slots, `s${i}`, { binding }),
      );
      const read = readerOf(buildElf({ symbols }));
      const table = tableOf(read);
      for (let i = 1; i < table.count; i++) {
        assert.ok(table.range(i).start >= table.range(i - 1).end);
      }
      for (let slot = 0; slot < 44; slot++) {
        const address = textAddress + 16 * slot;
        const around = symbols.filter((s) => s.value <= address && s.value + s.sizeBytes > address);
        const begin = Math.max(...around.map((s) => s.value));
        const index = table.find(address);
        const found =
          index < 0 ? undefined : symbols.find((s) => s.name === table.name(index, read));
        if (around.length > 0)
          assert.ok(found !== undefined && found.sizeBytes > 0 && found.value === begin);
        else
          assert.ok(found === undefined || (found.sizeBytes === 0 && table.range(index).isGuess));
      }
    }),
  );
});

test('broken files give symbols or a reason, never a throw, inside of their limits', () => {
  const symbols = [at(0, 2, 'a'), at(1, 4, 'b'), at(8, 0, 'c')];
  const good = buildElf({ symbols, dynamicSymbols: [at(3, 1, 'd')] });
  const tail = textOffset + textBytes;
  const place = fc.oneof(
    fc.integer({ min: 0, max: 200 }),
    fc.integer({ min: tail, max: good.length - 1 }),
  );
  const edits = fc.array(fc.tuple(place, fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
  fc.assert(fc.property(edits, fc.integer({ min: 0, max: good.length }), (changes, length) => {
    const bytes = Uint8Array.from(good);
    for (const [offset, value] of changes) bytes[offset] = value;
    const read = readerOf(bytes.subarray(0, length));
    const file = readElf(read);
    if ('reason' in file) return;
    const table = readSymbols(read, file);
    if ('reason' in table) return;
    assert.ok(table.keptBytes < 10_000);
    for (let i = 0; i < table.count; i++) assert.ok(table.name(i, read).length <= 4096);
    table.keepNames(read);
  }), { numRuns: 2000 });
});

test('a hostile file of 100 MB is refused at the limit', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-symbols-'));
  const fd = openSync(join(folder, 'huge'), 'w+');
  try {
    const bytes = Buffer.from(buildElf({ symbols: [at(0, 1, 'a')] }));
    const sections = Number(bytes.readBigUInt64LE(40));
    bytes.writeBigUInt64LE(100n << 20n, sections + 2 * 64 + 32);
    writeSync(fd, bytes);
    ftruncateSync(fd, 100 << 20);
    const read = fileReader(fd);
    assert.deepEqual(readSymbols(read, readElf(read) as ElfFile), { reason: 'over-budget' });
    // Just inside: zeros are no functions, and cost a pass.
    bytes.writeBigUInt64LE(60n << 20n, sections + 2 * 64 + 32);
    writeSync(fd, bytes, 0, bytes.length, 0);
    assert.ok(tableOf(read).keptBytes < 1000);
  } finally {
    closeFile(fd);
    rmSync(folder, { recursive: true });
  }
});

test('more than 2^21 functions are over budget', () => {
  const bytes = Buffer.from(buildElf({ symbols: [at(0, 1, 'a')] }));
  const sections = Number(bytes.readBigUInt64LE(40));
  const tableAt = Number(bytes.readBigUInt64LE(sections + 2 * 64 + 24));
  bytes.writeBigUInt64LE(60n << 20n, sections + 2 * 64 + 32);
  const entry = bytes.subarray(tableAt + 24, tableAt + 48);
  const read: ReadAt = (position, length) =>
    position < tableAt || length % 24 !== 0
      ? readerOf(bytes)(position, length)
      : Buffer.alloc(length, entry);
  assert.deepEqual(readSymbols(read, readElf(readerOf(bytes)) as ElfFile), {
    reason: 'over-budget',
  });
});
