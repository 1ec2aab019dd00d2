// The push into a real OpenTelemetry Collector: what its file exporter writes is what the store holds,
// by each protocol, cumulative and delta; with certificates, token and compression only for who has them.

import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Store } from '../../storage/store.js';
import { noon, openStore, temporaryDir } from '../storage/support.js';
import { Authority } from '../support/certificates.js';
import { assertSame, bucketNs, expectedOf, firstBucket, lag, protocols } from '../support/push.js';
import { receivedText, startPush } from '../support/push.js';
import { until } from '../support/wait.js';
import type { CollectorOptions } from './servers.js';
import { Collector, temporaryFolder } from './servers.js';
import { fillWidely } from './wide-store.js';

const token = 'a-token+of/many=characters';

function openWide(t: TestContext, buckets: number): Store {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  fillWidely(store, buckets, noon);
  store.state.set({ 'otlp.next': firstBucket });
  return store;
}

const urlOf = ({ port }: Collector, protocol: string, scheme = 'http') =>
  `${scheme}://localhost:${protocol === 'grpc' ? port.grpc : port.http}`;

for (const protocol of protocols) {
  for (const temporality of ['cumulative', 'delta'] as const) {
    test(`${protocol}, ${temporality}: the Collector writes what the store holds`, async (t) => {
      const buckets = 4;
      const store = openWide(t, buckets);
      const collector = await Collector.start(t);
      const url = urlOf(collector, protocol);
      const { exports } = await startPush(t, store, { url }, { protocol, temporality });
      exports.complete(firstBucket + buckets - 1);
      await until(() => lag(exports) === 0, `all is pushed: ${JSON.stringify(exports.figures)}`);
      const requests = await collector.requestsOf(buckets);
      assert.equal(requests.length, buckets);
      const isCumulative = temporality === 'cumulative';
      let slots = 0;
      for (const [i, { points, resources }] of requests.entries()) {
        const expected = await expectedOf(store, firstBucket + i, isCumulative);
        assertSame(points.map(receivedText), expected);
        slots += expected.join(' ').match(/-?\d+:\d+/g)!.length;
        const end = noon + BigInt(i + 1) * bucketNs;
        for (const { name, endUnixNs, startUnixNs, isCumulative: told } of points) {
          assert.equal(endUnixNs, end, name);
          if (name === 'flamekeeper.load') continue;
          assert.equal(told, isCumulative, name);
          assert.equal(startUnixNs, isCumulative ? noon : end - bucketNs, name);
        }
        assert.equal(resources[0]!['service.name'], 'flamekeeper');
        assert.equal(resources[0]!['deployment.environment.name'], 'test');
      }
      assert.equal(exports.figures['push.resends'], 0);
      t.diagnostic(`${exports.figures['push.points']} points, ${slots} slots equal those of the store`);
    });
  }
}

