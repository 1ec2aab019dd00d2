// The files of /proc and /sys that describe the whole host, kept open. One that is not there is tried
// again, seldom. (front)

import { readdirSync } from 'node:fs';
import { countOf, countUserSessions } from '../pipeline/host-text.js';
import type { Tell } from '../pipeline/host-text.js';
import { hostSources } from '../pipeline/host-sources.js';
import { KeptFile, readOnce } from './kept-file.js';
import { WholeDevices } from './whole-devices.js';

/** A file that was not there is looked for again after so many rounds: PSI may be switched on, a
 *  module loaded. */
const RETRY_ROUNDS = 30;
const MAX_INTERFACES = 256;

/** Where the tree of files begins; another one in tests. */
export interface HostRoots {
  readonly proc: string;
  readonly sys: string;
  readonly run: string;
}

export const hostRoots: HostRoots = { proc: '/proc', sys: '/sys', run: '/run' };

interface Source {
  readonly file: KeptFile;
  readonly parse: (bytes: Buffer, tell: Tell) => void;
  retryRound: number;
}

export class HostFiles {
  readonly #sources: readonly Source[];
  #round = 0;

  constructor({ proc, sys, run }: HostRoots = hostRoots) {
    const whole = new WholeDevices(sys);
    const texts = hostSources((device) => whole.has(device)).map(({ path, parse }) =>
      source(`${proc}/${path}`, (bytes, tell) => parse(bytes.toString('utf8'), tell)),
    );
    const utmp = source(`${run}/utmp`, (bytes, tell) => tell('users', countUserSessions(bytes)));
    this.#sources = [...texts, utmp];
  }

  /** Reads them all. Returns the paths that there are none of here. */
  read(tell: Tell): readonly string[] {
    this.#round++;
    const missing: string[] = [];
    for (const each of this.#sources) {
      const bytes = this.#round < each.retryRound ? undefined : each.file.readBytes();
      if (bytes !== undefined) each.parse(bytes, tell);
      else {
        if (this.#round >= each.retryRound) each.retryRound = this.#round + RETRY_ROUNDS;
        missing.push(each.file.path);
      }
    }
    return missing;
  }

  close(): void {
    for (const { file } of this.#sources) file.close();
  }
}

function source(path: string, parse: Source['parse']): Source {
  return { file: new KeptFile(path), parse, retryRound: 0 };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Speed and duplex of each interface; a link's partner is asked for some of them, so not often. */
export class LinkSpeeds {
  readonly #net: string;
  readonly #everyRounds: number;
  #round = 0;
  #links: readonly { readonly device: string; readonly speed: number; readonly duplex: string }[] =
    [];

  constructor(everyRounds: number, roots: HostRoots = hostRoots) {
    this.#net = `${roots.sys}/class/net`;
    this.#everyRounds = everyRounds;
  }

  read(tell: Tell): void {
    if (this.#round++ % this.#everyRounds === 0) {
      this.#links = namesIn(this.#net).slice(0, MAX_INTERFACES).map((device) => ({
        device,
        // -1 and an error stand for a link that has none.
        speed: countOf(this.#attribute(device, 'speed')) ?? 0,
        duplex: /^(?:full|half)$/.exec(this.#attribute(device, 'duplex'))?.[0] ?? 'unknown',
      }));
    }
    for (const { device, speed, duplex } of this.#links) tell('netSpeed', speed, device, duplex);
  }

  #attribute(device: string, name: string): string {
    return (readOnce(`${this.#net}/${device}/${name}`) ?? '').trim();
  }
}
