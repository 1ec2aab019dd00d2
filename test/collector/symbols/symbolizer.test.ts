// Files to functions: this process's own vDSO and node, made files, budgets, and every reason for having no
// name.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileStamp } from '../../../collector/symbols/file-reader.js';
import { Symbolizer } from '../../../collector/symbols/symbolizer.js';
import type { FunctionInfo, Module } from '../../../storage/model/frame.js';
import type { SymbolSpec } from '../../elf/elf-builder.js';
import { buildElf, textAddress, textOffset } from '../../elf/elf-builder.js';
import { readelfFunctions } from '../../elf/files.js';

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-symbolizer-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function openBytes(bytes: Uint8Array): number {
  const path = join(folder, String(files++));
  writeFileSync(path, bytes);
  return openSync(path, 'r');
}

function moduleOf(name: string, buildId = ''): Module {
  return { name, path: `/lib/${name}`, buildId };
}

function fn(name: string, slot: number, slots: number): SymbolSpec {
  return { name, value: textAddress + 16 * slot, sizeBytes: 16 * slots };
}

function place(slot: number): number {
  return textOffset + 16 * slot;
}

function label(f: FunctionInfo): string {
  const start = f.start === undefined ? '' : ` ${f.start.toString(16)}`;
  return `${f.name}${f.reason ?? ''}${f.isGuess === true ? '?' : ''}${start}`;
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

test('a function is one object wherever it is hit, and the file is closed once read', () => {
  const symbolizer = new Symbolizer();
  const symbols = [fn('outer', 0, 4), fn('inner', 1, 1), fn('guess', 8, 0)];
  const fd = openBytes(buildElf({ symbols, buildId: 'abcd' }));
  symbolizer.addModule({ id: 7, module: moduleOf('a'), opened: { fd } });
  assert.ok(isOpen(fd));
  assert.equal(symbolizer.openFiles, 1);
  const outer = symbolizer.user(7, place(0));
  assert.deepEqual(outer, { module: moduleOf('a', 'abcd'), frameType: 'native', name: 'outer' });
  assert.equal(symbolizer.user(7, place(3) + 15), outer);
  assert.equal(symbolizer.user(7, place(1)).name, 'inner');
  assert.equal(label(symbolizer.user(7, place(9))), 'guess?');
  assert.ok(!isOpen(fd) && symbolizer.keptBytes > 0);
  assert.equal(symbolizer.openFiles, 0);
});

test('code without a name says why, and where its symbol, gap or page begins', () => {
  const symbolizer = new Symbolizer();
  const add = (id: number, bytes: Uint8Array, buildId = ''): void => (
    symbolizer.addModule({ id, module: moduleOf(`m${id}`, buildId), opened: { fd: openBytes(bytes) } }));
  add(1, buildElf({ symbols: [fn('a', 1, 1)] }));
  add(2, buildElf({}));
  add(3, Buffer.from('#!/bin/sh\n'));
  add(4, buildElf({ symbols: [fn('a', 1, 1)], buildId: '01' }), '02');
  symbolizer.addModule({ id: 5, module: moduleOf('gone'), opened: { reason: 'file-gone' } });
  assert.equal(label(symbolizer.user(1, place(0))), 'no-match 2000');
  assert.equal(label(symbolizer.user(1, place(4))), 'no-match 2020');
  assert.equal(label(symbolizer.user(1, place(257))), 'no-match 3000');
  assert.equal(label(symbolizer.user(1, 0x98765)), 'no-match 98000');
  assert.equal(label(symbolizer.user(2, place(0))), 'no-symbols 2000');
  assert.equal(label(symbolizer.user(3, 0x1234)), 'not-elf 1000');
  assert.equal(label(symbolizer.user(4, place(1))), 'file-changed 1000');
  assert.equal(label(symbolizer.user(5, 0x1234)), 'file-gone 1000');
  assert.equal(symbolizer.user(5, 0x1234), symbolizer.user(5, 0x1fff));
});

test('files of one build id share an image; a good file mends a bad one', () => {
  const symbolizer = new Symbolizer();
  const good = buildElf({ symbols: [fn('a', 0, 1)], buildId: '0a' });
  symbolizer.addModule({ id: 1, module: moduleOf('x', '0a'), opened: { reason: 'no-permission' } });
  assert.equal(symbolizer.user(1, place(0)).reason, 'no-permission');
  const fd = openBytes(good);
  symbolizer.addModule({ id: 2, module: moduleOf('y', '0a'), opened: { fd } });
  const extra = openBytes(good);
  symbolizer.addModule({ id: 3, module: moduleOf('z', '0a'), opened: { fd: extra } });
  assert.ok(isOpen(fd) && !isOpen(extra));
  assert.deepEqual([1, 2, 3].map((id) => symbolizer.user(id, place(0)).name), ['a', 'a', 'a']);
  assert.deepEqual([1, 2, 3].map((id) => symbolizer.user(id, place(0)).module.name), ['x', 'y', 'z']);
});

const manyNames = Array.from({ length: 40 }, (_, i) => fn(`${'n'.repeat(20_000)}${i}`, i, 1));

test('large names stay in the file: it is kept open, cut at 4 KB, and forgotten under pressure', () => {
  const symbolizer = new Symbolizer({ maxOpenFiles: 1 });
  const bytes = buildElf({ symbols: manyNames });
  const fds = [1, 2].map((id) => {
    const fd = openBytes(bytes);
    symbolizer.addModule({ id, module: moduleOf(`m${id}`), opened: { fd } });
    return fd;
  });
  assert.ok(!isOpen(fds[0]!) && isOpen(fds[1]!));
  assert.equal(label(symbolizer.user(1, place(3))), 'over-budget 2030');
  assert.equal(symbolizer.user(2, place(3)).name, 'n'.repeat(4096));
  assert.equal(symbolizer.openFiles, 1);
  symbolizer.close();
  assert.ok(!isOpen(fds[1]!));
});

//   opened: A      read: A, its names later      written over: B
test('a file that is written over has no names any more, but for those that were read', () => {
  const symbolizer = new Symbolizer();
  const [a, b] = ['a', 'b'].map((letter) =>
    buildElf({ symbols: Array.from({ length: 40 }, (_, i) => fn(`${letter.repeat(20_000)}${i}`, i, 1)) }),
  );
  const fds = [1, 2].map((id) => {
    const fd = openBytes(a!);
    symbolizer.addModule({ id, module: moduleOf(`m${id}`), opened: { fd, stamp: fileStamp(fd) } });
    return fd;
  });
  assert.equal(symbolizer.user(1, place(3)).name, 'a'.repeat(4096));
  for (const fd of fds) writeFileSync(`/proc/self/fd/${fd}`, b!);
  assert.equal(symbolizer.user(1, place(3)).name, 'a'.repeat(4096));
  assert.equal(label(symbolizer.user(1, place(4))), 'file-changed 2040');
  assert.equal(label(symbolizer.user(2, place(3))), 'file-changed 2000');
  assert.ok(!isOpen(fds[1]!));
  symbolizer.close();
});

test('tables beyond the budget go, least recently used first; those whose file is open come back', () => {
  const small = buildElf({ symbols: Array.from({ length: 100 }, (_, i) => fn(`f${i}`, i, 1)) });
  const large = buildElf({ symbols: manyNames });
  const symbolizer = new Symbolizer({ maxBytes: 3500 });
  const add = (id: number, bytes: Uint8Array): void => (
    symbolizer.addModule({ id, module: moduleOf(`m${id}`), opened: { fd: openBytes(bytes) } }));
  for (const id of [1, 2]) add(id, small);
  add(3, large);
  const name = (id: number, slot: number): string => label(symbolizer.user(id, place(slot))).slice(0, 20);
  assert.equal(name(3, 1), 'n'.repeat(20));
  const first = symbolizer.user(1, place(0));
  assert.equal(first.name, 'f0');
  assert.equal(name(2, 1), 'f1');
  assert.equal(name(3, 2), 'n'.repeat(20));
  assert.equal(name(1, 0), 'over-budget 2000');
  assert.ok(symbolizer.keptBytes <= 3500);
  symbolizer.close();
});

test('a table that does not fit at all is over budget', () => {
  const symbolizer = new Symbolizer({ maxBytes: 10 });
  const fd = openBytes(buildElf({ symbols: [fn('a', 0, 1)] }));
  symbolizer.addModule({ id: 1, module: moduleOf('a'), opened: { fd } });
  assert.equal(label(symbolizer.user(1, place(0))), 'over-budget 2000');
});

test('modules that are removed give back their file and their table', () => {
  const symbolizer = new Symbolizer();
  const fd = openBytes(buildElf({ symbols: [fn('a', 0, 1)], buildId: '0a' }));
  symbolizer.addModule({ id: 1, module: moduleOf('a', '0a'), opened: { fd } });
  symbolizer.addModule({ id: 2, module: moduleOf('b', '0a'), opened: { reason: 'file-gone' } });
  symbolizer.removeModule(1);
  assert.equal(symbolizer.user(2, place(0)).name, 'a');
  symbolizer.removeModule(2);
  symbolizer.removeModule(2);
  assert.equal(symbolizer.keptBytes, 0);
  assert.throws(() => symbolizer.user(2, 0), /module 2 was added/);
});

test('the vDSO is read from memory', () => {
  const symbolizer = new Symbolizer();
  symbolizer.addModule({ id: 1, module: moduleOf('[vdso]'), opened: { reason: 'file-gone' } });
  const names = new Set(Array.from({ length: 512 }, (_, i) => symbolizer.user(1, i * 16).name));
  assert.ok(names.has('__vdso_clock_gettime'), [...names].join(' '));
});

test('functions of node itself, by the place in the file that readelf computes', () => {
  const symbolizer = new Symbolizer();
  symbolizer.addModule({ id: 1, module: moduleOf('node'), opened: { fd: openSync(process.execPath, 'r') } });
  const segments = execFileSync('readelf', ['-lW', process.execPath], { encoding: 'utf8' })
    .matchAll(/^ *LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) 0x\w+ R E/gm);
  const code = [...segments].map((m) => m.slice(1).map(Number) as [number, number, number]);
  let checked = 0;
  for (const { name, value, sizeBytes } of readelfFunctions(process.execPath)) {
    if (name !== 'main' && name !== 'uv_run' && name !== 'sqlite3_step' && name !== 'uv_fs_open') continue;
    const [offset, address] = code.find(([, from, length]) => value >= from && value < from + length)!;
    for (const inside of [0, sizeBytes - 1]) {
      assert.equal(symbolizer.user(1, value - address + offset + inside).name, name);
      checked++;
    }
  }
  assert.ok(checked >= 4, `${checked} addresses`);
  symbolizer.close();
});
