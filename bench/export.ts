// What an export costs the daemon: CPU of an interval (10 s of data: one bucket), memory, and how long a
// flush waits for it, by protocol and temporality, against the same without an export. Its back thread
// gets flushes as from the front, in a process of its own with the daemon's settings: a bucket of so many
// keys of a histogram, a counter and a gauge each, and a few ms later, while that bucket is being pushed,
// a flush of one key. The receiver runs here.
//
//   bucket   b                     b + 1                  one a second
//   flush    large . small         large . small
//   push            b - 1 ...             b ...
//
//   node dist/bench/export.js [--keys 1000] [--flushes 60] [--quick]

import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { settingsEnvironment, settingsFlags } from '../collector/agent/relaunch.js';
import type { ExportRun } from './export-child.js';
import { memoryMb } from './observe.js';
import { atEnd, medianInterval, printFigure, printNote, printTitle, readOptions } from './support.js';

const limitMb = 25;
const child = fileURLToPath(new URL('./export-child.js', import.meta.url));
const { keys, flushes } = readOptions({ keys: 1000, flushes: 60 }, { flushes: 20 });

/** Takes all that comes over HTTP and gRPC, and counts the requests. */
async function startReceivers() {
  const received = { requests: 0 };
  const http = createServer((request, response) => {
    request.resume().on('end', () => {
      received.requests++;
      response.end(request.headers['content-type'] === 'application/json' ? '{}' : '');
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const grpc = new Server({ 'grpc.max_receive_message_length': -1 });
  const identity = (bytes: Buffer) => bytes;
  const method = {
    path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
  grpc.addService({ export: method }, {
    export: (_: unknown, answer: (error: null, value: Buffer) => void) => {
      received.requests++;
      answer(null, Buffer.alloc(0));
    },
  });
  const credentials = ServerCredentials.createInsecure();
  const grpcPort = await new Promise<number>((resolve, reject) =>
    grpc.bindAsync('127.0.0.1:0', credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
  return { received, httpPort: (http.address() as AddressInfo).port, grpcPort };
}

/** The back with these variables, until it has had all its flushes. */
async function run(env: Readonly<Record<string, string>>): Promise<ExportRun & { rssMb: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'fk-export-'));
  const process_ = fork(child, [dir, String(keys), String(flushes)], {
    execArgv: [...settingsFlags],
    env: { ...process.env, ...settingsEnvironment, ...env },
  });
  atEnd(() => process_.kill('SIGKILL'));
  try {
    return await new Promise((resolve, reject) => {
      process_.once('message', (result: ExportRun) => {
        resolve({ ...result, rssMb: memoryMb(process_.pid!).now });
        process_.disconnect();
      });
      process_.once('exit', (code) => reject(new Error(`the back ended with ${String(code)}`)));
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

printTitle('export', { keys, flushes });
const loads = () => readFileSync('/proc/loadavg', 'utf8').split(' ', 1)[0];
printNote(`load ${loads()} before`);
const { received, httpPort, grpcPort } = await startReceivers();
const without = await run({});
printFigure('no export: CPU a bucket, storing it included', without.cpuMs / flushes, 'ms');
printFigure('no export: a small flush waits, longest', Math.max(...without.smallMs), 'ms');
printNote(`median ${medianInterval(without.smallMs).median.toFixed(1)} ms; RSS ${without.rssMb.toFixed(1)} MB`);
for (const protocol of ['http/protobuf', 'http/json', 'grpc']) {
  for (const temporality of ['cumulative', 'delta']) {
    const before = received.requests;
    const port = protocol === 'grpc' ? grpcPort : httpPort;
    const { cpuMs, rssMb, smallMs, stallMs } = await run({
      FLAMEKEEPER_EXPORT_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      FLAMEKEEPER_EXPORT_OTLP_PROTOCOL: protocol,
      FLAMEKEEPER_EXPORT_OTLP_TEMPORALITY: temporality,
    });
    const requests = received.requests - before;
    if (requests < flushes - 2) throw new Error(`${protocol}: only ${requests} requests arrived`);
    const name = `${protocol} ${temporality}`;
    printFigure(`${name}: CPU a bucket beyond that`, (cpuMs - without.cpuMs) / flushes, 'ms');
    printFigure(`${name}: RSS beyond that`, rssMb - without.rssMb, 'MB', { atMost: limitMb });
    printFigure(`${name}: a small flush waits, longest`, Math.max(...smallMs), 'ms');
    printNote(`median ${medianInterval(smallMs).median.toFixed(1)} ms; longest stall of the loop ${stallMs.toFixed(1)} ms`);
  }
}
printNote(`load ${loads()} after`);
process.exit();
