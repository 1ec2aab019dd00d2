// The daemon's HTTP server: GET /metrics for Prometheus, nothing else. Loopback unless callers prove
// who they are, by a bearer token or a client certificate. What strangers send is bounded in size,
// time and number; sampling is another thread's work and goes on whatever happens here. (back)

import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIP } from 'node:net';
import type { AddressInfo } from 'node:net';
import { OperatingError } from '../../storage/model/errors.js';
import { readSecretFile } from '../agent/secret-file.js';

const MAX_CONNECTIONS = 64;
const REQUEST_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 16_384;
const MIN_TOKEN_CHARACTERS = 16;

export interface HttpOptions {
  /** ADDRESS:PORT; an IPv6 address in brackets. */
  readonly listen: string;
  /** Files; '' where there is none. */
  readonly tokenFile: string;
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

export type Route = (request: IncomingMessage, response: ServerResponse) => void;

export class HttpServer {
  readonly #server: Server;
  readonly #tokenHash: Buffer | undefined;
  readonly #route: Route;
  readonly #host: string;
  #refused = 0;

  private constructor(options: HttpOptions, host: string, route: Route) {
    this.#host = host;
    this.#route = route;
    const token = options.tokenFile === '' ? undefined : readToken(options.tokenFile);
    this.#tokenHash = token === undefined ? undefined : hashOf(token);
    this.#server = createHttpServer(options, (request, response) => this.#serve(request, response));
    this.#server.maxConnections = MAX_CONNECTIONS;
    // A connection that only holds on keeps others out no longer than this.
    this.#server.setTimeout(KEEP_ALIVE_MS);
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    this.#server.on('drop', () => this.#refused++);
  }

  /** **Errors**: `bad-config`: the address, or a file that cannot be read; other addresses than
   *  loopback without token and client certificate. */
  static async start(options: HttpOptions, route: Route): Promise<HttpServer> {
    const { host, port } = parseAddress(options.listen);
    if (!isLoopback(host) && options.tokenFile === '' && options.clientCa === '') {
      const sentence = `http.listen: ${options.listen} can be reached by other hosts`;
      const hint = 'Give http.tokenFile, or http.clientCa with http.certificate and http.key.';
      throw new OperatingError('bad-config', sentence, hint);
    }
    const server = new HttpServer(options, host, route);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', (error) =>
        reject(new OperatingError('bad-config', `http.listen: ${error.message}`)),
      );
      server.#server.listen({ host, port }, resolve);
    });
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Requests and connections that were turned away. */
  get refused(): number {
    return this.#refused;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const status = this.#statusOf(request);
    if (status === 200) {
      response.setHeader('cache-control', 'no-store');
      response.setHeader('x-content-type-options', 'nosniff');
      return this.#route(request, response);
    }
    this.#refused++;
    if (status === 401) response.setHeader('www-authenticate', 'Bearer');
    if (status === 405) response.setHeader('allow', 'GET');
    response.writeHead(status, { connection: 'close' }).end();
  }

  /** Who is asked for first: a path tells a stranger nothing. */
  #statusOf({ headers, method, url = '' }: IncomingMessage): number {
    if (this.#tokenHash !== undefined && !isToken(headers.authorization, this.#tokenHash)) return 401;
    // A page in a browser of this host could ask under a name of its own.
    if (isLoopback(this.#host) && !isLoopbackName(headers.host)) return 403;
    if (url.split('?', 1)[0] !== '/metrics') return 404;
    return method === 'GET' ? 200 : 405;
  }
}

function createHttpServer(
  { certificate, key, clientCa }: HttpOptions,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const limits: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 1000,
  };
  if (certificate === '' && key === '' && clientCa === '') return createServer(limits, serve);
  if (certificate === '' || key === '') {
    throw new OperatingError('bad-config', 'http.certificate and http.key belong together');
  }
  const read = (option: string, path: string) => readSecretFile(`http.${option}`, path);
  const tls = { cert: read('certificate', certificate), key: read('key', key) };
  const ca =
    clientCa === ''
      ? {}
      : { ca: read('clientCa', clientCa), requestCert: true, rejectUnauthorized: true };
  try {
    return createTlsServer({ ...limits, ...tls, ...ca, minVersion: 'TLSv1.2' }, serve);
  } catch (error) {
    throw new OperatingError('bad-config', `http.certificate: ${(error as Error).message}`);
  }
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, v6, other, port] = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? other;
  if (host === undefined || Number(port) > 65_535) {
    throw new OperatingError('bad-config', `http.listen: ${JSON.stringify(text)} is no address`);
  }
  return { host, port: Number(port) };
}

function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isLoopbackName(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return isLoopback(name);
}

function isToken(authorization: string | undefined, expected: Buffer): boolean {
  const [, token] = /^Bearer ([^\s]+)$/i.exec(authorization ?? '') ?? [];
  // Hashes are equally long whatever was sent.
  return timingSafeEqual(hashOf(token ?? ''), expected) && token !== undefined;
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function readToken(path: string): string {
  const token = readSecretFile('http.tokenFile', path).toString('utf8').trim();
  if (token.length >= MIN_TOKEN_CHARACTERS && !/\s/.test(token)) return token;
  const sentence = `http.tokenFile: ${path} holds no token of ${MIN_TOKEN_CHARACTERS} characters or more`;
  throw new OperatingError('bad-config', sentence);
}
