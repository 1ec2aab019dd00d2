// Maps of this kernel: single elements, per-CPU values, maps inside a map, and emptying a large one in batches.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CallError } from '../../ffi/errno.js';
import { possibleCpus } from '../../ffi/libbpf.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { BatchBuffer } from '../../bpf/map.js';
import { closeFd } from '../../ffi/libc.js';
import { areGone, compileBpf, loadFixture, openMapById, requiredHook, skipReason } from '../support/bpf-fixture.js';
import { readFdInfo } from '../../bpf/fd-info.js';

const skip = skipReason() ?? false;
const ENTRIES = 5000;
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: number) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);

let probe: LoadedProbe;
before(() => {
  if (skip !== false) return;
  const maxEntries = { table: 2, parts: ENTRIES };
  probe = loadFixture(compileBpf('hooks'), [requiredHook('works')], { maxEntries });
});
after(() => probe?.close());

test('look up, update, delete', { skip }, () => {
  const table = probe.map('table');
  assert.equal(table.lookup(u32(1)), undefined);
  table.update(u32(1), u64(11));
  table.update(u32(2), u64(22));
  assert.deepEqual(table.lookup(u32(2)), u64(22));
  const isFull = (error: unknown): boolean => error instanceof CallError && error.errno === 'E2BIG';
  assert.throws(() => table.update(u32(3), u64(33)), isFull);
  assert.equal(table.delete(u32(1)), true);
  assert.equal(table.delete(u32(1)), false);
  assert.throws(() => table.lookup(u64(1)), /keys of table have 4 bytes/);
  assert.throws(() => table.update(u32(1), u32(1)), /values of table have 8 bytes/);
});

test('a per-CPU map holds a value for each possible CPU, 8 bytes apart', { skip }, () => {
  const map = probe.map('per_cpu');
  assert.equal(map.elementSize, 8 * possibleCpus());
  const values = Uint32Array.from({ length: 2 * possibleCpus() }, (_, i) => (i % 2 === 0 ? 100 + i : 0));
  map.update(u32(1), new Uint8Array(values.buffer));
  assert.deepEqual(new Uint32Array(map.lookup(u32(1))!.buffer), values);
  assert.deepEqual(map.lookup(u32(0)), new Uint8Array(map.elementSize));
});

test('an array of maps that brings none gets them, as large as asked for', { skip }, () => {
  const parts = probe.map('parts');
  assert.deepEqual(parts.innerMaps.map(({ maxEntries }) => maxEntries), [ENTRIES, ENTRIES, ENTRIES]);
  const ids = parts.innerMaps.map(({ fd }) => Number(readFdInfo(fd)['map_id']));
  ids.forEach((id, index) => assert.deepEqual(parts.lookup(u32(index)), u32(id)));
  assert.throws(() => parts.inner(3), /has a map 3 inside/);
  assert.ok(probe.kernelMemoryBytes() > 3 * ENTRIES * 16);
});

test('maps of any length come and go in an array of maps that is made for it', { skip }, async () => {
  const lists = probe.map('lists');
  assert.deepEqual(lists.innerMaps, []);
  assert.equal(lists.lookup(u32(2)), undefined);
  const values = new Uint8Array(3 * 4096).map((_, i) => i >> 8);
  const chargedBytes = lists.putInner(2, values);
  assert.ok(chargedBytes >= values.length && chargedBytes < 2 * values.length, `${chargedBytes} bytes`);
  const id = new Uint32Array(lists.lookup(u32(2))!.buffer)[0]!;
  const list = openMapById(id, { type: 2, keySize: 4, valueSize: 4096, maxEntries: 3 });
  assert.deepEqual([0, 1, 2].map((i) => list.lookup(u32(i))), [0, 1, 2].map((i) => values.slice(i * 4096, (i + 1) * 4096)));
  closeFd(list.fd);
  lists.putInner(3, new Uint8Array(4096));
  assert.equal(lists.delete(u32(2)), true);
  assert.ok(await areGone('map', [id]), 'nothing else holds it');
  assert.throws(() => probe.map('parts').putInner(0, values), /any length/);
});

test('a map is emptied in batches, and the room for it grows and shrinks', { skip }, () => {
  const map = probe.map('parts').inner(1);
  const buffer = new BatchBuffer(map);
  assert.equal(map.drainBatch(buffer).count, 0);
  const small = buffer.capacity;
  for (let i = 0; i < ENTRIES; i++) map.update(u32(i), u64(3 * i));
  const { count, keys, values } = map.drainBatch(buffer);
  assert.equal(count, ENTRIES);
  const numbers = new Uint32Array(keys.buffer, keys.byteOffset, count);
  const triples = new BigUint64Array(values.buffer, values.byteOffset, count);
  numbers.forEach((number, index) => assert.equal(triples[index], BigInt(3 * number)));
  assert.equal(new Set(numbers).size, ENTRIES);
  assert.ok(buffer.capacity > small && buffer.capacity <= ENTRIES);
  for (let i = 0; i < 10; i++) assert.equal(map.drainBatch(buffer).count, 0);
  assert.equal(buffer.capacity, small);
  assert.throws(() => probe.map('per_cpu').drainBatch(buffer), /fits map per_cpu/);
});

test('maps made for an array of maps go with the probe', { skip }, async () => {
  const ids = probe.map('parts').innerMaps.map(({ fd }) => Number(readFdInfo(fd)['map_id']));
  probe.close();
  assert.ok(await areGone('map', ids));
});
