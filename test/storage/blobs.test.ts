// Every blob decoder: what was written comes back, and foreign bytes give undefined, never a throw.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FunctionInfo } from '../../storage/model/frame.js';
import { firstSlot, lastSlot } from '../../storage/model/histogram.js';
import { headerOf } from '../../storage/segment/bucket.js';
import { ByteReader, ByteWriter } from '../../storage/segment/bytes.js';
import { lostFunction } from '../../storage/segment/codecs.js';
import { chunkKinds, Dictionary } from '../../storage/segment/dictionary.js';
import { decodeEnvelope, encodeEnvelope } from '../../storage/segment/envelope.js';
import { decodeEvents, LiveEvents } from '../../storage/segment/live-events.js';
import { decodeHistograms, LiveHistograms } from '../../storage/segment/live-histograms.js';
import { decodePoints, LivePoints } from '../../storage/segment/live-points.js';
import { decodeSamples, forEachRow, LiveSamples } from '../../storage/segment/live-samples.js';
import { seedRandomTests } from '../support/random.js';
import { cpu, exec, execEvents, fn, histogramOf, noon, second, series } from './support.js';

seedRandomTests('storage-blobs');

const header = headerOf(Number(noon / (10n * second)), {
  startUnixNs: noon,
  endUnixNs: noon + second,
});
const max = Number.MAX_SAFE_INTEGER;

test('varints hold 53 bits', () => {
  const edges = [0, 1, 63, 64, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 49, 2 ** 52, max];
  const integers = fc.array(
    fc.oneof(fc.constantFrom(...edges), fc.integer({ min: 0, max }), fc.nat()),
  );
  fc.assert(
    fc.property(integers, (values) => {
      const writer = new ByteWriter(1);
      for (const v of values) {
        writer.unsigned(v);
        writer.signed(v);
        writer.signed(-v);
      }
      const reader = new ByteReader(writer.finish());
      for (const v of values) {
        assert.equal(reader.unsigned(), v);
        assert.equal(reader.signed(), v);
        assert.equal(reader.signed(), 0 - v);
      }
      assert.ok(reader.isAtEnd);
    }),
  );
});

test('envelopes give their streams back, long ones compressed', () => {
  const streams = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 });
  fc.assert(
    fc.property(streams, fc.nat(5000), (list, zeros) => {
      const all = [...list, new Uint8Array(zeros)];
      const blob = encodeEnvelope(all);
      assert.deepEqual(
        decodeEnvelope(blob)?.map((s) => [...s]),
        all.map((s) => [...s]),
      );
      assert.ok(zeros < 1000 || blob.length < zeros);
    }),
  );
});

test('a flipped bit, a cut and a longer blob are found', () => {
  const blob = sampleBlob();
  for (let bit = 0; bit < blob.length * 8; bit++) {
    const damaged = Buffer.from(blob);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    const streams = decodeEnvelope(damaged);
    // Bits of the version and of the number of streams stand before the
    // checksum; the lengths then disagree.
    assert.equal(streams, undefined, `bit ${bit}`);
  }
  for (let length = 0; length < blob.length; length++)
    assert.equal(decodeEnvelope(blob.subarray(0, length)), undefined);
  assert.equal(decodeEnvelope(Buffer.concat([blob, Buffer.from([0])])), undefined);
});

test('samples: rows come back sorted, counts to 53 bits', () => {
  const rows = fc.array(
    fc.tuple(
      fc.nat(50),
      fc.oneof(fc.nat(300), fc.nat(2 ** 24 - 1)),
      fc.integer({ min: 1, max: 2 ** 45 }),
    ),
  );
  fc.assert(
    fc.property(rows, (list) => {
      const live = new LiveSamples(header);
      const sums = new Map<string, number>();
      for (const [s, node, count] of list) {
        live.add(s, node, count);
        sums.set(`${s} ${node}`, (sums.get(`${s} ${node}`) ?? 0) + count);
      }
      const decoded = decodeSamples(live.encode());
      assert.ok(decoded !== undefined);
      const got = new Map<string, number>();
      forEachRow(decoded, (s, node, count) => got.set(`${s} ${node}`, count));
      assert.deepEqual(new Map([...got].sort()), new Map([...sums].sort()));
      assert.deepEqual(decoded.header, header);
    }),
  );
});

