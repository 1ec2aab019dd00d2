// Reads what is cheap to read at each second of the wall clock. (front)
//
//   wall clock   10.0      11.0      12.0
//   reading       |10.002   |11.002   |12.002      each is of the second before

import { hostSources } from '../pipeline/host-sources.js';
import type { SecondsPart } from '../pipeline/host-sources.js';
import { createSecondsMemory, SecondsWriter } from '../pipeline/seconds-ring.js';
import { KeptFile } from './kept-file.js';

const SECOND_MS = 1000;
const AFTER_SECOND_MS = 2;
/** A file that was not there is looked for again after so many seconds. */
const RETRY_ROUNDS = 60;

interface Kept {
  readonly file: KeptFile;
  readonly part: SecondsPart;
  retryRound: number;
}

/** Memory for readings of so many seconds, by what one takes now. */
export function secondsMemory(seconds: number): SharedArrayBuffer | undefined {
  const lengths = openFiles().map((kept) => {
    const parts = readParts(kept);
    kept.file.close();
    return parts.reduce((sum, { length }) => sum + length, 0);
  });
  return createSecondsMemory(
    seconds,
    lengths.reduce((sum, lengthBytes) => sum + lengthBytes, 0),
  );
}

export class SecondsTimer {
  readonly #files = openFiles();
  readonly #writer: SecondsWriter;
  readonly #note: (text: string) => void;
  #round = 0;
  #lastKtimeNs = process.hrtime.bigint();
  #timer: NodeJS.Timeout | undefined;

  constructor(writer: SecondsWriter, note: (text: string) => void) {
    this.#writer = writer;
    this.#note = note;
    this.#read();
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const { file } of this.#files) file.close();
  }

  #arm(): void {
    const delayMs = SECOND_MS - (Date.now() % SECOND_MS) + AFTER_SECOND_MS;
    this.#timer = setTimeout(() => {
      this.#read();
      this.#arm();
    }, delayMs).unref();
  }

  #read(): void {
    this.#round++;
    this.#writer.begin();
    for (const kept of this.#files) {
      const parts = this.#round < kept.retryRound ? [] : readParts(kept);
      if (kept.file.problem !== undefined && this.#round >= kept.retryRound) {
        kept.retryRound = this.#round + RETRY_ROUNDS;
      }
      this.#writer.append(parts);
    }
    const ktimeNs = process.hrtime.bigint();
    const spanNs = Number(ktimeNs - this.#lastKtimeNs);
    this.#lastKtimeNs = ktimeNs;
    this.#writer.end({ unixNs: BigInt(Date.now()) * 1_000_000n, spanNs });
    if (this.#writer.overLimit > 0) this.#note('each second: some files are too long to keep');
  }
}

function openFiles(): Kept[] {
  return hostSources(() => true).flatMap(({ path, seconds }) =>
    seconds === undefined
      ? []
      : [{ file: new KeptFile(`/proc/${path}`), part: seconds, retryRound: 0 }],
  );
}

function readParts({ file, part: { maxBytes, cut } }: Kept): readonly Buffer[] {
  const bytes = file.readBytes(maxBytes);
  if (bytes === undefined) return [];
  return cut === undefined ? [bytes] : cut(bytes);
}
