// Reads what is cheap to read at each second of the wall clock. (front)
//
//   wall clock   10.0      11.0      12.0
//   reading       |10.002   |11.002   |12.002      each is of the second before

import { Readings } from '../pipeline/readings.js';
import { SecondsWriter } from '../pipeline/seconds-ring.js';
import { HostFiles } from './host-files.js';

const SECOND_MS = 1000;
const AFTER_SECOND_MS = 2;
const MAX_SERIES = 2048;

export class SecondsTimer {
  readonly #files = new HostFiles('seconds');
  readonly #readings = new Readings({ maxSeries: MAX_SERIES });
  readonly #writer: SecondsWriter;
  #lastKtimeNs = process.hrtime.bigint();
  readonly #note: (text: string) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(memory: SharedArrayBuffer, note: (text: string) => void) {
    this.#note = note;
    this.#writer = new SecondsWriter(memory);
    this.#read();
    this.#readings.take();
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#files.close();
  }

  #arm(): void {
    const delayMs = SECOND_MS - (Date.now() % SECOND_MS) + AFTER_SECOND_MS;
    this.#timer = setTimeout(() => {
      this.#tick();
      this.#arm();
    }, delayMs).unref();
  }

  #tick(): void {
    this.#read();
    const ktimeNs = process.hrtime.bigint();
    const spanNs = Number(ktimeNs - this.#lastKtimeNs);
    this.#lastKtimeNs = ktimeNs;
    this.#writer.write(this.#readings.take(), { unixNs: BigInt(Date.now()) * 1_000_000n, spanNs });
    if (this.#writer.overLimit > 0) this.#note('not all keys are kept each second: too many');
  }

  #read(): void {
    this.#readings.begin();
    this.#files.read(this.#readings.tell);
  }
}
