// The push against a receiver of our own: what arrives equals what the store holds, and nothing is
// missing or wrongly repeated whatever the receiver does.

import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { openStore, noon, temporaryDir } from '../../storage/support.js';
import { OtlpReceiver } from '../../support/otlp-receiver.js';
import type { Behaviour } from '../../support/otlp-receiver.js';
import { bucketNs, expectedOf, fill, firstBucket, lag, protocols } from '../../support/push.js';
import { receivedText, startPush } from '../../support/push.js';
import { until } from '../../support/wait.js';

for (const protocol of protocols) {
  for (const temporality of ['delta', 'cumulative'] as const) {
    test(`${protocol}, ${temporality}: what arrives is what the store holds`, async (t) => {
      const store = openStore(temporaryDir(t));
      t.after(() => store.close());
      const receiver = await OtlpReceiver.start(protocol);
      t.after(() => receiver.close());
      fill(store, 5);
      store.state.set({ 'otlp.next': firstBucket });
      const { exports } = await startPush(t, store, receiver, { protocol, temporality });
      exports.complete(firstBucket + 4);
      await until(() => lag(exports) === 0, 'all is pushed');
      assert.equal(receiver.requests.length, 5);
      for (const [i, points] of receiver.requests.entries()) {
        const isCumulative = temporality === 'cumulative';
        assert.deepEqual(
          points.map(receivedText).sort(),
          await expectedOf(store, firstBucket + i, isCumulative),
        );
        const end = noon + BigInt(i + 1) * bucketNs;
        for (const point of points) {
          assert.equal(point.endUnixNs, end);
          if (!/load/.test(point.name)) {
            assert.equal(point.isCumulative, isCumulative);
            assert.equal(point.startUnixNs, isCumulative ? noon : end - bucketNs);
          }
        }
      }
      const resource = receiver.resources[0]!;
      assert.equal(resource['service.name'], 'flamekeeper');
      assert.equal(resource['deployment.environment.name'], 'test');
      for (const name of ['host.name', 'os.type']) assert.equal(typeof resource[name], 'string', name);
      assert.equal(exports.figures['push.buckets'], 5);
      assert.equal(exports.figures['push.resends'], 0);
    });
  }
}

//  store    |0 ............ 359|        receiver down, then up; daemon restarts at ~150
//  arrives                     0 1 2 ... 359, each once
test('an outage and a restart: every point once, in order, with its own time', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  const buckets = 360;
  fill(store, buckets);
  store.state.set({ 'otlp.next': firstBucket });
  const probe = await OtlpReceiver.start('http/protobuf');
  const port = Number(new URL(probe.url).port);
  await probe.close();
  const down = await startPush(t, store, probe);
  down.exports.complete(firstBucket + buckets - 1);
  await until(() => Number(down.exports.figures['push.failures']) > 0, 'a push has failed');
  assert.equal(lag(down.exports), buckets * 10);
  const startedMs = performance.now();
  await down.stop(4000);
  assert.ok(performance.now() - startedMs < 5000, 'a dead receiver holds nothing up');

  const receiver = await OtlpReceiver.start('http/protobuf', port);
  t.after(() => receiver.close());
  const first = await startPush(t, store, receiver);
  first.exports.complete(firstBucket + buckets - 1);
  await until(() => receiver.requests.length >= 150, 'catching up');
  await first.stop();
  const second = await startPush(t, store, receiver);
  second.exports.complete(firstBucket + buckets - 1);
  await until(() => lag(second.exports) === 0, 'caught up');
  const ends = receiver.requests.map((points) => points[0]!.endUnixNs);
  assert.deepEqual(ends, Array.from({ length: buckets }, (_, i) => noon + BigInt(i + 1) * bucketNs));
  const resends = [down, first, second].map(({ exports }) => exports.figures['push.resends']);
  assert.deepEqual(resends, [0, 0, 0]);
});

interface Fault {
  readonly name: string;
  readonly protocols: readonly (typeof protocols)[number][];
  readonly behaviours: readonly Behaviour[];
  readonly resends: number;
  readonly refused: number;
}

