// One OTLP request with the SDK's exporter, and what became of it. The exporters over HTTP repeat a
// request themselves, within their timeout, without telling: requests are watched by node's own
// diagnostics channel. The one over gRPC never does.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { diag, DiagLogLevel } from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import type { metrics } from '@opentelemetry/sdk-node';
import { isGrpcRetryable, retryDelayMs } from './grpc-status.js';

export type Protocol = 'http/protobuf' | 'http/json' | 'grpc';

export interface OtlpClientOptions {
  readonly protocol: Protocol;
  /** Where OTEL_EXPORTER_OTLP_[METRICS_]ENDPOINT does not say. */
  readonly endpoint: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (text: string) => void;
}

/** `rejectedPoints`: what the receiver said of those it did not take. */
export type SendResult =
  | { readonly kind: 'accepted'; readonly rejectedPoints: number }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string; readonly retryAfterMs: number | undefined };

interface Answered {
  readonly request: ClientRequest;
  readonly response: IncomingMessage;
}

export class OtlpClient {
  readonly #exporter: GrpcExporter | JsonExporter | ProtoExporter;
  readonly #isGrpc: boolean;
  readonly #onStart = (message: unknown) => this.#started(message as { request: ClientRequest });
  readonly #onAnswer = (message: unknown) => this.#answered(message as Answered);
  #rejectedPoints = 0;
  #retryAfterMs: number | undefined;
  /** An earlier request with the same points may have arrived though no answer came. */
  #mayHaveArrived = false;
  /** Requests with points that may have arrived before. */
  resends = 0;

  constructor(options: OtlpClientOptions) {
    this.#isGrpc = options.protocol === 'grpc';
    const told = (...parts: unknown[]) => this.#told(parts.map(String), options.log);
    const silent = () => undefined;
    const logger = { error: told, warn: told, info: silent, debug: silent, verbose: silent };
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
    // It tells of variables that it cannot use.
    this.#exporter = createExporter(options);
    subscribe('http.client.request.start', this.#onStart);
    subscribe('http.client.response.finish', this.#onAnswer);
  }

  /** The points of the next `send` are others than those before. */
  begin(mayHaveArrived: boolean): void {
    this.#mayHaveArrived = mayHaveArrived;
  }

  get mayHaveArrived(): boolean {
    return this.#mayHaveArrived;
  }

  async send(data: metrics.ResourceMetrics): Promise<SendResult> {
    this.#rejectedPoints = 0;
    this.#retryAfterMs = undefined;
    if (this.#isGrpc && this.#mayHaveArrived) this.resends++;
    const { error, isOk } = await new Promise<{ isOk: boolean; error: unknown }>((resolve) => {
      this.#exporter.export(data, (result) =>
        resolve({ isOk: result.code === 0, error: result.error }),
      );
    });
    if (isOk) return { kind: 'accepted', rejectedPoints: this.#rejectedPoints };
    return this.#isGrpc ? this.#grpcFailure(error) : this.#httpFailure(error);
  }

  /** Waits for nothing. */
  close(): void {
    unsubscribe('http.client.request.start', this.#onStart);
    unsubscribe('http.client.response.finish', this.#onAnswer);
    this.#exporter.shutdown().catch(() => undefined);
  }

  #grpcFailure(error: unknown): SendResult {
    const { code, message } = error as { code?: unknown; message?: string };
    const why = message ?? String(error);
    if (typeof code === 'number' && !isGrpcRetryable(code, why)) return { kind: 'refused', why };
    if (!/ECONNREFUSED|No connection established/.test(why)) this.#mayHaveArrived = true;
    return { kind: 'failed', why, retryAfterMs: retryDelayMs(error) };
  }

  /** The SDK gives a status only for what it would not repeat. Those that speak of the address or
   *  the credentials are a matter of set-up: the points wait until that is mended. */
  #httpFailure(error: unknown): SendResult {
    const { code, message, data } = error as { code?: unknown; message?: string; data?: string };
    const status = typeof code === 'number' ? code : undefined;
    const why = [status, message, data?.slice(0, 200)].filter((part) => part).join(' ');
    if (status !== undefined && ![401, 403, 404, 405, 407].includes(status)) {
      return { kind: 'refused', why };
    }
    return { kind: 'failed', why, retryAfterMs: this.#retryAfterMs };
  }

  #started({ request }: { readonly request: ClientRequest }): void {
    if (!isExport(request)) return;
    if (this.#mayHaveArrived) this.resends++;
    this.#mayHaveArrived = false;
    onClose(request, (mayHaveArrived) => {
      this.#mayHaveArrived ||= mayHaveArrived;
    });
  }

  #answered({ request, response }: Answered): void {
    if (!isExport(request)) return;
    const text = response.headers['retry-after'];
    if (text === undefined) return;
    const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
    if (Number.isFinite(ms)) this.#retryAfterMs = Math.max(ms, 0);
  }

  #told(parts: readonly string[], log: (text: string) => void): void {
    const at = parts.findIndex((part) => part.startsWith('Received Partial Success'));
    const count = at < 0 ? undefined : rejectedOf(parts[at + 1] ?? '');
    if (count !== undefined) this.#rejectedPoints += count;
    log(`OpenTelemetry: ${parts.join(' ').slice(0, 500)}`);
  }
}

function createExporter({ protocol, endpoint, env }: OtlpClientOptions) {
  const isGiven =
    (env['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '') !== '';
  const isOurs = !isGiven && endpoint !== '';
  if (protocol === 'grpc') return new GrpcExporter(isOurs ? { url: endpoint } : {});
  const url = `${endpoint.replace(/\/+$/, '')}/v1/metrics`;
  const options = isOurs ? { url } : {};
  return protocol === 'http/json' ? new JsonExporter(options) : new ProtoExporter(options);
}

function isExport(request: ClientRequest): boolean {
  return String(request.getHeader('user-agent') ?? '').includes('OTel-OTLP-Exporter');
}

/** Tells whether a request without an answer may have been received all the same: it had a
 *  connection. */
function onClose(request: ClientRequest, tell: (mayHaveArrived: boolean) => void): void {
  let isConnected = false;
  let isAnswered = false;
  const watch = (socket: Socket) => {
    isConnected = !socket.connecting;
    // Connections are kept: only a new one has this to tell.
    if (!isConnected) socket.once('connect', () => (isConnected = true));
  };
  if (request.socket === null) request.once('socket', watch);
  else watch(request.socket);
  request.once('response', () => (isAnswered = true));
  request.once('close', () => tell(isConnected && !isAnswered));
}

function rejectedOf(json: string): number | undefined {
  try {
    const { rejectedDataPoints } = JSON.parse(json) as { rejectedDataPoints?: unknown };
    const count = Number(rejectedDataPoints ?? 0);
    return Number.isSafeInteger(count) && count >= 0 ? count : undefined;
  } catch {
    return undefined;
  }
}
