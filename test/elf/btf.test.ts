// BTF of an object compiled here and of the running kernel, decoding by it, and broken BTF.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildDecoder } from '../../elf/btf-decoder.js';
import type { BtfType } from '../../elf/btf.js';
import { Btf, parseBtf } from '../../elf/btf.js';
import { readElf, readSection, readerOf } from '../../elf/elf-file.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('btf');

const source = `
typedef unsigned char u8; typedef signed char s8; typedef unsigned short u16; typedef short s16;
typedef unsigned int u32; typedef int s32; typedef unsigned long long u64; typedef long long s64;
#define __uint(name, value) int (*name)[value]
#define __type(name, type) type *name
#define SEC(name) __attribute__((section(name), used))

enum color { RED = 3, BLUE = 2000000000 };
struct inner { u16 a; char tag[6]; };
struct all {
  u8 b1; s8 c1; u16 b2; s16 c2; u16 pad; u64 b8; s64 c8; u32 b4; s32 c4;
  char text[5]; s8 numbers[3]; const volatile enum color color; u32 grid[2][2];
  struct inner inner; struct inner inners[2];
};
struct pointer { int *p; };
struct bits { u32 a : 3; u32 b : 29; };
struct nest { union { u32 a; u64 b; }; };
struct value { u64 sum; };

struct {
  __uint(type, 1); __type(key, struct inner); __type(value, struct value);
} plain SEC(".maps");
struct inner_map { __uint(type, 1); __type(key, u64); __type(value, struct all); };
struct { __uint(type, 12); __type(key, u32); struct inner_map *values[]; } outer SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");

const volatile u32 hz SEC(".rodata") = 47;
const volatile _Bool is_on SEC(".rodata") = 1;
struct all all; struct pointer pointer; struct bits bits; struct nest nest; enum color color;
`;

