// A receiver of OTLP metrics for tests, over all three protocols: decodes with protobufjs by the
// message definitions of opentelemetry-proto (field numbers below), answers as it is told.

import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGunzip } from 'node:zlib';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';

const proto = `syntax = "proto3";
message Request { repeated ResourceMetrics resourceMetrics = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scopeMetrics = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeMetrics { repeated Metric metrics = 2; }
message Metric { string name = 1; string unit = 3; Numbers gauge = 5; Numbers sum = 7;
  Exponentials exponentialHistogram = 10; }
message Numbers { repeated Number dataPoints = 1; int32 aggregationTemporality = 2; bool isMonotonic = 3; }
message Number { repeated KeyValue attributes = 7; fixed64 startTimeUnixNano = 2;
  fixed64 timeUnixNano = 3; oneof value { double asDouble = 4; sfixed64 asInt = 6; } }
message Exponentials { repeated Exponential dataPoints = 1; int32 aggregationTemporality = 2; }
message Exponential { repeated KeyValue attributes = 1; fixed64 startTimeUnixNano = 2;
  fixed64 timeUnixNano = 3; fixed64 count = 4; double sum = 5; sint32 scale = 6;
  fixed64 zeroCount = 7; Buckets positive = 8; }
message Buckets { sint32 offset = 1; repeated uint64 bucketCounts = 2; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string stringValue = 1; bool boolValue = 2; int64 intValue = 3;
  double doubleValue = 4; } }`;

interface Codec {
  decode(bytes: Uint8Array): unknown;
  toObject(message: unknown, options: object): unknown;
}

const require = createRequire(import.meta.url);
// The SDK brings it.
const protobuf = require('protobufjs') as {
  parse(text: string): { root: { lookupType(name: string): Codec } };
};
const codec = protobuf.parse(proto).root.lookupType('Request');

/** One point as it arrived. `text` holds all of it: two that are identical are equal. */
export interface ReceivedPoint {
  readonly name: string;
  readonly unit: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly startUnixNs: bigint;
  readonly endUnixNs: bigint;
  readonly isCumulative: boolean;
  readonly value: number | ReceivedHistogram;
  readonly text: string;
}

export interface ReceivedHistogram {
  readonly count: number;
  readonly sum: number;
  readonly scale: number;
  readonly zeroCount: number;
  readonly offset: number;
  readonly bucketCounts: readonly number[];
}

/** What becomes of a request: `partial` is taken but for some points; `cut` ends the connection before
 *  an answer, after it was whole or before; `hang` never answers, `late` after a while. */
export type Behaviour =
  | { readonly kind: 'accept' }
  | { readonly kind: 'status'; readonly code: number; readonly retryAfter?: string }
  | { readonly kind: 'cut'; readonly isWhole: boolean }
  | { readonly kind: 'partial'; readonly rejected: number }
  | { readonly kind: 'late'; readonly afterMs: number }
  | { readonly kind: 'hang' };

export class OtlpReceiver {
  /** Requests that were whole, each with its points. */
  readonly requests: (readonly ReceivedPoint[])[] = [];
  readonly resources: Record<string, unknown>[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  /** The next requests behave like this, then all are accepted. */
  readonly behaviours: Behaviour[] = [];
  readonly #http: HttpServer | undefined;
  readonly #grpc: Server | undefined;
  url = '';

  private constructor(isGrpc: boolean) {
    if (isGrpc) this.#grpc = new Server();
    else this.#http = createServer((request, response) => this.#take(request, response));
  }

  static async start(protocol: string, port = 0): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver(protocol === 'grpc');
    const bound = await receiver.#listen(port);
    receiver.url = `http://127.0.0.1:${bound}`;
    return receiver;
  }

  get points(): ReceivedPoint[] {
    return this.requests.flat();
  }

