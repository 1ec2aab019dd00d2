// The files of /proc and /sys that describe the whole host, by one table: path, parser, and whether
// it is cheap enough for each second. One that is not there is tried again, seldom.

import { readdirSync } from 'node:fs';
import {
  countOf,
  countUserSessions,
  diskstatsParser,
  parseLoadavg,
  parseMeminfo,
  parseNetDev,
  parseProtocols,
  parseStat,
  parseUptime,
  parseVmstat,
  pressureParser,
} from '../pipeline/host-text.js';
import type { HostParser, Tell } from '../pipeline/host-text.js';
import { KeptFile, readOnce } from './kept-file.js';

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

/** Which files: those of each second, or all. */
export type HostFileSet = 'seconds' | 'all';

export class HostFiles {
  readonly #sys: string;
  readonly #sources: readonly Source[];
  #wholeDevices: ReadonlySet<string> = new Set();
  readonly #partitions = new Set<string>();
  #round = 0;

  constructor(set: HostFileSet, { proc, sys, run }: HostRoots = hostRoots) {
    this.#sys = sys;
    const whole = diskstatsParser((device) => this.#isWhole(device));
    const text = (path: string, parser: HostParser) =>
      source(`${proc}/${path}`, (bytes, tell) => parser(bytes.toString('utf8'), tell));
    const each = [
      text('stat', parseStat),
      text('loadavg', parseLoadavg),
      text('meminfo', parseMeminfo),
      text('diskstats', whole),
      text('net/dev', parseNetDev),
      ...['cpu', 'memory', 'io', 'irq'].map((resource) =>
        text(`pressure/${resource}`, pressureParser(resource)),
      ),
    ];
    const seldom = [
      text('vmstat', parseVmstat),
      text('uptime', parseUptime),
      text('net/snmp', parseProtocols),
      text('net/netstat', parseProtocols),
      source(`${run}/utmp`, (bytes, tell) => tell('users', countUserSessions(bytes))),
    ];
    this.#sources = set === 'seconds' ? each : [...each, ...seldom];
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

  /** Whole devices have a folder in /sys/block, partitions have none. */
  #isWhole(device: string): boolean {
    if (this.#wholeDevices.has(device)) return true;
    if (this.#partitions.has(device)) return false;
    // `!` stands for a slash: cciss/c0d0.
    const names = namesIn(`${this.#sys}/block`).map((name) => name.replaceAll('!', '/'));
    this.#wholeDevices = new Set(names);
    if (!this.#wholeDevices.has(device)) this.#partitions.add(device);
    return this.#wholeDevices.has(device);
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
