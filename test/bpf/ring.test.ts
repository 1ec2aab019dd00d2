// The reader of BPF rings against a file laid out as the kernel would, with its data twice: random
// records, some busy, some discarded, against a list.

import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { BpfMap, mapType } from '../../bpf/map.js';
import { RingReader } from '../../bpf/ring.js';
import { pageSizeBytes } from '../../ffi/memory-map.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('bpf-ring');

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-bpf-ring-'));
after(() => rmSync(folder, { recursive: true }));

const RING_BYTES = pageSizeBytes;
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;

/** Consumer page, producer page, data, data again. */
class FakeRing {
  readonly fd = openSync(join(folder, 'ring'), 'w+');
  #produced: number;

  constructor(start: number) {
    const empty = Buffer.alloc(2 * pageSizeBytes + 2 * RING_BYTES);
    writeSync(this.fd, empty, 0, empty.length, 0);
    this.#produced = start;
    const position = new BigUint64Array([BigInt(start)]);
    for (const page of [0, pageSizeBytes]) writeSync(this.fd, position, 0, 8, page);
  }

  /** Returns where the record's length lies, for commit(). */
  append(body: Uint8Array, flags: number): number {
    const bytes = Buffer.alloc(8 + Math.ceil(body.length / 8) * 8);
    bytes.writeUInt32LE((body.length | flags) >>> 0, 0);
    bytes.set(body, 8);
    const at = this.#produced % RING_BYTES;
    for (let i = 0; i < bytes.length; i += 8) {
      this.#write((at + i) % RING_BYTES, bytes.subarray(i, i + 8));
    }
    this.#produced += bytes.length;
    writeSync(this.fd, new BigUint64Array([BigInt(this.#produced)]), 0, 8, pageSizeBytes);
    return at;
  }

  commit(at: number, length: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(length, 0);
    this.#write(at, bytes);
  }

  #write(at: number, bytes: Buffer): void {
    for (const copy of [0, RING_BYTES]) {
      writeSync(this.fd, bytes, 0, bytes.length, 2 * pageSizeBytes + copy + at);
    }
  }
}

const shape = { type: mapType.ringbuf, keySize: 0, valueSize: 0, maxEntries: RING_BYTES };

test('records come out once, in order, when they are committed', () => {
  const record = fc.record({
    body: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    fate: fc.constantFrom('ready', 'discarded', 'late'),
  });
  fc.assert(
    fc.property(fc.nat(2000), fc.array(record, { maxLength: 60 }), (start, list) => {
      const fake = new FakeRing(8 * start);
      const reader = new RingReader(new BpfMap('ring', fake.fd, shape));
      const seen: Buffer[] = [];
      const read = () => reader.read((view, offset, size) => {
        seen.push(Buffer.from(new Uint8Array(view.buffer, view.byteOffset + offset, size)));
      });
      const wanted: Buffer[] = [];
      for (const { body, fate } of list) {
        const at = fake.append(body, fate === 'late' ? BUSY : fate === 'discarded' ? DISCARDED : 0);
        if (fate !== 'discarded') wanted.push(Buffer.from(body));
        const before = seen.length;
        read();
        if (fate !== 'late') continue;
        assert.equal(seen.length, before);
        fake.commit(at, body.length);
        read();
      }
      assert.deepEqual(seen, wanted);
      reader.close();
      closeSync(fake.fd);
    }),
    { numRuns: 60 },
  );
});

test('only a ring buffer is read as one', () => {
  const table = new BpfMap('table', 0, { ...shape, type: mapType.hash });
  assert.throws(() => new RingReader(table), /is a ring buffer/);
});
