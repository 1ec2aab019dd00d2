// The reader of perf rings against a file laid out as the kernel would: every record once, in
// order, across the end; no sizes, however wrong, make it read past what waits.

import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { pageSizeBytes } from '../../ffi/memory-map.js';
import { PerfRing } from '../../ffi/perf-ring.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('perf-ring');

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-ring-'));
after(() => rmSync(folder, { recursive: true }));

const HEAD = 1024;
const TAIL = 1032;

/** A ring of one page in a file, and the writer's side of it. */
class FakeRing {
  readonly fd = openSync(join(folder, 'ring'), 'w+');
  head: number;

  constructor(start: number) {
    writeSync(this.fd, Buffer.alloc(2 * pageSizeBytes), 0, 2 * pageSizeBytes, 0);
    this.head = start;
    this.#position(HEAD, start);
    this.#position(TAIL, start);
  }

  append(bytes: Buffer): void {
    const at = this.head % pageSizeBytes;
    const fits = Math.min(bytes.length, pageSizeBytes - at);
    writeSync(this.fd, bytes, 0, fits, pageSizeBytes + at);
    if (fits < bytes.length) writeSync(this.fd, bytes, fits, bytes.length - fits, pageSizeBytes);
    this.head += bytes.length;
    this.#position(HEAD, this.head);
  }

  #position(at: number, value: number): void {
    writeSync(this.fd, new BigUint64Array([BigInt(value)]), 0, 8, at);
  }
}

function record(type: number, misc: number, body: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(type, 0);
  header.writeUInt16LE(misc, 4);
  header.writeUInt16LE(8 + body.length, 6);
  return Buffer.concat([header, body]);
}

const records = fc.array(
  fc.record({
    type: fc.integer({ min: 1, max: 30 }).filter((type) => type !== 2),
    misc: fc.integer({ min: 0, max: 0xffff }),
    body: fc.uint8Array({ maxLength: 480 }).map((bytes) => bytes.subarray(0, bytes.length & ~7)),
  }),
  { maxLength: 100 },
);

test('records come out as they went in', () => {
  fc.assert(
    fc.property(fc.nat(1000), records, fc.integer({ min: 1, max: 7 }), (start, list, batch) => {
      const fake = new FakeRing(8 * start);
      const ring = new PerfRing(fake.fd, 1);
      const seen: Buffer[] = [];
      const read = () => ring.read((view, offset, size, type, misc) => {
        assert.equal(type, view.getUint32(offset, true));
        assert.equal(misc, view.getUint16(offset + 4, true));
        seen.push(Buffer.from(new Uint8Array(view.buffer, view.byteOffset + offset, size)));
      });
      list.forEach(({ type, misc, body }, index) => {
        fake.append(record(type, misc, Buffer.from(body)));
        if (index % batch === 0 || ring.waitingBytes > pageSizeBytes - 500) read();
      });
      read();
      assert.equal(ring.waitingBytes, 0);
      ring.close();
      closeSync(fake.fd);
      assert.deepEqual(
        seen,
        list.map(({ type, misc, body }) => record(type, misc, Buffer.from(body))),
      );
    }),
    { numRuns: 60 },
  );
});

test('what the kernel lost is counted', () => {
  const fake = new FakeRing(pageSizeBytes - 16);
  const ring = new PerfRing(fake.fd, 1);
  const body = Buffer.alloc(16);
  body.writeBigUInt64LE(7n, 8);
  fake.append(record(2, 0, body));
  assert.equal(ring.read(() => {}), 1);
  assert.equal(ring.lostCount, 7);
  ring.close();
  closeSync(fake.fd);
});

test('any bytes at all: what waits is passed over, nothing else is read', () => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.uint8Array({ minLength: 8, maxLength: pageSizeBytes }),
      (start, bytes) => {
        const fake = new FakeRing(8 * start);
        const ring = new PerfRing(fake.fd, 1);
        fake.append(Buffer.from(bytes.subarray(0, bytes.length & ~7)));
        let passed = 0;
        ring.read((view, offset, size) => {
          passed += size;
          assert.ok(offset + size <= view.byteLength);
        });
        assert.ok(passed <= bytes.length);
        assert.equal(ring.waitingBytes, 0);
        assert.ok(passed === (bytes.length & ~7) || ring.brokenCount === 1);
        ring.close();
        closeSync(fake.fd);
      },
    ),
    { numRuns: 200 },
  );
});

test('a callback that throws loses its record only', () => {
  const fake = new FakeRing(0);
  const ring = new PerfRing(fake.fd, 1);
  fake.append(record(3, 0, Buffer.alloc(8)));
  fake.append(record(4, 0, Buffer.alloc(8)));
  assert.throws(() => ring.read(() => assert.fail('no')), /no/);
  const types: number[] = [];
  ring.read((_view, _offset, _size, type) => types.push(type));
  assert.deepEqual(types, [4]);
  ring.close();
  assert.equal(ring.read(() => assert.fail()), 0);
  closeSync(fake.fd);
});
