// Headers against readelf, and against whatever bytes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeFile, fileReader } from '../../collector/symbols/file-reader.js';
import type { ElfFile } from '../../elf/elf-file.js';
import { fileOffsetToAddress, readElf, readerOf } from '../../elf/elf-file.js';
import { seedRandomTests } from '../support/random.js';
import { buildElf, textAddress, textOffset } from './elf-builder.js';
import { loadedFile } from './files.js';

seedRandomTests('elf-file');

function readelf(option: string, path: string): string {
  return execFileSync('readelf', [option, path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

for (const path of [process.execPath, loadedFile('libc.so'), '/usr/bin/ls']) {
  test(`headers and build id of ${path} are those that readelf prints`, () => {
    const fd = openSync(path, 'r');
    const file = readElf(fileReader(fd));
    closeFile(fd);
    assert.ok(!('reason' in file));
    const notes = readelf('-nW', path);
    assert.equal(file.buildId, /Build ID: ([0-9a-f]+)/.exec(notes)?.[1] ?? '');
    const sections = readelf('-SW', path);
    const names = [...sections.matchAll(/^ +\[ *\d+\] (\S*) .*$/gm)].map((m) => m[1]);
    assert.deepEqual(file.sections.map((s) => s.name), names);
  });
}

test('what is no 64-bit little-endian ELF file has a reason', () => {
  const good = buildElf({});
  const changed = (at: number, value: number): Uint8Array =>
    good.map((byte, i) => (i === at ? value : byte));
  assert.deepEqual(readElf(readerOf(new Uint8Array(0))), { reason: 'not-elf' });
  assert.deepEqual(readElf(readerOf(Buffer.from('#!/bin/sh\n'))), { reason: 'not-elf' });
  assert.deepEqual(readElf(readerOf(good.subarray(0, 20))), { reason: 'truncated' });
  assert.deepEqual(readElf(readerOf(changed(4, 1))), { reason: 'not-64-bit-little-endian' });
  assert.deepEqual(readElf(readerOf(changed(5, 2))), { reason: 'not-64-bit-little-endian' });
});

test('a build id is found by segment, and by section where there are no segments', () => {
  const bytes = Buffer.from(buildElf({ buildId: '00ff10' }));
  assert.equal((readElf(readerOf(bytes)) as ElfFile).buildId, '00ff10');
  bytes.writeUInt16LE(0, 56);
  assert.equal((readElf(readerOf(bytes)) as ElfFile).buildId, '00ff10');
});

//   file      0x1000        0x1800          a page of the file in two segments: mapped twice
//             | R data ...... | RX code ...
test('a page that belongs to two segments is code when it was sampled', () => {
  const common = { type: 1, memorySizeBytes: 0, alignment: 4096 };
  const data = {
    ...common,
    isExecutable: false,
    offset: 0,
    address: 0x10000,
    fileSizeBytes: 0x1800,
  };
  const code = {
    ...common,
    isExecutable: true,
    offset: 0x1800,
    address: 0x22800,
    fileSizeBytes: 0x1000,
  };
  assert.equal(fileOffsetToAddress([data, code], 0x1900), 0x22900);
  assert.equal(fileOffsetToAddress([data, code], 0x1100), 0x22100);
  assert.equal(fileOffsetToAddress([data, code], 0x0100), 0x10100);
  assert.equal(fileOffsetToAddress([data, code], 0x3000), undefined);
});

test('broken files are read without a throw', () => {
  const symbols = [{ name: 'f', value: textAddress, sizeBytes: 16 }];
  const good = buildElf({ symbols, buildId: '0102030405060708' });
  const headers = fc.oneof(
    fc.integer({ min: 0, max: 200 }),
    fc.integer({ min: 0, max: good.length - 1 }),
  );
  const edits = fc.array(fc.tuple(headers, fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
  fc.assert(
    fc.property(edits, fc.integer({ min: 0, max: good.length }), (changes, length) => {
      const bytes = Uint8Array.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      const file = readElf(readerOf(bytes.subarray(0, length)));
      if ('reason' in file) return;
      assert.ok(
        file.sections.length <= 8192 && file.segments.length <= 1024 && file.buildId.length <= 128,
      );
      fileOffsetToAddress(file.segments, textOffset);
    }),
    { numRuns: 2000 },
  );
});
