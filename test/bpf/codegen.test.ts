// The generated decoders: up to date with the objects, equal to the run-time decoder on any bytes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TypeSource } from '../../bpf/codegen/emit.js';
import { emitWire } from '../../bpf/codegen/emit.js';
import { generatedPath, readCompiledProbes } from '../../bpf/codegen/main.js';
import * as wire from '../../bpf/generated/wire.js';
import { buildDecoder } from '../../elf/btf-decoder.js';
import type { BtfMember } from '../../elf/btf.js';
import { seedRandomTests } from '../support/random.js';

interface Codec {
  readonly sizeBytes: number;
  decode(view: DataView, offset: number): unknown;
  encode(view: DataView, offset: number, value: unknown): void;
}

seedRandomTests('codegen');

const probes = readCompiledProbes();
const codecs = Object.entries(wire.wireStructs) as [string, Codec][];

test('the committed decoders are what the objects say: else run `npm run gen`', () => {
  assert.equal(emitWire(probes), readFileSync(generatedPath, 'utf8'));
});

test('every struct of wire.h is in an object, with its size', () => {
  const header = readFileSync('bpf/include/wire.h', 'utf8');
  const declared = [...header.matchAll(/^struct (fk_\w+) \{/gm)].map((m) => m[1]!);
  assert.deepEqual(Object.keys(wire.wireStructs).sort(), declared.sort());
  for (const [name, { sizeBytes }] of codecs) {
    const struct = probes.map((p) => p.btf.struct(name)).find((s) => s !== undefined);
    assert.equal(struct?.sizeBytes, sizeBytes, name);
  }
});

for (const [name, codec] of codecs) {
  test(`${name}: generated and run-time decoder read the same from any bytes`, () => {
    const probe = probes.find((p) => p.btf.struct(name) !== undefined)!;
    const decoder = buildDecoder(probe.btf, name);
    assert.ok('decode' in decoder);
    const anyBytes = fc.uint8Array({
      minLength: codec.sizeBytes + 3,
      maxLength: codec.sizeBytes + 3,
    });
    fc.assert(
      fc.property(anyBytes, fc.nat(3), (bytes, offset) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        assert.deepEqual(codec.decode(view, offset), decoder.decode(view, offset));
      }),
    );
  });

  test(`${name}: what is encoded is decoded again`, () => {
    const ascii = fc.uint8Array({
      minLength: codec.sizeBytes,
      maxLength: codec.sizeBytes,
      max: 0x7f,
    });
    fc.assert(
      fc.property(ascii, (bytes) => {
        const value = codec.decode(
          new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
          0,
        );
        const copy = new DataView(new ArrayBuffer(codec.sizeBytes));
        codec.encode(copy, 0, value);
        assert.deepEqual(codec.decode(copy, 0), value);
      }),
    );
  });

  test(`${name}: a view that ends too early is a RangeError`, () => {
    assert.throws(
      () => codec.decode(new DataView(new ArrayBuffer(codec.sizeBytes - 1)), 0),
      RangeError,
    );
  });
}

test('two objects that disagree, and members without wire form, are refused', () => {
  const source = (...members: BtfMember[]): TypeSource => ({
    structNames: () => ['fk_x', 'other'],
    struct: (name) => ({ name, sizeBytes: 8, members }),
    enumNames: () => [],
    enum: () => undefined,
    maps: () => [],
  });
  const word: BtfMember = {
    name: 'a',
    offsetBytes: 0,
    type: { kind: 'int', sizeBytes: 8, isSigned: false },
  };
  const pointer: BtfMember = {
    ...word,
    name: 'p',
    type: { kind: 'other', sizeBytes: 8, what: 'pointer' },
  };
  const one = { name: 'one', btf: source(word) };
  assert.match(emitWire([one, { ...one, name: 'two' }]), /interface FkX/);
  const other = { name: 'two', btf: source({ ...word, name: 'b' }) };
  assert.throws(() => emitWire([one, other]), /two\.bpf\.o has another fk_x/);
  assert.throws(
    () => emitWire([{ name: 'one', btf: source(pointer) }]),
    /fk_x\.p: pointer has no wire form/,
  );
});