/** All that goes to a port goes through it, and is counted. */
async function relayTo(t: TestContext, port: number) {
  const counts = { bytes: 0, isPlain: false };
  const open = new Set<Socket>();
  const server = createServer((caller) => {
    const callee = connect(port, '127.0.0.1');
    for (const socket of [caller, callee]) {
      open.add(socket);
      socket.on('error', () => socket.destroy()).on('close', () => open.delete(socket));
    }
    caller.on('data', (bytes: Buffer) => {
      counts.bytes += bytes.length;
      counts.isPlain ||= bytes.includes('flamekeeper') || bytes.includes(token);
    });
    caller.pipe(callee).pipe(caller);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, counts };
}

/** The SDK's exporters read them when they are made. */
function setEnvironment(t: TestContext, values: Readonly<Record<string, string>>): void {
  Object.assign(process.env, values);
  t.after(() => Object.keys(values).forEach((name) => delete process.env[name]));
}

/** Only for callers with a certificate of this authority and the token. */
function securedBy(authority: Authority): CollectorOptions {
  const { certificate: cert_file, key: key_file } = authority.sign('server');
  const tls = { cert_file, key_file, client_ca_file: authority.certificate };
  const both = { tls, auth: { authenticator: 'bearertokenauth' } };
  return {
    extensions: { bearertokenauth: { token } },
    grpc: both,
    // Plain bodies are refused: what arrives was compressed.
    http: { ...both, compression_algorithms: ['gzip'] },
  };
}

for (const protocol of protocols) {
  test(`${protocol}: with certificate, token and gzip all arrives, without any of them nothing`, async (t) => {
    const folder = temporaryFolder();
    const authority = new Authority(folder);
    const stranger = new Authority(folder, 'stranger');
    const [own, strange] = [authority.sign('client'), stranger.sign('strange')];
    const collector = await Collector.start(t, securedBy(authority));
    const relay = await relayTo(t, protocol === 'grpc' ? collector.port.grpc : collector.port.http);
    const store = openWide(t, 2);
    const right = {
      OTEL_EXPORTER_OTLP_CERTIFICATE: authority.certificate,
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: own.certificate,
      OTEL_EXPORTER_OTLP_CLIENT_KEY: own.key,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${encodeURIComponent(token)}`,
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_TIMEOUT: '3000',
    };
    const wrong: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      'a server of a stranger': { ...right, OTEL_EXPORTER_OTLP_CERTIFICATE: stranger.certificate },
      "a stranger's certificate": {
        ...right,
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: strange.certificate,
        OTEL_EXPORTER_OTLP_CLIENT_KEY: strange.key,
      },
      'another token': { ...right, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20another' },
    };
    const url = `https://localhost:${relay.port}`;
    for (const [what, environment] of Object.entries(wrong)) {
      await t.test(`${what}: waits and says why`, async (t) => {
        setEnvironment(t, environment);
        let log = '';
        const told = (text: string) => void (log += `${text}\n`);
        const { exports } = await startPush(t, store, { url }, { protocol, log: told });
        exports.complete(firstBucket + 1);
        await until(() => Number(exports.figures['push.failures']) > 0, 'a push has failed');
        assert.equal(exports.figures['push.buckets'], 0);
        assert.equal(exports.figures['push.refusedBuckets'], 0);
        assert.match(String(exports.figures['push.lastError']), /\w{4}/);
        assert.match(log, /will be repeated/);
        assert.ok(!log.includes(token) && !log.includes('Bearer'), log);
        t.diagnostic(String(exports.figures['push.lastError']).slice(0, 200));
      });
    }
    assert.equal(collector.requests.length, 0);

    await t.test('all of them', async (t) => {
      setEnvironment(t, right);
      relay.counts.bytes = 0;
      const { exports } = await startPush(t, store, { url }, { protocol });
      exports.complete(firstBucket + 1);
      await until(() => lag(exports) === 0, `all is pushed: ${JSON.stringify(exports.figures)}`);
      for (const [i, { points }] of (await collector.requestsOf(2)).entries()) {
        assertSame(points.map(receivedText), await expectedOf(store, firstBucket + i, false));
      }
    });
    const compressed = relay.counts.bytes;
    assert.ok(!relay.counts.isPlain, 'nothing can be read on the way');

    await t.test('not compressed', async (t) => {
      const { OTEL_EXPORTER_OTLP_COMPRESSION: _, ...plain } = right;
      setEnvironment(t, plain);
      store.state.set({ 'otlp.next': firstBucket });
      relay.counts.bytes = 0;
      const { exports } = await startPush(t, store, { url }, { protocol });
      exports.complete(firstBucket + 1);
      await until(() => lag(exports) === 0, 'all is settled');
      const isGrpc = protocol === 'grpc';
      assert.equal(exports.figures['push.refusedBuckets'], isGrpc ? 0 : 2);
      assert.equal((await collector.requestsOf(isGrpc ? 4 : 2)).length, isGrpc ? 4 : 2);
      assert.ok(relay.counts.bytes > 2 * compressed, `${relay.counts.bytes} plain, ${compressed} gzip`);
      t.diagnostic(`${relay.counts.bytes} bytes plain, ${compressed} bytes gzip`);
    });
  });
}
