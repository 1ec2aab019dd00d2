// Side-band records as the kernel lays them out, and hostile bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventMerger } from '../../../collector/process/event-merger.js';
import { SidebandParser } from '../../../collector/process/sideband-records.js';
import type { SidebandEvent } from '../../../collector/process/sideband-records.js';
import { seedRandomTests } from '../../support/random.js';
import { exit, fork, rename } from './build.js';

seedRandomTests('sideband-records');

const baseKtimeNs = 0x1_ffff_fff0n;

type Field = readonly ['u8' | 'u16' | 'u32' | 'u64', bigint | number] | readonly ['text', string];

const sizes = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

/** Fields after each other, at 8 bytes into a buffer, as a ring would hand them over. */
function parse(type: number, misc: number, fields: readonly Field[]): SidebandEvent | undefined {
  const parts = fields.map(([kind, value]) => {
    if (kind === 'text') return Buffer.from(value.padEnd(Math.ceil((value.length + 1) / 8) * 8, '\0'));
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    return part.subarray(0, sizes[kind]);
  });
  const time = Buffer.alloc(8);
  time.writeBigUInt64LE(baseKtimeNs + 77n);
  const beyond = Buffer.alloc(8, 0xee);
  const bytes = Buffer.concat([beyond, Buffer.alloc(8), ...parts, time, beyond]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return new SidebandParser(baseKtimeNs).parse(view, { offset: 8, size: bytes.length - 16, type, misc });
}

test('fork, exit, comm', () => {
  const task: Field[] = [['u32', 5], ['u32', 4], ['u32', 6], ['u32', 3], ['u64', 0]];
  assert.deepEqual(parse(7, 0, task), { kind: 'fork', ns: 77, tgid: 5, tid: 6, parentTgid: 4, parentTid: 3 });
  assert.deepEqual(parse(4, 0, task), { kind: 'exit', ns: 77, tgid: 5, tid: 6 });
  const comm: Field[] = [['u32', 5], ['u32', 6], ['text', 'a b) c']];
  const named = { kind: 'comm', ns: 77, tgid: 5, tid: 6, comm: 'a b) c' };
  assert.deepEqual(parse(3, 1 << 13, comm), { ...named, isExec: true });
  assert.deepEqual(parse(3, 0, comm), { ...named, isExec: false });
});

const span: Field[] = [['u32', 5], ['u32', 6], ['u64', 0x7f00_0000_1000n], ['u64', 0x2000], ['u64', 0x3000]];

test('mmap2, also with the flag of a listener who asked for build ids, and data', () => {
  const inode = 2n ** 60n + 1n;
  const byInode: Field[] = [['u32', 8], ['u32', 1], ['u64', inode], ['u64', 0], ['u32', 5], ['u32', 2]];
  const addresses = { start: 0x7f00_0000_1000, limit: 0x7f00_0000_3000, fileOffset: 0x3000 };
  const place = { ns: 77, tgid: 5, tid: 6, ...addresses };
  for (const misc of [0, 1 << 14]) {
    assert.deepEqual(parse(10, misc, [...span, ...byInode, ['text', '/lib/ü.so']]), {
      kind: 'mmap', ...place, path: '/lib/ü.so', device: '8:1', inode,
    });
  }
  const data: Field[] = [...byInode.slice(0, 4), ['u32', 3], ['u32', 2]];
  assert.equal(parse(10, 0, [...span, ...data, ['text', '/lib/x']]), undefined, 'not executable');
});

test('lost', () => {
  assert.deepEqual(parse(2, 0, [['u64', 1], ['u64', 12]]), { kind: 'lost', ns: 77, count: 12 });
});

test('processes of no pid namespace of ours are left out', () => {
  const task = (tgid: number): Field[] => [['u32', tgid], ['u32', 4], ['u32', 6], ['u32', 3], ['u64', 0]];
  assert.equal(parse(7, 0, task(0)), undefined);
  assert.equal(parse(4, 0, task(0xffff_ffff)), undefined);
});

test('hostile bytes never throw and give only bounded, exact values', () => {
  const record = fc.record({
    bytes: fc.uint8Array({ minLength: 0, maxLength: 200 }),
    offset: fc.integer({ min: -8, max: 64 }),
    size: fc.integer({ min: 0, max: 300 }),
    type: fc.oneof(fc.constantFrom(2, 3, 4, 7, 10), fc.nat(40)),
    misc: fc.nat(0xffff),
  });
  fc.assert(fc.property(record, ({ bytes, ...place }) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const event = new SidebandParser(baseKtimeNs).parse(view, place);
    if (event === undefined) return;
    if (event.kind === 'mmap') {
      assert.ok(event.limit > event.start && event.fileOffset >= 0);
      assert.ok([event.start, event.limit, event.fileOffset].every(Number.isSafeInteger));
      assert.ok(event.path.length <= place.size);
    }
    if ('tgid' in event) assert.ok(event.tgid > 0 && event.tid > 0);
  }), { numRuns: 2000 });
});

//   CPU 0   fork 7@5 ┄┄┄┄┄ exit 7@9
//   CPU 1   name 7@6            ┆ horizon 8
test('events of all CPUs come in the order of their times, up to the horizon', () => {
  const merger = new EventMerger();
  for (const event of [exit(9, 7), fork(5, 1, 7), rename(6, 7, 7, 'x')]) merger.add(event);
  assert.deepEqual(merger.read(8).map((e) => e.kind), ['fork', 'comm']);
  assert.equal(merger.waitingEvents, 1);
  merger.add(rename(5.5, 7, 7, 'late'));
  assert.deepEqual(merger.read(20).map((e) => e.ns), [5.5, 9]);
  assert.equal(merger.lateEvents, 1);
});
