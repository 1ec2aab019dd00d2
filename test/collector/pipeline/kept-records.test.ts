import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeptRecords } from '../../../collector/pipeline/kept-records.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('kept-records');

test('keeps the bytes and the order of what is pushed and retained, beyond its first room too', () => {
  const sizes = fc.array(fc.constantFrom(8, 80, 592, 20_000), { maxLength: 60 });
  const property = fc.property(sizes, fc.func(fc.boolean()), sizes, (before, isKept, after) => {
    const records = new KeptRecords<{ sizeBytes: number; fill: number }>();
    let model: { sizeBytes: number; fill: number }[] = [];
    const push = (sizeBytes: number): void => {
      const kind = { sizeBytes, fill: (model.length * 7 + sizeBytes) % 251 };
      const from = new Uint8Array(sizeBytes + 24).fill(kind.fill, 16, 16 + sizeBytes);
      records.push(kind, new DataView(from.buffer, 8), 8);
      model.push(kind);
    };
    before.forEach(push);
    const places = [...model.keys()].filter((place) => isKept(place));
    records.retain(places);
    model = places.map((place) => model[place]!);
    after.forEach(push);
    assert.deepEqual(records.kinds, model);
    records.starts.forEach((start, place) => {
      const { sizeBytes, fill } = model[place]!;
      const bytes = new Uint8Array(records.view.buffer, start, sizeBytes);
      assert.ok(bytes.every((byte) => byte === fill));
    });
  });
  fc.assert(property);
});
