// V8's block of built-in functions: found where nm says, and nowhere else; broken symbols bound it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { fileReader } from '../../collector/symbols/file-reader.js';
import { codeRanges } from '../../elf/code-ranges.js';
import { readElf, readerOf } from '../../elf/elf-file.js';
import { v8Builtins } from '../../elf/v8-builtins.js';
import { buildElf, textAddress, textBytes, textOffset } from './elf-builder.js';
import type { SymbolSpec } from './elf-builder.js';

const block = 'v8_Default_embedded_blob_code_';
const size = 'v8_Default_embedded_blob_code_size_';

function builtinsIn(symbols: readonly SymbolSpec[], sizeBytes: number) {
  const bytes = buildElf({ symbols });
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(textOffset + 0x100, sizeBytes, true);
  const file = readElf(readerOf(bytes));
  assert.ok(!('reason' in file));
  return v8Builtins(readerOf(bytes), file, codeRanges(file));
}

const local = (name: string, value: number): SymbolSpec => {
  return { name, value, sizeBytes: 0, binding: 'local', type: 0 };
};
const sizeSymbol = local(size, textAddress + 0x100);

test('a block with its size', () => {
  const symbols = [local('other', textAddress), local(block, textAddress + 0x200), sizeSymbol];
  const start = textAddress + 0x200;
  assert.deepEqual(builtinsIn(symbols, 0x300), { start, end: start + 0x300 });
  const end = textAddress + textBytes;
  assert.deepEqual(builtinsIn(symbols, 0xffffffff), { start, end }, 'not beyond the code');
});

test('no block', () => {
  assert.equal(builtinsIn([], 0x300), undefined);
  assert.equal(builtinsIn([local(block, textAddress)], 0x300), undefined, 'no size');
  assert.equal(builtinsIn([sizeSymbol], 0x300), undefined, 'no start');
  assert.equal(builtinsIn([local(block, 0), sizeSymbol], 0x300), undefined, 'outside of the code');
  const nowhere = local(size, textAddress + textBytes);
  const withSizeNowhere = [local(block, textAddress), nowhere];
  assert.equal(builtinsIn(withSizeNowhere, 0x300), undefined, 'size not loaded');
  const longer = [local(`x${block}`, textAddress), sizeSymbol];
  assert.equal(builtinsIn(longer, 0x300), undefined, 'another name that ends alike');
});

test('in this node, as nm says', () => {
  const path = process.execPath;
  const symbols = execFileSync('nm', ['-S', path], { encoding: 'utf8', maxBuffer: 64 << 20 });
  const start = /^([0-9a-f]+) t v8_Default_embedded_blob_code_$/m.exec(symbols);
  const last = [...symbols.matchAll(/^([0-9a-f]+) ([0-9a-f]+) t Builtins_\w+$/gm)]
    .map(([, at, sizeBytes]) => Number(`0x${at}`) + Number(`0x${sizeBytes}`))
    .reduce((most, end) => Math.max(most, end), 0);
  const fd = openSync(path, 'r');
  const read = fileReader(fd);
  const file = readElf(read);
  assert.ok(!('reason' in file));
  const found = v8Builtins(read, file, codeRanges(file));
  closeSync(fd);
  assert.equal(found?.start, start === null ? undefined : Number(`0x${start[1]}`));
  if (found === undefined) return;
  assert.ok(found.end >= last && found.end < last + 0x1000, `ends at ${found.end}, ${last} by nm`);
});
