// Waits for rings and sockets without a thread and without a timer. All descriptors lie
// edge-triggered in one epoll descriptor, which libuv watches: only what a ring counts as a wake-up
// wakes node (about 0.1 ms of CPU each), not every byte. After a wake the poller rests, so that a
// busy ring costs at most 20 wakes a second.
//
//   ring wakes ──▶ stop, forget edges, onReadable ── rest 50 ms ──▶ start
//                                                (an edge since then wakes at once)
//
// Source: epoll(7); libuv's uv_poll by way of koffi.node.poll.

import { writeSync } from 'node:fs';
import koffi from 'koffi';
import { CallError, errnoName } from './errno.js';
import { closeFd } from './libc.js';
import { lastErrno, libcFunction } from './native.js';

const EPOLL_CLOEXEC = 0o2000000;
const EFD_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLET = 0x80000000;
const MAX_EVENTS = 64;
const MAX_FORGET_ROUNDS = 64;
const EVENT_BYTES = 16;
const REST_MS = 50;

const epollCreate = libcFunction('epoll_create1', 'int', ['int']);
const epollCtl = libcFunction('epoll_ctl', 'int', ['int', 'int', 'int', 'void *']);
const epollWait = libcFunction('epoll_wait', 'int', ['int', 'void *', 'int', 'int']);
const eventfd = libcFunction('eventfd', 'int', ['uint', 'int']);

/** `uv` watches from the event loop. `thread` parks one thread of libuv's pool in epoll_wait: what
 *  remains where koffi has no node.poll, which is not documented. */
export type WaitMethod = 'uv' | 'thread';

export interface PollerOptions {
  /** Should read until nothing waits: what is left behind wakes again only with
   *  the next wake-up of its ring. */
  readonly onReadable: () => void;
  /** Gets what onReadable threw, and a CallError when waiting itself failed. Must not throw. */
  readonly onError: (error: unknown) => void;
  readonly method?: WaitMethod;
}

export class Poller {
  readonly method: WaitMethod;
  readonly #options: PollerOptions;
  readonly #epollFd: number;
  readonly #wait: Wait;
  #timer: NodeJS.Timeout | undefined;
  #isOpen = true;

  /** **Errors**: throws CallError when the process is out of descriptors. */
  constructor(options: PollerOptions) {
    this.#options = options;
    this.method = options.method ?? (typeof koffi.node?.poll === 'function' ? 'uv' : 'thread');
    this.#epollFd = epollCreate(EPOLL_CLOEXEC) as number;
    if (this.#epollFd < 0) throw new CallError('epoll_create1', lastErrno());
    const onWake: OnWake = (errno) => this.#onWake(errno);
    this.#wait =
      this.method === 'uv' ? uvWait(this.#epollFd, onWake) : threadWait(this.#epollFd, onWake);
    this.#wait.start();
  }

  /** **Errors**: throws CallError (`EPERM`: not a kind of descriptor that can wake). */
  add(fd: number): void {
    control(this.#epollFd, EPOLL_CTL_ADD, fd);
  }

  /** Before the descriptor is closed. */
  remove(fd: number): void {
    control(this.#epollFd, EPOLL_CTL_DEL, fd);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#wait.close(() => closeFd(this.#epollFd));
  }

  #onWake(errno: string | undefined): void {
    if (!this.#isOpen) return;
    if (errno !== undefined) {
      return this.#options.onError(new CallError('waiting for rings', errno));
    }
    try {
      this.#wait.stop();
      forgetEdges(this.#epollFd);
      this.#options.onReadable();
    } catch (error) {
      this.#options.onError(error);
    }
    if (!this.#isOpen) return;
    this.#timer = setTimeout(() => this.#wait.start(), REST_MS);
  }
}

/** With an errno: waiting failed, and is over. */
type OnWake = (errno: string | undefined) => void;

/** start() asks for one wake, stop() takes the asking back. */
interface Wait {
  start(): void;
  stop(): void;
  close(done: () => void): void;
}

/** The handle must stay referenced: a collected one stops without a word. The callback gets a
 *  status first, unlike its declaration says. */
function uvWait(epollFd: number, onWake: OnWake): Wait {
  const options = { readable: true };
  const onPoll = (status: unknown): void => {
    onWake(typeof status === 'number' && status < 0 ? errnoName(status) : undefined);
  };
  const handle = koffi.node.poll(epollFd, options, onPoll);
  return {
    start: () => handle.start(options, onPoll),
    stop: () => handle.stop(),
    close: (done) => {
      handle.close();
      done();
    },
  };
}

/** The parked thread owns the descriptor and the buffer until it returns, so close()
 *  wakes it through an eventfd. */
function threadWait(epollFd: number, onWake: OnWake): Wait {
  const events = Buffer.alloc(EVENT_BYTES);
  const wakeFd = eventfd(0, EFD_CLOEXEC) as number;
  if (wakeFd < 0) throw new CallError('eventfd', lastErrno());
  control(epollFd, EPOLL_CTL_ADD, wakeFd);
  let isParked = false;
  let onClosed: (() => void) | undefined;
  const finish = (): void => {
    closeFd(wakeFd);
    onClosed?.();
  };
  return {
    start: () => {
      isParked = true;
      epollWait.async(epollFd, events, 1, -1, (_failure: unknown, ready: number) => {
        const errno = ready < 0 ? lastErrno() : 'EINTR';
        isParked = false;
        if (onClosed === undefined) onWake(errno === 'EINTR' ? undefined : errno);
        else finish();
      });
    },
    stop: () => {},
    close: (done) => {
      onClosed = done;
      if (isParked) writeSync(wakeFd, new BigUint64Array([1n]));
      else finish();
    },
  };
}

function control(epollFd: number, operation: number, fd: number): void {
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE((EPOLLIN | EPOLLET) >>> 0, 0);
  const status = epollCtl(epollFd, operation, fd, event) as number;
  if (status !== 0) throw new CallError(`epoll_ctl of descriptor ${fd}`, lastErrno());
}

/** Takes the edges that are there; those that come later wake again. */
function forgetEdges(epollFd: number): void {
  const events = Buffer.alloc(MAX_EVENTS * EVENT_BYTES);
  for (let round = 0; round < MAX_FORGET_ROUNDS; round++) {
    if ((epollWait(epollFd, events, MAX_EVENTS, 0) as number) < MAX_EVENTS) return;
  }
}
