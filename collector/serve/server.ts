// The daemon's local socket: answers queries from the store's memory and files. (back)

import { chmodSync, chownSync, readFileSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { serialize } from 'node:v8';
import { OperatingError } from '../../storage/model/errors.js';
import type { Query, StatusAnswer } from '../../storage/model/query.js';
import type { Answer, Request } from './protocol.js';
import { decodeRequest, MAX_REQUEST_BYTES } from './protocol.js';

const MAX_CONNECTIONS = 32;
const IDLE_MS = 30_000;
/** sun_path holds 108 bytes with its NUL. */
const MAX_PATH_BYTES = 107;

export interface ServerOptions {
  readonly query: Query;
  /** What only the daemon knows, for `status`. */
  readonly daemon: () => NonNullable<StatusAnswer['daemon']>;
  readonly log: (text: string) => void;
  /** An answer was made, with or without success. */
  readonly answered?: (method: Request['method'], durationMs: number) => void;
}

export class QueryServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  /** The one that asked longest ago first. */
  readonly #sockets = new Set<Socket>();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens on a unix socket; resolves to what went wrong, if anything: without it,
   *  questions are answered from files. */
  async listen(
    path: string,
    access: { readonly mode: number; readonly group: string },
  ): Promise<string | undefined> {
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
      return `the socket's path ${path} is longer than ${MAX_PATH_BYTES} bytes: questions are answered from files`;
    }
    try {
      unlinkSync(path);
    } catch {
      // Usual: none was left behind. We own the directory, so one that was is of a dead daemon.
    }
    return new Promise((resolve) => {
      this.#server.once('error', (error) => resolve(`cannot listen on ${path}: ${error.message}`));
      this.#server.listen(path, () => resolve(restrictAccess(path, access)));
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** One connection too many ends the one that has been silent longest: clients that
   *  only hold on keep nobody out. */
  #accept(socket: Socket): void {
    const [silent] = this.#sockets;
    if (silent !== undefined && this.#sockets.size >= MAX_CONNECTIONS) this.#drop(silent);
    this.#sockets.add(socket);
    socket.setEncoding('utf8');
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    // A client may leave at any time.
    socket.on('error', () => this.#drop(socket));
    this.#serve(socket).catch(() => this.#drop(socket));
  }

  #drop(socket: Socket): void {
    this.#sockets.delete(socket);
    socket.destroy();
  }

  /** Reads no further while it answers, and leaves the loop free between two answers. */
  async #serve(socket: Socket): Promise<void> {
    let received = '';
    for await (const text of socket) {
      received += text;
      for (let end = received.indexOf('\n'); end >= 0; end = received.indexOf('\n')) {
        const line = received.slice(0, end);
        received = received.slice(end + 1);
        this.#sockets.delete(socket);
        this.#sockets.add(socket);
        await this.#reply(socket, line);
        await setImmediate();
        if (socket.destroyed) return;
      }
      if (received.length > MAX_REQUEST_BYTES) return;
    }
  }

  async #reply(socket: Socket, line: string): Promise<void> {
    const startedMs = performance.now();
    const { method, answer } = await this.#answer(line);
    const body = serialize(answer);
    if (method !== undefined) this.#options.answered?.(method, performance.now() - startedMs);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(body.length);
    socket.write(head);
    await new Promise((resolve) => socket.write(body, resolve));
  }

  async #answer(line: string): Promise<{ method?: Request['method']; answer: Answer }> {
    const request =
      line.length > MAX_REQUEST_BYTES ? 'the request is too long' : decodeRequest(line);
    if (typeof request === 'string') {
      return { answer: { ok: false, code: 'usage', message: request, hint: '' } };
    }
    const { method } = request;
    try {
      return { method, answer: { ok: true, value: await this.#ask(request) } };
    } catch (error) {
      return { method, answer: this.#failure(error) };
    }
  }

  #failure(error: unknown): Answer {
    if (error instanceof OperatingError) {
      return { ok: false, code: error.code, message: error.message, hint: error.hint };
    }
    this.#options.log(`a query failed: ${error instanceof Error ? error.stack : String(error)}`);
    return {
      ok: false,
      code: 'daemon-unreachable',
      message: 'the daemon failed on this query',
      hint: 'Its log says why.',
    };
  }

  async #ask(request: Request): Promise<unknown> {
    const { query, daemon } = this.#options;
    switch (request.method) {
      case 'aggregate':
        return query.aggregate(request.params);
      case 'events':
        return query.events(request.params);
      case 'series':
        return query.series(request.params);
      case 'status':
        return { ...(await query.status()), daemon: daemon() };
    }
  }
}

function restrictAccess(
  path: string,
  access: { readonly mode: number; readonly group: string },
): string | undefined {
  try {
    chmodSync(path, access.mode);
    if (access.group === '') return undefined;
    const gid = groupId(access.group);
    if (gid === undefined) return `socket.group: there is no group ${JSON.stringify(access.group)}`;
    chownSync(path, -1, gid);
    return undefined;
  } catch (error) {
    return `cannot set mode and group of ${path}: ${(error as Error).message}`;
  }
}

function groupId(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(':')[2]);
}