  async close(): Promise<void> {
    this.#grpc?.forceShutdown();
    this.#http?.closeAllConnections();
    await new Promise((resolve) => (this.#http === undefined ? resolve(0) : this.#http.close(resolve)));
  }

  async #listen(port: number): Promise<number> {
    if (this.#http !== undefined) {
      await new Promise<void>((resolve) => this.#http!.listen(port, '127.0.0.1', resolve));
      return (this.#http.address() as AddressInfo).port;
    }
    const path = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export';
    const identity = (bytes: Buffer) => bytes;
    const service: ServiceDefinition = {
      export: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    };
    this.#grpc!.addService(service, {
      export: (
        call: { request: Buffer },
        answer: (error: object | null, value?: Buffer) => void,
      ) => {
        const behaviour = this.behaviours.shift() ?? { kind: 'accept' };
        if (behaviour.kind !== 'status') this.#keep(codec.decode(call.request), {});
        if (behaviour.kind === 'accept') answer(null, Buffer.alloc(0));
        else if (behaviour.kind === 'partial') answer(null, partialSuccess(behaviour.rejected));
        else if (behaviour.kind === 'late') setTimeout(() => answer(null, Buffer.alloc(0)), behaviour.afterMs);
        else if (behaviour.kind === 'status') answer(grpcError(behaviour));
      },
    });
    return new Promise((resolve, reject) =>
      this.#grpc!.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const behaviour = this.behaviours.shift() ?? { kind: 'accept' };
    if (behaviour.kind === 'cut' && !behaviour.isWhole) return void request.socket.destroy();
    const isGzip = request.headers['content-encoding'] === 'gzip';
    const body = isGzip ? request.pipe(createGunzip()) : request;
    const chunks: Buffer[] = [];
    body.on('data', (chunk: Buffer) => chunks.push(chunk));
    body.on('end', () => {
      const bytes = Buffer.concat(chunks);
      const isJson = request.headers['content-type'] === 'application/json';
      if (behaviour.kind === 'status') {
        if (behaviour.retryAfter !== undefined) response.setHeader('retry-after', behaviour.retryAfter);
        return void response.writeHead(behaviour.code).end('no');
      }
      this.#keep(isJson ? JSON.parse(bytes.toString()) : codec.decode(bytes), request.headers);
      if (behaviour.kind === 'cut') request.socket.destroy();
      else if (behaviour.kind === 'accept') response.end(isJson ? '{}' : Buffer.alloc(0));
      else if (behaviour.kind === 'late') setTimeout(() => response.end(), behaviour.afterMs);
      else if (behaviour.kind === 'partial') {
        response.setHeader('content-type', request.headers['content-type']!);
        response.end(isJson ? partialJson(behaviour.rejected) : partialSuccess(behaviour.rejected));
      }
    });
  }

  #keep(message: unknown, headers: IncomingMessage['headers']): void {
    const plain = isMessage(message) ? codec.toObject(message, { longs: String }) : message;
    this.headers.push(headers);
    const { points, resources } = readRequest(plain);
    this.requests.push(points);
    this.resources.push(...resources);
  }
}

/** A request as OTLP's JSON has it. */
export function readRequest(request: unknown) {
  const { resourceMetrics = [] } = request as { resourceMetrics?: RawResource[] };
  const scopes = resourceMetrics.flatMap(({ scopeMetrics = [] }) => scopeMetrics);
  return {
    points: scopes.flatMap((scope) => (scope.metrics ?? []).flatMap(pointsOf)),
    resources: resourceMetrics.map(({ resource }) => attributesOf(resource?.attributes)),
  };
}

interface RawResource {
  readonly resource?: { readonly attributes?: RawAttributes };
  readonly scopeMetrics?: readonly { readonly metrics?: readonly RawMetric[] }[];
}

type RawAttributes = readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];

interface RawData {
  readonly dataPoints?: readonly Record<string, unknown>[];
  readonly aggregationTemporality?: number;
}

interface RawMetric {
  readonly name: string;
  readonly unit?: string;
  readonly gauge?: RawData;
  readonly sum?: RawData;
  readonly exponentialHistogram?: RawData;
}

function pointsOf(metric: RawMetric): ReceivedPoint[] {
  const data = metric.gauge ?? metric.sum ?? metric.exponentialHistogram ?? {};
  return (data.dataPoints ?? []).map((point) => ({
    name: metric.name,
    unit: metric.unit ?? '',
    attributes: attributesOf(point['attributes'] as RawAttributes),
    startUnixNs: BigInt(String(point['startTimeUnixNano'] ?? 0)),
    endUnixNs: BigInt(String(point['timeUnixNano'])),
    isCumulative: data.aggregationTemporality === 2,
    value: metric.exponentialHistogram === undefined ? numberOf(point) : histogramOf(point),
    text: JSON.stringify([metric.name, data.aggregationTemporality, point]),
  }));
}

function numberOf(point: Record<string, unknown>): number {
  return Number(point['asInt'] ?? point['asDouble']);
}

function histogramOf(point: Record<string, unknown>): ReceivedHistogram {
  const positive = (point['positive'] ?? {}) as { offset?: number; bucketCounts?: unknown[] };
  return {
    count: Number(point['count'] ?? 0),
    sum: Number(point['sum'] ?? 0),
    scale: Number(point['scale'] ?? 0),
    zeroCount: Number(point['zeroCount'] ?? 0),
    offset: positive.offset ?? 0,
    bucketCounts: (positive.bucketCounts ?? []).map(Number),
  };
}

function attributesOf(attributes: RawAttributes = []): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, text] = Object.entries(value)[0] ?? [];
      return [key, kind === 'intValue' ? Number(text) : text];
    }),
  );
}

function isMessage(message: unknown): boolean {
  return Object.getPrototypeOf(message) !== Object.prototype;
}

/** `retryAfter` in seconds becomes a RetryInfo. */
function grpcError({ code, retryAfter }: { readonly code: number; readonly retryAfter?: string }) {
  const metadata = new Metadata();
  if (retryAfter !== undefined) {
    const field = (number: number, bytes: Buffer) =>
      Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
    const retryInfo = field(1, Buffer.from([1 << 3, Number(retryAfter)]));
    const type = Buffer.from('type.googleapis.com/google.rpc.RetryInfo');
    const any = Buffer.concat([field(1, type), field(2, retryInfo)]);
    metadata.set('grpc-status-details-bin', Buffer.concat([Buffer.from([8, code]), field(3, any)]));
  }
  return { code, details: 'as told', metadata };
}

const rejectedWhy = 'some are not wanted';

/** ExportMetricsServiceResponse { partial_success = 1 { rejected_data_points = 1, error_message = 2 } },
 *  `rejected` below 128. */
function partialSuccess(rejected: number): Buffer {
  const message = Buffer.from(rejectedWhy);
  const partial = Buffer.concat([Buffer.from([1 << 3, rejected, (2 << 3) | 2, message.length]), message]);
  return Buffer.concat([Buffer.from([(1 << 3) | 2, partial.length]), partial]);
}

function partialJson(rejected: number): string {
  // Whole numbers of 64 bits are text in JSON.
  return JSON.stringify({ partialSuccess: { rejectedDataPoints: String(rejected), errorMessage: rejectedWhy } });
}