const http = ['http/protobuf', 'http/json'] as const;
const faultsOfReceivers: readonly Fault[] = [
  { name: '503, then 429', protocols: http, behaviours: [{ kind: 'status', code: 503 }, { kind: 'status', code: 429 }], resends: 0, refused: 0 },
  { name: '400', protocols: http, behaviours: [{ kind: 'status', code: 400 }], resends: 0, refused: 1 },
  { name: '401: set-up is mended later', protocols: http, behaviours: [{ kind: 'status', code: 401 }], resends: 0, refused: 0 },
  { name: 'cut before the request is whole', protocols: http, behaviours: [{ kind: 'cut', isWhole: false }], resends: 1, refused: 0 },
  { name: 'cut after it is whole', protocols: http, behaviours: [{ kind: 'cut', isWhole: true }], resends: 1, refused: 0 },
  { name: 'UNAVAILABLE', protocols: ['grpc'], behaviours: [{ kind: 'status', code: 14 }], resends: 1, refused: 0 },
  { name: 'INVALID_ARGUMENT', protocols: ['grpc'], behaviours: [{ kind: 'status', code: 3 }], resends: 0, refused: 1 },
];

for (const { name, protocols: of, behaviours, resends, refused } of faultsOfReceivers) {
  for (const protocol of of) {
    test(`${protocol}, ${name}: none missing, repeats identical and counted`, async (t) => {
      const store = openStore(temporaryDir(t));
      t.after(() => store.close());
      const receiver = await OtlpReceiver.start(protocol);
      t.after(() => receiver.close());
      fill(store, 3);
      store.state.set({ 'otlp.next': firstBucket });
      receiver.behaviours.push({ kind: 'accept' }, ...behaviours);
      const { exports } = await startPush(t, store, receiver, { protocol });
      exports.complete(firstBucket + 2);
      await until(() => lag(exports) === 0, 'all is pushed');
      const texts = receiver.requests.map((points) => points.map(({ text }) => text).sort().join());
      assert.equal(new Set(texts).size, 3 - refused);
      const wholeTwice = behaviours.some((b) => b.kind === 'cut' && b.isWhole) ? 1 : 0;
      assert.equal(texts.length, 3 - refused + wholeTwice);
      assert.equal(exports.figures['push.resends'], resends);
      assert.equal(exports.figures['push.refusedBuckets'], refused);
      assert.equal(exports.figures['push.buckets'], 3 - refused);
    });
  }
}

test('a receiver slower than the timeout: repeated identically, counted', async (t) => {
  process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] = '300';
  t.after(() => delete process.env['OTEL_EXPORTER_OTLP_TIMEOUT']);
  for (const behaviour of [{ kind: 'hang' }, { kind: 'late', afterMs: 700 }] as const) {
    for (const protocol of protocols) {
      const store = openStore(temporaryDir(t));
      t.after(() => store.close());
      const receiver = await OtlpReceiver.start(protocol);
      t.after(() => receiver.close());
      fill(store, 2);
      store.state.set({ 'otlp.next': firstBucket });
      receiver.behaviours.push(behaviour);
      const { exports, stop } = await startPush(t, store, receiver, { protocol });
      exports.complete(firstBucket + 1);
      await until(() => lag(exports) === 0, 'all is pushed');
      const texts = receiver.requests.map((points) => points.map(({ text }) => text).sort().join());
      // On a busy machine the next one may not be answered in time either.
      assert.equal(new Set(texts).size, 2, `${protocol}, ${behaviour.kind}`);
      // Nor may one that was given up be whole: it is counted, as it could have been.
      const resends = Number(exports.figures['push.resends']);
      assert.ok(texts.length >= 3 && resends >= texts.length - 2, `${resends} of ${texts.length}`);
      await stop();
    }
  }
});

test('points that a receiver did not take are counted, told, and not sent again', async (t) => {
  for (const protocol of protocols) {
    const store = openStore(temporaryDir(t));
    t.after(() => store.close());
    const receiver = await OtlpReceiver.start(protocol);
    t.after(() => receiver.close());
    fill(store, 3);
    store.state.set({ 'otlp.next': firstBucket });
    receiver.behaviours.push({ kind: 'accept' }, { kind: 'partial', rejected: 3 });
    const told: string[] = [];
    const log = (text: string) => void told.push(text);
    const { exports, stop } = await startPush(t, store, receiver, { protocol, log });
    exports.complete(firstBucket + 2);
    await until(() => lag(exports) === 0, 'all is pushed');
    const { figures } = exports;
    assert.equal(receiver.requests.length, 3, protocol);
    assert.equal(figures['push.refusedPoints'], 3, `${protocol}: ${told.join()}`);
    assert.equal(figures['push.points'], receiver.points.length - 3);
    assert.deepEqual([figures['push.buckets'], figures['push.refusedBuckets']], [3, 0]);
    assert.equal(told.filter((text) => text.includes('some are not wanted')).length, 1, told.join());
    await stop();
  }
});

