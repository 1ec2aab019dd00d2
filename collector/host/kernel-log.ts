// Messages of the kernel at a level or graver, as events: what /dev/kmsg has from the start on.
// Read without waiting, a bounded number at a time. (front)

import { closeSync, constants, openSync, readSync } from 'node:fs';
import { seekToEnd } from '../../ffi/libc.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import { parseKernelMessage } from '../pipeline/kernel-log.js';
import type { KernelMessage } from '../pipeline/kernel-log.js';
import type { TakeContext, TakenStream } from './metric-sources.js';

/** Records read in one take; what is left comes with the next. */
const MAX_RECORDS = 4000;
const MAX_KEPT = 500;
/** The kernel's CONSOLE_EXT_LOG_MAX. */
const record = Buffer.alloc(8192);

export class KernelLog {
  readonly #fd: number;
  readonly #maxLevel: number;
  #nextSequence: number | undefined;

  private constructor(fd: number, maxLevel: number) {
    this.#fd = fd;
    this.#maxLevel = maxLevel;
  }

  /** An errno when the log cannot be read (CAP_SYSLOG). */
  static open(maxLevel: number, path = '/dev/kmsg'): KernelLog | string {
    try {
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      if (seekToEnd(fd)) return new KernelLog(fd, maxLevel);
      closeSync(fd);
      return 'ESPIPE';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }

  take({ span }: Pick<TakeContext, 'span'>): TakenStream {
    const unixMinusKtimeNs = Date.now() * 1e6 - Number(process.hrtime.bigint());
    const startNs = Number(span.startUnixNs) - unixMinusKtimeNs;
    const messages: KernelMessage[] = [];
    let [overwritten, overLimit] = [0, 0];
    for (let i = 0; i < MAX_RECORDS; i++) {
      const text = this.#next();
      if (text === undefined) break;
      const message = parseKernelMessage(text);
      if (message === undefined) continue;
      overwritten += Math.max(0, message.sequence - (this.#nextSequence ?? message.sequence));
      this.#nextSequence = message.sequence + 1;
      if (message.level > this.#maxLevel) continue;
      if (messages.length < MAX_KEPT) messages.push(message);
      else overLimit++;
    }
    return {
      info: hostStreams.kernelLog.info,
      counters: {
        captured: messages.length,
        ...(overwritten > 0 ? { 'lost.overwritten': overwritten } : {}),
        ...(overLimit > 0 ? { 'lost.over_limit': overLimit } : {}),
      },
      columns: {
        timesNs: Float64Array.from(messages, (m) => Math.round(m.ktimeUs * 1e3 - startNs)),
        columns: [
          Float64Array.from(messages, ({ level }) => level),
          Float64Array.from(messages, ({ facility }) => facility),
          Float64Array.from(messages, ({ sequence }) => sequence),
          messages.map(({ message }) => message),
        ],
      },
    };
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** The next record; undefined when there is none. EPIPE: some were overwritten before they were
   *  read, which the sequence numbers tell. */
  #next(): string | undefined {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const length = readSync(this.#fd, record, 0, record.length, null);
        return length > 0 ? record.toString('utf8', 0, length) : undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EPIPE') return undefined;
      }
    }
    return undefined;
  }
}
