// Real servers for a test: each on a port of loopback that was free, with a folder that is thrown
// away. scripts/servers.mjs gets their programs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readRequest } from '../support/otlp-receiver.js';

type ServerName = 'otelcol' | 'prometheus' | 'promtool' | 'victoria-metrics';

const { serverPath: pathOf } = (await import(
  new URL('../../../scripts/servers.mjs', import.meta.url).href
)) as { serverPath: (name: ServerName) => string };
const START_MS = 60_000;
const STOP_MS = 20_000;

export function serverPath(name: ServerName): string {
  const path = pathOf(name);
  assert.ok(existsSync(path), `${path} is missing: \`npm run test:interop\` gets the servers first`);
  return path;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const folders: string[] = [];
process.once('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** Removed when all tests of the file have ended: until then programs write there. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fk-interop-'));
  folders.push(folder);
  return folder;
}

/** Asks again until there is an answer; an error counts as none. */
export async function eventually<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  what: string,
  withinMs = 60_000,
): Promise<T> {
  const endMs = performance.now() + withinMs;
  let why = '';
  while (performance.now() < endMs) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      why = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    await sleep(100);
  }
  return assert.fail(`${what}: not within ${withinMs / 1000} s${why}`);
}

/** A program that runs until the test ends. */
export class RunningServer {
  readonly process: ChildProcess;
  readonly name: string;
  log = '';

  constructor(t: TestContext, name: ServerName, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.name = name;
    this.process = spawn(serverPath(name), args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    }
    t.after(() => this.stop());
  }

  async ready(isReady: () => Promise<boolean> | boolean): Promise<void> {
    const { name } = this;
    await eventually(
      async () => {
        if (this.process.exitCode !== null) return 'ended';
        return (await isReady()) || undefined;
      },
      `${name} is ready`,
      START_MS,
    ).catch((error: unknown) => assert.fail(`${(error as Error).message}; it said: ${this.log}`));
    assert.equal(this.process.exitCode, null, `${name} ended; it said: ${this.log}`);
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const isSlow = await Promise.race([exited.then(() => false), sleep(STOP_MS, true, { ref: false })]);
    if (isSlow) this.process.kill('SIGKILL');
    await exited;
  }
}

/** What its two receivers ask of callers, in the Collector's own words. */
export interface CollectorOptions {
  readonly grpc?: object;
  readonly http?: object;
  readonly extensions?: Readonly<Record<string, object>>;
}

export class Collector {
  readonly server: RunningServer;
  readonly port: { readonly grpc: number; readonly http: number };
  readonly #file: string;

  private constructor(server: RunningServer, port: Collector['port'], file: string) {
    this.server = server;
    this.port = port;
    this.#file = file;
  }

  static async start(t: TestContext, options: CollectorOptions = {}): Promise<Collector> {
    const folder = temporaryFolder();
    const [grpc, http] = [await freePort(), await freePort()];
    const file = join(folder, 'metrics.jsonl');
    const { extensions = {} } = options;
    const protocols = {
      grpc: { endpoint: `127.0.0.1:${grpc}`, max_recv_msg_size_mib: 64, ...options.grpc },
      http: { endpoint: `127.0.0.1:${http}`, ...options.http },
    };
    const config = {
      extensions,
      receivers: { otlp: { protocols } },
      exporters: { file: { path: file, flush_interval: '100ms' } },
      service: {
        extensions: Object.keys(extensions),
        pipelines: { metrics: { receivers: ['otlp'], exporters: ['file'] } },
      },
    };
    const server = await startCollector(t, folder, JSON.stringify(config));
    return new Collector(server, { grpc, http }, file);
  }

  /** Requests it has taken, in their order. */
  get requests(): ReturnType<typeof readRequest>[] {
    if (!existsSync(this.#file)) return [];
    const lines = readFileSync(this.#file, 'utf8').split('\n');
    // What follows the last newline is still being written.
    return lines.slice(0, -1).map((line) => readRequest(JSON.parse(line)));
  }

  requestsOf(count: number): Promise<ReturnType<typeof readRequest>[]> {
    const enough = () => (this.requests.length >= count ? this.requests : undefined);
    return eventually(enough, `${count} requests in the Collector's file`);
  }
}

/** With a configuration of its own: YAML, and JSON too. */
export async function startCollector(t: TestContext, folder: string, config: string): Promise<RunningServer> {
  const path = join(folder, 'otelcol.yaml');
  writeFileSync(path, config);
  // Its own metrics would take a port that may be another's.
  const more = join(folder, 'otelcol-more.yaml');
  writeFileSync(more, 'service: { telemetry: { metrics: { level: none } } }');
  const server = new RunningServer(t, 'otelcol', [`--config=file:${path}`, `--config=file:${more}`]);
  await server.ready(() => server.log.includes('Everything is ready'));
  return server;
}

/** One that is asked by Prometheus's HTTP API: Prometheus itself, or VictoriaMetrics. */
export interface Queried {
  readonly server: RunningServer;
  readonly url: string;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  /** Unix seconds, and the value. */
  readonly value?: readonly [number, string];
  readonly histogram?: readonly [number, NativeHistogram];
}

/** Buckets: which ends belong to them (Prometheus's code), lower and upper bound, count. */
export interface NativeHistogram {
  readonly count: string;
  readonly sum: string;
  readonly buckets?: readonly (readonly [number, string, string, string])[];
}

export async function startPrometheus(
  t: TestContext,
  config: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Queried> {
  const folder = temporaryFolder();
  const port = await freePort();
  const path = join(folder, 'prometheus.yml');
  writeFileSync(path, config);
  const args = [
    `--config.file=${path}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--web.enable-otlp-receiver',
  ];
  return answering(new RunningServer(t, 'prometheus', args, env), `http://127.0.0.1:${port}`, '/-/ready');
}

export async function startVictoriaMetrics(
  t: TestContext,
  config: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Queried> {
  const folder = temporaryFolder();
  const port = await freePort();
  const path = join(folder, 'prometheus.yml');
  writeFileSync(path, config);
  mkdirSync(join(folder, 'data'));
  const args = [
    `-promscrape.config=${path}`,
    `-storageDataPath=${join(folder, 'data')}`,
    `-httpListenAddr=127.0.0.1:${port}`,
    // Else it answers of 30 s ago.
    '-search.latencyOffset=0s',
  ];
  const server = new RunningServer(t, 'victoria-metrics', args, env);
  return answering(server, `http://127.0.0.1:${port}`, '/health');
}

async function answering(server: RunningServer, url: string, path: string): Promise<Queried> {
  await server.ready(async () => (await fetch(url + path).catch(() => undefined))?.ok === true);
  return { server, url };
}

/** **Errors**: throws what the server says of a query that it does not take. */
export async function query(of: Queried, text: string, unixSeconds?: number): Promise<Sample[]> {
  const body = new URLSearchParams({ query: text });
  if (unixSeconds !== undefined) body.set('time', String(unixSeconds));
  const answer = await fetch(`${of.url}/api/v1/query`, { method: 'POST', body });
  const told = (await answer.json()) as { status: string; error?: string; data: { result: Sample[] } };
  assert.equal(told.status, 'success', `${text}: ${told.error}`);
  return told.data.result;
}
