// A real BPF ring: records of several sizes around its end many times, discarded ones, and one that
// overflows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RingReader } from '../../bpf/ring.js';
import { libcFunction } from '../../ffi/native.js';
import { Poller } from '../../ffi/poller.js';
import { compileBpf, loadFixture, requiredHook, skipReason } from '../support/bpf-fixture.js';

const skip = skipReason() ?? (process.arch === 'x64' ? false : 'the fixture is compiled for x86-64');
const object = skip === false ? compileBpf('ring') : '';
const SYS_GETPPID = 110;
const getppid = libcFunction('getppid', 'int', []);
const sizes = [16, 40, 1000];

function open() {
  const rodata = { test_tgid: process.pid, test_syscall: SYS_GETPPID };
  const probe = loadFixture(object, [requiredHook('enter')], { rodata });
  return { probe, reader: new RingReader(probe.map('events')) };
}

/** Checks each record's size and both copies of its number; returns the numbers. */
function read(reader: RingReader, max?: number): number[] {
  const numbers: number[] = [];
  reader.read((view, offset, size) => {
    const number = view.getBigUint64(offset, true);
    assert.equal(size, sizes[Number(number % 3n)]);
    assert.equal(view.getBigUint64(offset + size - 8, true), BigInt.asUintN(64, ~number));
    numbers.push(Number(number));
  }, max);
  return numbers;
}

const expected = (count: number) => Array.from({ length: count }, (_, i) => i).filter((i) => i % 5 !== 4);

test('no record is lost while somebody reads', { skip }, () => {
  const { probe, reader } = open();
  probe.openGate();
  const got: number[] = [];
  for (let i = 0; i < 3000; i++) {
    getppid();
    if (i % 4 === 0) got.push(...read(reader));
  }
  got.push(...read(reader));
  assert.deepEqual(got, expected(3000));
  assert.equal(probe.globals.u64('dropped')[0], 0n);
  assert.deepEqual(read(reader), []);
  reader.close();
  assert.equal(reader.read(() => assert.fail()), 0);
  probe.close();
});

test('a full ring drops what comes later; a reader may take a few at a time', { skip }, () => {
  const { probe, reader } = open();
  probe.openGate();
  for (let i = 0; i < 100; i++) getppid();
  const dropped = Number(probe.globals.u64('dropped')[0]);
  assert.ok(dropped > 0);
  const got: number[] = [];
  for (let round = 0; round < 100; round++) {
    const few = read(reader, 2);
    assert.ok(few.length <= 2);
    got.push(...few);
  }
  const could = expected(100);
  assert.deepEqual(got, could.filter((number) => got.includes(number)));
  const discarded = 100 - got.length - dropped;
  assert.ok(got.length > 0 && discarded >= 0 && discarded <= 20);
  reader.close();
  probe.close();
});

test('a record is seen once, also when the reader throws', { skip }, () => {
  const { probe, reader } = open();
  probe.openGate();
  for (let i = 0; i < 3; i++) getppid();
  assert.throws(() => reader.read(() => assert.fail('no')), /no/);
  assert.deepEqual(read(reader), [1, 2]);
  reader.close();
  probe.close();
});

test('it tells how full it was at most, once', { skip }, () => {
  const { probe, reader } = open();
  const { maxEntries } = probe.map('events');
  probe.openGate();
  for (let i = 0; i < 3; i++) getppid();
  read(reader);
  // The kernel puts 8 bytes before each record; these need no rounding up.
  const heldBytes = sizes.reduce((sum, size) => sum + 8 + size, 0);
  assert.deepEqual(reader.takeFill(), { map: 'events', share: heldBytes / maxEntries });
  assert.equal(reader.takeFill().share, 0);
  for (let i = 0; i < 100; i++) getppid();
  assert.ok(Number(probe.globals.u64('dropped')[0]) > 0);
  read(reader);
  const { share } = reader.takeFill();
  // What was dropped has at most the size of the largest record.
  assert.ok(share <= 1 && share > 1 - 1008 / maxEntries, String(share));
  reader.close();
  probe.close();
});

test('a ring wakes the poller', { skip }, async () => {
  const { probe, reader } = open();
  let wake: () => void = () => {};
  const woken = new Promise<void>((resolve) => (wake = resolve));
  const poller = new Poller({ onReadable: () => wake(), onError: (error) => assert.fail(String(error)) });
  poller.add(reader.fd);
  probe.openGate();
  getppid();
  await woken;
  assert.deepEqual(read(reader), [0]);
  poller.remove(reader.fd);
  poller.close();
  reader.close();
  probe.close();
});