test('compressed requests arrive whole, and smaller', async (t) => {
  t.after(() => delete process.env['OTEL_EXPORTER_OTLP_COMPRESSION']);
  for (const protocol of protocols) {
    const sizes: number[] = [];
    const texts: string[] = [];
    for (const compression of ['none', 'gzip']) {
      process.env['OTEL_EXPORTER_OTLP_COMPRESSION'] = compression;
      const store = openStore(temporaryDir(t));
      t.after(() => store.close());
      const receiver = await OtlpReceiver.start(protocol);
      t.after(() => receiver.close());
      const counted = await countBytesTo(t, receiver.url);
      fill(store, 20);
      store.state.set({ 'otlp.next': firstBucket });
      const { exports, stop } = await startPush(t, store, counted, { protocol });
      exports.complete(firstBucket + 19);
      await until(() => lag(exports) === 0, 'all is pushed');
      assert.equal(receiver.requests.length, 20);
      texts.push(receiver.requests.map((points) => points.map(({ text }) => text).sort().join()).join());
      sizes.push(counted.bytes);
      await stop();
    }
    assert.equal(texts[1], texts[0], protocol);
    assert.ok(sizes[1]! < 0.8 * sizes[0]!, `${protocol}: ${sizes.join(' and ')} bytes`);
  }
});

/** A way to the receiver that counts what goes there. */
async function countBytesTo(t: TestContext, url: string): Promise<{ readonly url: string; bytes: number }> {
  const counted = { url: '', bytes: 0 };
  const server = createServer((from) => {
    const to = connect(Number(new URL(url).port), '127.0.0.1');
    from.on('data', (part) => (counted.bytes += part.length));
    for (const socket of [from, to]) socket.on('error', () => undefined);
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  counted.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return counted;
}

test('Retry-After and RetryInfo are waited for', async (t) => {
  for (const [protocol, code] of [['http/protobuf', 429], ['grpc', 14]] as const) {
    process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] = '500';
    const store = openStore(temporaryDir(t));
    t.after(() => store.close());
    const receiver = await OtlpReceiver.start(protocol);
    t.after(() => receiver.close());
    fill(store, 1);
    store.state.set({ 'otlp.next': firstBucket });
    receiver.behaviours.push({ kind: 'status', code, retryAfter: '3' });
    const { exports, stop } = await startPush(t, store, receiver, { protocol });
    const startedMs = performance.now();
    exports.complete(firstBucket);
    await until(() => lag(exports) === 0, 'it is pushed');
    assert.ok(performance.now() - startedMs >= 2900, `${protocol}: ${performance.now() - startedMs} ms`);
    await stop();
  }
  delete process.env['OTEL_EXPORTER_OTLP_TIMEOUT'];
});

test('a killed daemon: the bucket under way comes again, counted; before the first push nothing is sent', async (t) => {
  const dir = temporaryDir(t);
  const store = openStore(dir);
  t.after(() => store.close());
  const receiver = await OtlpReceiver.start('http/protobuf');
  t.after(() => receiver.close());
  fill(store, 4);
  const first = await startPush(t, store, receiver);
  first.exports.complete(firstBucket + 1);
  await until(() => lag(first.exports) === 0, 'the newest is pushed');
  assert.equal(receiver.requests.length, 1);
  await first.stop();
  // What state.db says when the answer to bucket 2 never came.
  store.state.set({ 'otlp.next': firstBucket + 2, 'otlp.sending': firstBucket + 2 });
  const again = await startPush(t, store, receiver);
  again.exports.complete(firstBucket + 3);
  await until(() => lag(again.exports) === 0, 'all is pushed');
  assert.equal(again.exports.figures['push.resends'], 1);
  const ends = receiver.requests.map((points) => Number((points[0]!.endUnixNs - noon) / bucketNs));
  assert.deepEqual(ends, [2, 3, 4]);
});

test('what waited longer than it may is skipped and counted; buckets without data are passed over', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  const receiver = await OtlpReceiver.start('http/protobuf');
  t.after(() => receiver.close());
  fill(store, 3);
  fill(store, 12, 30);
  store.state.set({ 'otlp.next': firstBucket });
  const { exports } = await startPush(t, store, receiver, { maxBacklogMs: 200_000 });
  exports.complete(firstBucket + 41);
  await until(() => lag(exports) === 0, 'all is pushed');
  assert.equal(receiver.requests.length, 12);
  assert.equal(exports.figures['push.skippedBuckets'], 21);
});