test('events: every column comes back', () => {
  const events = fc.array(
    fc.record(
      {
        time: fc.integer({ min: -1e12, max: 1e12 }),
        pid: fc.integer({ min: -1, max }),
        comm: fc.string({ unit: 'binary' }),
        duration: fc.integer({ min: -max, max }),
      },
      { noNullPrototype: true },
    ),
  );
  fc.assert(
    fc.property(events, (list) => {
      const sorted = [...list].sort((a, b) => a.time - b.time);
      const live = new LiveEvents(header, exec.fields!);
      const timesNs = Float64Array.from(list, (e) => e.time);
      const numbers = (pick: (e: (typeof list)[number]) => number) => Float64Array.from(list, pick);
      live.add(
        {
          timesNs,
          columns: [numbers((e) => e.pid), list.map((e) => e.comm), numbers((e) => e.duration)],
        },
        5,
      );
      const rows = decodeEvents(live.encode(), exec.fields!);
      assert.ok(rows !== undefined);
      const got = rows.times.map((time, i) => {
        const [pid, comm, duration] = rows.columns.map((c) => c[i]!) as [number, number, number];
        return { time: time - 5, pid, comm: rows.strings[comm]!, duration };
      });
      assert.deepEqual(got, sorted);
    }),
  );
});

test('dictionary: functions, series and stacks come back from their chunks', () => {
  const text = fc.string({ unit: 'binary', maxLength: 8 });
  const functions: fc.Arbitrary<FunctionInfo> = fc.record(
    {
      module: fc.record({ name: text, path: text, buildId: text }),
      frameType: fc.constantFrom('native', 'kernel', 'cut'),
      name: text,
      systemName: text,
      file: text,
      startLine: fc.nat(),
      reason: fc.constantFrom('no-symbols', 'anonymous'),
      start: fc.integer({ min: -max, max }),
      isGuess: fc.boolean(),
    },
    { requiredKeys: ['module', 'frameType', 'name'] },
  );
  fc.assert(
    fc.property(fc.array(fc.array(functions, { maxLength: 5 }), { maxLength: 5 }), (flushes) => {
      const dictionary = new Dictionary();
      const chunks = [];
      const ids: number[] = [];
      for (const list of flushes) {
        let node = 0;
        for (const f of list) {
          ids.push(dictionary.functionId(f));
          node = dictionary.trie.child(node, ids.at(-1)!);
        }
        dictionary.seriesId(series('a', { cgroup: `/\0"${node}` }));
        dictionary.streams.idOf(cpu);
        dictionary.keyId(0, [node, `"\0${node}`]);
        chunks.push(...dictionary.unsavedChunks());
        dictionary.markSaved();
      }
      const { dictionary: loaded, brokenChunks } = Dictionary.load(chunks);
      assert.equal(brokenChunks, 0);
      assert.deepEqual(
        ids.map((id) => loaded.functionAt(id)),
        ids.map((id) => dictionary.functionAt(id)),
      );
      assert.deepEqual(loaded.series.items, dictionary.series.items);
      assert.deepEqual(loaded.streams.items, dictionary.streams.items);
      assert.deepEqual(loaded.keys.items, dictionary.keys.items);
      loaded.keys.items.forEach((entry, id) => {
        assert.deepEqual(loaded.keyAt(0, id), entry!.key);
        assert.equal(loaded.keyAt(1, id), undefined, 'a key of another stream is lost');
      });
      assert.equal(loaded.trie.size, dictionary.trie.size);
      for (let id = 1; id < loaded.trie.size; id++) {
        const [parent, frame] = [loaded.trie.parents[id]!, loaded.trie.frames[id]!];
        assert.equal(dictionary.trie.child(parent, frame), id);
        assert.equal(loaded.trie.child(parent, frame), id, 'a loaded trie goes on');
      }
    }),
  );
});

test('a lost chunk leaves (lost) in its own ids only', () => {
  const dictionary = new Dictionary();
  const chunks = [];
  for (const name of ['a', 'b', 'c']) {
    dictionary.trie.child(0, dictionary.functionId(fn(name, name)));
    chunks.push(...dictionary.unsavedChunks());
    dictionary.markSaved();
  }
  // Ids of code (module, function): 0 1, 2 3, 4 5. Of nodes: 1, 2, 3.
  // Lost are code 2 3 and nodes 1, 2.
  const isKept = ({ kind, first }: { kind: number; first: number }) =>
    kind === chunkKinds.code ? first !== 2 : first === 3;
  const damaged = chunks.map((chunk) =>
    isKept(chunk) ? chunk : { ...chunk, data: new Uint8Array(3) },
  );
  const { dictionary: loaded, brokenChunks } = Dictionary.load(damaged);
  assert.equal(brokenChunks, 3);
  const names = [1, 2, 3].map((id) => loaded.functionAt(loaded.trie.frames[id]!).name);
  assert.deepEqual(names, ['(lost)', '(lost)', 'c']);
  assert.equal(loaded.functionAt(3), lostFunction);
  assert.equal(
    Dictionary.load(chunks.slice(1)).brokenChunks,
    1,
    'a row that vanished is noticed too',
  );
});

