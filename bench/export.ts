// What an export costs: CPU of one bucket by protocol and temporality, a scrape, and memory, for a
// histogram, a counter and a gauge of so many keys. Beside it the yardstick: writing the same bucket.
//   node dist/bench/export.js [KEYS] [BUCKETS]

import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { faults, load, noon, openStore, runq, second, writeFlush } from '../test/storage/support.js';

const keys = Number(process.argv[2] ?? 1000);
const buckets = Number(process.argv[3] ?? 20);
const firstBucket = Number(noon / (10n * second));
const dir = mkdtempSync(join(tmpdir(), 'fk-export-'));
const store = openStore(dir);

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const rssMiB = () => process.memoryUsage.rss() / 2 ** 20;

const writeStartMs = cpuMs();
for (let i = 0; i < buckets; i++) {
  const indices = Array.from({ length: keys }, (_, k) => k);
  writeFlush(store, {
    startUnixNs: noon + BigInt(i) * 10n * second,
    lengthNs: 10n * second,
    metrics: [
      {
        stream: runq,
        rows: indices.map((k) => ({
          key: [k, `comm${k % 97}`, `/a/${k % 31}`],
          values: Array.from({ length: 8 }, (_, n) => 1000 * 3 ** ((k + n + i) % 14)),
        })),
      },
      { stream: faults, rows: indices.map((k) => ({ key: [k, 'sda'], values: [k + i] })) },
      { stream: load, rows: indices.map((k) => ({ key: [`d${k}`], values: [i] })) },
    ],
  });
}
const writeMs = (cpuMs() - writeStartMs) / buckets;
console.log(`${new Date().toISOString().slice(0, 10)} ${cpus()[0]?.model}, node ${process.version}`);
console.log(`${keys} keys of each kind, ${buckets} buckets; writing one: ${writeMs.toFixed(1)} ms CPU`);

const before = rssMiB();
const { Exports } = await import('../exporters/push/exports.js');
console.log(`RSS before the SDK is loaded ${before.toFixed(0)} MiB, after ${rssMiB().toFixed(0)} MiB`);

const sink = createServer((request, response) => {
  request.resume().on('end', () => response.end());
});
await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
const grpcSink = new Server({ 'grpc.max_receive_message_length': -1 });
const identity = (bytes: Buffer) => bytes;
grpcSink.addService(
  {
    export: {
      path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
      requestStream: false,
      responseStream: false,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  },
  { export: (_: unknown, answer: (error: null, value: Buffer) => void) => answer(null, Buffer.alloc(0)) },
);
const grpcPort = await new Promise<number>((resolve, reject) =>
  grpcSink.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
    error === null ? resolve(port) : reject(error),
  ),
);

let longestReadMs = 0;
const common = {
  giveWay: immediate,
  read: async (window: Parameters<typeof store.metrics>[0], stepNs: bigint) => {
    const startedMs = performance.now();
    const { answers } = await store.metrics(window, stepNs, immediate);
    longestReadMs = Math.max(longestReadMs, performance.now() - startedMs);
    return answers;
  },
  took: () => undefined,
    state: store.state,
  env: {},
  log: (text: string) => console.log(text),
  version: '0',
  names: [],
  withProcesses: true,
  maxPoints: keys,
  resource: {},
};
for (const protocol of ['http/protobuf', 'http/json', 'grpc'] as const) {
  for (const temporality of ['cumulative', 'delta'] as const) {
    store.state.set({ 'otlp.next': firstBucket });
    const port = protocol === 'grpc' ? grpcPort : (sink.address() as AddressInfo).port;
    const otlp = {
      protocol,
      temporality,
      endpoint: `http://127.0.0.1:${port}`,
      catchUpPerSecond: 1000,
      maxBacklogMs: 86_400_000,
    };
    const exports = await Exports.start({ ...common, otlp, prometheus: false });
    const startMs = cpuMs();
    exports.complete(firstBucket + buckets - 1);
    while (exports.figures['push.lagSeconds'] !== 0) await sleep(20);
    const each = (cpuMs() - startMs) / buckets;
    await exports.stop(1000);
    const ratio = (each / writeMs).toFixed(1);
    console.log(
      `${protocol} ${temporality}: ${each.toFixed(1)} ms CPU a bucket, receiver and all (${ratio} of writing), RSS ${rssMiB().toFixed(0)} MiB`,
    );
  }
}
console.log(`longest read of the store, which a flush may have to wait for: ${longestReadMs.toFixed(1)} ms`);
sink.close();
grpcSink.forceShutdown();
store.close();
rmSync(dir, { recursive: true });
