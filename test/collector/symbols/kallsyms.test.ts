// kallsyms: choice among aliases, ends of code, modules; against the whole file of this host; and whatever
// bytes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KernelTable } from '../../../collector/symbols/kallsyms.js';
import { parseKallsyms } from '../../../collector/symbols/kallsyms.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('kallsyms');

const base = 0xffffffff81000000n;

function address(offset: number): number {
  return Number(BigInt.asIntN(64, base)) + offset;
}

function line(offset: number, type: string, name: string, module = ''): string {
  return `${(base + BigInt(offset)).toString(16)} ${type} ${name}${module === '' ? '' : `\t[${module}]`}\n`;
}

function parse(text: string, pieceBytes = 64): KernelTable {
  const bytes = Buffer.from(text);
  const table = parseKallsyms((function* pieces() {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  })());
  assert.ok(table !== undefined);
  return table;
}

function nameAt(table: KernelTable, offset: number): string {
  const index = table.find(address(offset));
  return index < 0 ? '-' : table.name(index) + table.moduleName(index);
}

const text = [
  line(0, 'T', '_stext'), line(0, 'T', '_text'), line(0, 't', 'a'),
  line(0x100, 'W', 'weak'), line(0x100, 't', 'local'), line(0x1f0, 't', '__pfx_next'),
  line(0x200, 'T', 'next'),
  line(0x300, 'D', 'data'), line(0x310, 'R', 'more_data'), line(0x400, 'T', 'init'),
  line(0x100000, 't', 'module_b', 'mod_b'), line(0x90000, 't', 'module_a', 'mod_a'),
  line(0x200000, 't', 'bpf_prog_0123456789abcdef_drain', 'bpf'),
].join('');

test('an address belongs to the symbol before it, as far as that may reach', () => {
  const table = parse(text);
  const seen = [0, 0xff, 0x100, 0x1f8, 0x200, 0x2ff, 0x300, 0x3ff, 0x400, 0x403ff, 0x90000, 0x100fff,
    0x110000, 0x200010].map((offset) => nameAt(table, offset));
  assert.deepEqual(seen, ['_text', '_text', 'local', 'local', 'next', 'next', '-', '-', 'init', '-',
    'module_a[mod_a]', 'module_b[mod_b]', '-', 'bpf_prog_0123456789abcdef_drain[bpf]']);
  assert.equal(nameAt(table, -1), '-');
  assert.equal(nameAt(table, 0x200000 + 0x10000), '-');
});

test('how the file comes in pieces does not matter', () => {
  for (const pieceBytes of [1, 2, 7, 100, 1000]) assert.equal(nameAt(parse(text, pieceBytes), 0x210), 'next');
});

test('hidden addresses, user addresses and no lines are no symbols', () => {
  assert.equal(parseKallsyms([]), undefined);
  assert.equal(parseKallsyms([Buffer.from('0000000000000000 T _stext\n0000000000000000 t a\n')]), undefined);
  assert.equal(parseKallsyms([Buffer.from('0000000081000000 T _stext\n')]), undefined);
  assert.equal(parseKallsyms([Buffer.from('nothing\n')]), undefined);
});

test('every function of this kernel is found under a name that the file has for it', (t) => {
  const lines = readFileSync('/proc/kallsyms', 'latin1').split('\n').map((l) => l.split(/[ \t]/));
  const table = parseKallsyms([readFileSync('/proc/kallsyms')]);
  if (table === undefined) return t.skip('kernel addresses are hidden from this user');
  const names = new Map<string, Set<string>>();
  for (const [hex, type, name, module] of lines) {
    if (!/^[tTwW]$/.test(type ?? '') || name!.startsWith('__pfx_')) continue;
    if (!names.has(hex!)) names.set(hex!, new Set());
    names.get(hex!)!.add(name! + (module ?? ''));
  }
  for (const [hex, allowed] of names) {
    const index = table.find(Number(BigInt.asIntN(64, BigInt(`0x${hex}`))));
    const found = index < 0 ? '-' : table.name(index) + table.moduleName(index);
    assert.ok(allowed.has(found), `${hex}: ${found}`);
  }
  assert.ok(table.keptBytes <= 4 << 20, `${table.count} symbols, ${table.keptBytes} bytes`);
});

test('whatever bytes there are, nothing is thrown', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom(...text.split('\n')).map((l) => Buffer.from(`${l}\n`)),
    fc.constantFrom('\n', '\t', ' ', '\0', 'ffffffff81000000', 'ffffffff81000000 T \n', 'x'.repeat(3000))
      .map((l) => Buffer.from(l)),
  );
  const offsets = fc.integer({ min: -10, max: 0x300000 });
  fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), offsets, (pieces, offset) => {
    const table = parseKallsyms(pieces);
    if (table !== undefined) assert.ok(nameAt(table, offset).length < 2048);
  }), { numRuns: 2000 });
});