test('foreign bytes never throw', () => {
  const decoders = [
    (blob: Uint8Array) => decodeSamples(blob),
    (blob: Uint8Array) => decodeEvents(blob, exec.fields!),
    decodeHistograms,
    (blob: Uint8Array) => decodePoints('counter', blob),
    (blob: Uint8Array) => decodePoints('gauge', blob),
    ...[0, 1, 2, 4, 5, 6].map(
      (kind) => (data: Uint8Array) => Dictionary.load([{ kind, first: 1, n: 3, data }]),
    ),
  ];
  const streams = fc.array(fc.oneof(fc.uint8Array({ maxLength: 40 }), jsonBytes()), {
    maxLength: 8,
  });
  const blobs = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    streams.map((list) => new Uint8Array(encodeEnvelope(list))),
  );
  fc.assert(
    fc.property(blobs, (blob) => {
      for (const decode of decoders) decode(blob);
    }),
    { numRuns: 3000 },
  );
});

test('streams of a valid blob with bytes changed under a right checksum never throw', () => {
  const valid = [sampleBlob(), eventBlob(), ...metricBlobs(), ...chunkBlobs()];
  const change = fc.record({ blob: fc.nat(), at: fc.nat(), value: fc.nat(255), cut: fc.nat(3) });
  fc.assert(
    fc.property(change, ({ blob, at, value, cut }) => {
      const streams = decodeEnvelope(valid[blob % valid.length]!)!.map((s) => Uint8Array.from(s));
      const stream = streams[at % streams.length]!;
      stream[(at >> 3) % Math.max(1, stream.length)] = value;
      streams[at % streams.length] = stream.subarray(0, Math.max(0, stream.length - cut));
      const changed = encodeEnvelope(streams);
      const rows = decodeSamples(changed);
      if (rows !== undefined)
        assert.equal(
          rows.nodes.length,
          rows.seriesRows.reduce((sum, n) => sum + n, 0),
        );
      decodeEvents(changed, exec.fields!);
      for (const { lowest, counts, from, length } of decodeHistograms(changed)?.values ?? []) {
        assert.ok(lowest >= firstSlot && lowest + length - 1 <= lastSlot);
        assert.ok(from >= 0 && from + length <= counts.length);
        assert.ok(counts.every((count) => Number.isSafeInteger(count) && count >= 0));
      }
      for (const kind of ['counter', 'gauge'] as const) {
        assert.ok(decodePoints(kind, changed)?.values.every(Number.isFinite) ?? true);
      }
      for (const kind of [0, 1, 2, 4, 5, 6])
        Dictionary.load([{ kind, first: kind === 1 ? 1 : 0, n: 2, data: changed }]);
    }),
    { numRuns: 3000 },
  );
});

function jsonBytes(): fc.Arbitrary<Uint8Array> {
  return fc
    .array(fc.jsonValue(), { maxLength: 4 })
    .map((json) => new Uint8Array(Buffer.from(JSON.stringify(json))));
}

function sampleBlob(): Buffer {
  const live = new LiveSamples({
    ...header,
    counters: new Map([
      [0, 5],
      [1, -7],
    ]),
  });
  for (let i = 0; i < 40; i++) live.add(i % 4, i * 3, i + 1);
  return live.encode();
}

function eventBlob(): Buffer {
  const live = new LiveEvents(header, exec.fields!);
  live.add(execEvents([1, 2, 3, 4, 5]), 0);
  return live.encode();
}

function metricBlobs(): Buffer[] {
  const live = new LiveHistograms(header, 9);
  for (let key = 0; key < 4; key++) live.add(key, histogramOf([0, 1e3, 5e3, 1e6 * key, 1e9]));
  const points = (['counter', 'gauge'] as const).map((kind) => {
    const list = new LivePoints(kind, header, 9);
    for (let key = 0; key < 4; key++) list.add(key * 3, key * (kind === 'gauge' ? 1.25 : 1000));
    return list.encode();
  });
  return [live.encode(), ...points];
}

function chunkBlobs(): Uint8Array[] {
  const dictionary = new Dictionary();
  dictionary.trie.child(dictionary.trie.child(0, dictionary.functionId(fn('a'))), 1);
  dictionary.seriesId(series('a'));
  dictionary.seriesId(series('b'));
  dictionary.streams.idOf(cpu);
  dictionary.streams.idOf(exec);
  dictionary.keyId(0, [7, 'a']);
  dictionary.keyId(1, ['b']);
  dictionary.counterNames.idOf('captured');
  dictionary.counterNames.idOf('idle');
  return dictionary.unsavedChunks().map(({ data }) => data);
}
