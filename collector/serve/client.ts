// Asks the daemon when one runs on the directory, else reads the
// files: the same answers either way.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { deserialize } from 'node:v8';
import type { OperatingErrorCode } from '../../storage/model/errors.js';
import { OperatingError } from '../../storage/model/errors.js';
import type {
  AggregateAnswer,
  AggregateRequest,
  EventsAnswer,
  EventsRequest,
  Query,
  SeriesAnswer,
  SeriesRequest,
  StatusAnswer,
} from '../../storage/model/query.js';
import { openFiles } from '../../storage/query.js';
import type { Answer, Request } from './protocol.js';
import { encodeRequest, MAX_ANSWER_BYTES, PROTOCOL_VERSION } from './protocol.js';

const CONNECT_MS = 2_000;
const ANSWER_MS = 120_000;

/** **Errors**: what openFiles throws; `daemon-unreachable` when a daemon runs but may not
 *  be asked nor its files read. */
export async function openQuery(dataDir: string): Promise<Query> {
  const path = join(dataDir, 'flamekeeper.sock');
  try {
    return new SocketQuery(await connectTo(path), path);
  } catch {
    return openFiles(dataDir);
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

class SocketQuery implements Query {
  readonly #socket: Socket;
  readonly #path: string;
  #chunks: Buffer[] = [];
  #receivedBytes = 0;
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  #failure: OperatingError | undefined;

  constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    socket.setTimeout(ANSWER_MS, () => this.#fail(`no answer within ${ANSWER_MS / 1000} s`));
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('the daemon closed the connection'));
  }

  aggregate(request: AggregateRequest): Promise<AggregateAnswer> {
    return this.#ask({
      v: PROTOCOL_VERSION,
      method: 'aggregate',
      params: mutable(request),
    }) as Promise<AggregateAnswer>;
  }

  events(request: EventsRequest): Promise<EventsAnswer> {
    return this.#ask({
      v: PROTOCOL_VERSION,
      method: 'events',
      params: mutable(request),
    }) as Promise<EventsAnswer>;
  }

  series(request: SeriesRequest): Promise<SeriesAnswer> {
    return this.#ask({
      v: PROTOCOL_VERSION,
      method: 'series',
      params: mutable(request),
    }) as Promise<SeriesAnswer>;
  }

  status(): Promise<StatusAnswer> {
    return this.#ask({
      v: PROTOCOL_VERSION,
      method: 'status',
      params: {},
    }) as Promise<StatusAnswer>;
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  async #ask(request: Request): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(encodeRequest(request));
    });
    if (answer.ok) return answer.value;
    throw new OperatingError(answer.code as OperatingErrorCode, answer.message, answer.hint);
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes < 4) return;
    if (this.#chunks[0]!.length < 4) this.#chunks = [Buffer.concat(this.#chunks)];
    const bodyBytes = this.#chunks[0]!.readUInt32LE();
    if (bodyBytes > MAX_ANSWER_BYTES) return this.#fail('the answer is too large');
    if (this.#receivedBytes < 4 + bodyBytes) return;
    const body = Buffer.concat(this.#chunks).subarray(4);
    this.#chunks = [];
    this.#receivedBytes = 0;
    this.#waiting?.resolve(deserialize(body) as Answer);
    this.#waiting = undefined;
  }

  #fail(why: string): void {
    this.#failure ??= new OperatingError(
      'daemon-unreachable',
      `the daemon at ${this.#path} did not answer: ${why}`,
    );
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}

/** The schema's inferred types are mutable; a request is only read. */
function mutable<T>(request: T): never {
  return request as never;
}