function compiledBtf(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-btf-'));
  try {
    writeFileSync(join(folder, 'a.c'), source);
    const object = join(folder, 'a.o');
    execFileSync('clang', ['-g', '-O2', '-target', 'bpf', '-c', join(folder, 'a.c'), '-o', object]);
    const read = readerOf(readFileSync(object));
    const file = readElf(read);
    assert.ok(!('reason' in file));
    return readSection(read, file.sections.find((s) => s.name === '.BTF')!, 1 << 20)!;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const bytes = compiledBtf();
const btf = parse(bytes);

function parse(data: Uint8Array): Btf {
  const parsed = parseBtf(data);
  assert.ok(parsed instanceof Btf, JSON.stringify(parsed));
  return parsed;
}

function typeText(type: BtfType): string {
  switch (type.kind) {
    case 'int': return `${type.isSigned ? 's' : 'u'}${type.sizeBytes * 8}`;
    case 'chars': return `char[${type.sizeBytes}]`;
    case 'array': return `${typeText(type.element)}[${type.length}]`;
    case 'struct': return `struct ${type.struct.name}`;
    case 'other': return `(${type.what})`;
  }
}

function structText(of: Btf, name: string): string {
  const struct = of.struct(name);
  if (struct === undefined) return '(none)';
  const members = struct.members.map((m) => `${m.offsetBytes} ${m.name} ${typeText(m.type)}`);
  return `${struct.sizeBytes}: ${members.join(', ')}`;
}

test('structs lie as the compiler laid them out, and char is told from a signed byte', () => {
  assert.equal(
    structText(btf, 'all'),
    '88: 0 b1 u8, 1 c1 s8, 2 b2 u16, 4 c2 s16, 6 pad u16, 8 b8 u64, ' +
      '16 c8 s64, 24 b4 u32, 28 c4 s32, 32 text char[5], 37 numbers s8[3], 40 color u32, ' +
      '44 grid u32[2][2], ' +
      '60 inner struct inner, 68 inners struct inner[2]',
  );
  assert.equal(structText(btf, 'pointer'), '8: 0 p (pointer)');
  assert.equal(structText(btf, 'bits'), '4: 0 a (bit field), 0 b (bit field)');
  assert.equal(structText(btf, 'nest'), '8: 0  (union)');
  assert.equal(structText(btf, 'missing'), '(none)');
  assert.deepEqual(btf.enum('color'), {
    name: 'color', values: [{ name: 'RED', value: 3 }, { name: 'BLUE', value: 2_000_000_000 }] });
  assert.ok(btf.structNames().includes('all') && btf.enumNames().includes('color'));
});

test('maps carry the types of their keys and values', () => {
  const text = (type: BtfType | undefined): string => (type === undefined ? '-' : typeText(type));
  const maps = btf.maps().map((m) => (
    `${m.name} ${text(m.key)} ${text(m.value)} / ${text(m.inner?.key)} ${text(m.inner?.value)}`));
  assert.deepEqual(maps.sort(), [
    'outer u32 - / u64 struct all', 'plain struct inner struct value / - -', 'ring - - / - -']);
  const variables = btf.variables('.rodata').map((v) => `${v.name} ${typeText(v.type)}`);
  assert.deepEqual(variables.sort(), ['hz u32', 'is_on u8']);
  assert.deepEqual(btf.variables('.nothing'), []);
});

test('a record is decoded into its members', () => {
  const decoder = buildDecoder(btf, 'all');
  assert.ok(!('reason' in decoder));
  assert.equal(decoder.sizeBytes, 88);
  const record = Buffer.alloc(8 + 88, 0xee);
  const at = 8;
  record.fill(0, at);
  record.writeUInt8(255, at);
  record.writeInt8(-1, at + 1);
  record.writeInt16LE(-2, at + 4);
  record.writeBigUInt64LE(2n ** 64n - 1n, at + 8);
  record.writeBigInt64LE(-5n, at + 16);
  record.write('höh', at + 32);
  record.set([0xff, 1, 2], at + 37);
  record.writeUInt32LE(3, at + 40);
  record.writeUInt32LE(7, at + 56);
  record.write('abcdef', at + 62);
  record.writeUInt16LE(9, at + 76);
  assert.deepEqual(
    decoder.decode(new DataView(record.buffer, record.byteOffset, record.length), at),
    {
      b1: 255,
      c1: -1,
      b2: 0,
      c2: -2,
      pad: 0,
      b8: 2n ** 64n - 1n,
      c8: -5n,
      b4: 0,
      c4: 0,
      text: 'höh',
      numbers: [-1, 1, 2],
      color: 3,
      grid: [
        [0, 0],
        [0, 7],
      ],
      inner: { a: 0, tag: 'abcdef' },
      inners: [
        { a: 0, tag: '' },
        { a: 9, tag: '' },
      ],
    },
  );
});

test('what has no wire form is refused with its place', () => {
  assert.deepEqual(buildDecoder(btf, 'pointer'), {
    reason: 'pointer.p: pointer cannot be decoded',
  });
  assert.deepEqual(buildDecoder(btf, 'bits'), { reason: 'bits.a: bit field cannot be decoded' });
  assert.deepEqual(buildDecoder(btf, 'nest'), { reason: 'nest.: union cannot be decoded' });
  assert.deepEqual(buildDecoder(btf, 'missing'), { reason: 'there is no struct missing' });
});

const kernelBtf = '/sys/kernel/btf/vmlinux';

test(
  'the kernel describes itself',
  { skip: !existsSync(kernelBtf) && 'a kernel without BTF' },
  () => {
    const kernel = parse(readFileSync(kernelBtf));
    assert.equal(
      structText(kernel, 'bpf_insn'),
      '8: 0 code u8, 1 dst_reg (bit field), 1 src_reg (bit field), 2 off s16, 4 imm s32',
    );
    assert.equal(structText(kernel, 'timespec64'), '16: 0 tv_sec s64, 8 tv_nsec s64');
    assert.equal(kernel.struct('new_utsname')?.members[5]?.offsetBytes, 5 * 65);
    assert.equal(
      kernel.enum('bpf_map_type')?.values.find((v) => v.name === 'BPF_MAP_TYPE_RINGBUF')?.value,
      27,
    );
    const comm = kernel.struct('task_struct')?.members.find((m) => m.name === 'comm');
    assert.deepEqual(comm?.type, { kind: 'chars', sizeBytes: 16 });
  },
);

test('broken BTF gives types or a reason, never a throw', () => {
  const edit = fc.tuple(
    fc.integer({ min: 0, max: bytes.length - 1 }),
    fc.integer({ min: 0, max: 255 }),
  );
  const lengths = fc.option(fc.integer({ min: 0, max: bytes.length }));
  fc.assert(fc.property(fc.array(edit, { maxLength: 20 }), lengths, (edits, length) => {
    const broken = Uint8Array.from(bytes);
    for (const [at, value] of edits) broken[at] = value;
    const parsed = parseBtf(broken.subarray(0, length ?? bytes.length));
    if (!(parsed instanceof Btf)) return;
    parsed.maps();
    parsed.variables('.rodata');
    for (const name of parsed.enumNames()) parsed.enum(name);
    for (const name of parsed.structNames()) {
      const decoder = buildDecoder(parsed, name);
      if ('reason' in decoder || decoder.sizeBytes > 10_000) continue;
      decoder.decode(new DataView(new ArrayBuffer(decoder.sizeBytes)), 0);
    }
  }), { numRuns: 2000 });
});

/** int a; then `count` structs, each of two of the one before at offset 0, so 2^count
 *  values; the last is called `last`. */
function doublings(count: number): Btf {
  const strings = Buffer.from('\0m\0last\0');
  const struct = 4 << 24;
  const types = [words(1, 1 << 24, 4, 32)];
  for (let id = 1; id <= count; id++) {
    types.push(words(id === count ? 3 : 0, struct | 2, 4, 1, id, 0, 1, id, 0));
  }
  return parse(withHeader(Buffer.concat(types), strings));
}

function withHeader(types: Buffer, strings: Buffer): Buffer {
  const header = words(0x0001eb9f, 24, 0, types.length, types.length, strings.length);
  return Buffer.concat([header, types, strings]);
}

test('structs that unfold without end, or hold themselves, are refused', () => {
  assert.ok('decode' in buildDecoder(doublings(4), 'last'));
  const wide = buildDecoder(doublings(20), 'last');
  assert.match('reason' in wide ? wide.reason : '', /more than 65536 values/);
  assert.ok('reason' in buildDecoder(doublings(1000), 'last'));
  const self = parse(withHeader(words(3, (4 << 24) | 1, 4, 1, 1, 0), Buffer.from('\0m\0last\0')));
  const refused = buildDecoder(self, 'last');
  assert.deepEqual(refused, { reason: 'last.m: a struct that holds itself cannot be decoded' });
});

test('of structs with one name the first counts', () => {
  const struct = 4 << 24;
  const types = [words(1, 1 << 24, 4, 32), words(3, struct | 1, 4, 1, 1, 0), words(3, struct, 8)];
  const two = parse(withHeader(Buffer.concat(types), Buffer.from('\0m\0last\0')));
  assert.equal(structText(two, 'last'), '4: 0 m u32');
});

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => buffer.writeUInt32LE(value >>> 0, i * 4));
  return buffer;
}
