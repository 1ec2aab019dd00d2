// A probe in the kernel, from its last attach to its end: gate, globals, maps, programs.

import { readSync } from 'node:fs';
import {
  closeObject,
  destroyLink,
  openIterator,
  programFd,
  type LinkHandle,
} from '../ffi/libbpf.js';
import { closeFd } from '../ffi/libc.js';
import { setPerfEventProgram } from '../ffi/perf-event.js';
import { OperatingError, assert, type OperatingErrorCode } from '../storage/model/errors.js';
import { readFdInfo } from './fd-info.js';
import { Globals } from './globals.js';
import type { HookFailure } from './hook-plan.js';
import type { BpfMap } from './map.js';
import { collectMaps, type ConfiguredObject, type ObjectMaps } from './object.js';
import type { AttachedObject } from './trial.js';

const RUNS_FRESH_MS = 1000;

export interface ProgramRuns {
  readonly name: string;
  /** Both stand still while kernel.bpf_stats_enabled is 0. */
  readonly runs: number;
  readonly timeNs: number;
  /** How often it was not run because it was running already on that CPU; told since 5.12. */
  readonly recursionMisses: number;
}

export class LoadedProbe {
  readonly name: string;
  /** Hooks that were given up, and why: one line each. */
  readonly notes: readonly string[];
  readonly globals: Globals;
  readonly #object: ConfiguredObject;
  readonly #links: readonly LinkHandle[];
  readonly #iterators: readonly LinkHandle[];
  readonly #maps: ObjectMaps;
  #runs: readonly ProgramRuns[] = [];
  #runsReadMs = -Infinity;
  #isOpen = true;

  /** Takes the attached object over, also when it throws. **Errors**: throws CallError. */
  constructor(
    name: string,
    { object, links, iterators }: AttachedObject,
    notes: readonly string[],
  ) {
    this.name = name;
    this.notes = notes;
    this.#object = object;
    this.#links = links;
    this.#iterators = iterators;
    let globals: Globals | undefined;
    try {
      globals = new Globals(object.handle);
      this.#maps = collectMaps(object);
    } catch (error) {
      globals?.close();
      for (const link of links) destroyLink(link);
      closeObject(object.handle);
      throw error;
    }
    this.globals = globals;
  }

  /** Lets a program run at each overflow of a perf event. The event holds the program: close
   *  it before, or with, the probe.
   *  **Errors**: `bpf-failed`. */
  attachPerfEvent(program: string, perfFd: number): void {
    const handle = this.#object.programs.get(program);
    assert(handle !== undefined, `probe ${this.name} has loaded program ${program}`);
    const errno = setPerfEventProgram(perfFd, programFd(handle));
    if (errno === undefined) return;
    throw probeError(this.name, { program, errno, reason: 'a perf event does not take it' });
  }

  /** Lets the programs work, which until now return at once; before, iterators see what was there
   *  already. Call it after the last attach. **Errors**: throws CallError. */
  openGate(): void {
    for (const link of this.#iterators) runIterator(link);
    Atomics.store(this.globals.u32('fk_enabled'), 0, 1);
  }

  /** **Errors**: a name that the object does not have is an assertion. */
  map(name: string): BpfMap {
    const map = this.#maps.byName.get(name);
    assert(map !== undefined, `probe ${this.name} has a map ${name}`);
    return map;
  }

  /** Those in the kernel, with their ids there. */
  programs(): readonly { readonly name: string; readonly id: number; readonly fd: number }[] {
    return [...this.#object.programs].map(([name, handle]) => {
      const fd = programFd(handle);
      return { name, id: Number(readFdInfo(fd)['prog_id'] ?? 0), fd };
    });
  }

  /** What each program did so far. Read at most once a second: several ask at each flush. */
  programRuns(): readonly ProgramRuns[] {
    const nowMs = performance.now();
    if (nowMs - this.#runsReadMs > RUNS_FRESH_MS) {
      this.#runsReadMs = nowMs;
      this.#runs = [...this.#object.programs].map(([name, handle]) => {
        const info = readFdInfo(programFd(handle));
        const number = (line: string) => Number(info[line] ?? 0);
        const [runs, timeNs] = [number('run_cnt'), number('run_time_ns')];
        return { name, runs, timeNs, recursionMisses: number('recursion_misses') };
      });
    }
    return this.#runs;
  }

  /** What maps and programs are charged for. **Units**: bytes. */
  kernelMemoryBytes(): number {
    const maps = [...this.#maps.byName.values()].flatMap((map) => [map, ...map.innerMaps]);
    const fds = new Set([...maps, ...this.programs()].map(({ fd }) => fd));
    return [...fds].reduce((sum, fd) => sum + Number(readFdInfo(fd)['memlock'] ?? 0), 0);
  }

  /** Detaches and unloads; views of globals and maps must not be touched any more. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const link of this.#links) destroyLink(link);
    this.globals.close();
    for (const fd of this.#maps.ownFds) closeFd(fd);
    closeObject(this.#object.handle);
  }
}

/** Reads it to its end; what it says, if anything, is not wanted. */
function runIterator(link: LinkHandle): void {
  const fd = openIterator(link);
  try {
    const text = new Uint8Array(4096);
    while (readSync(fd, text) > 0);
  } finally {
    closeFd(fd);
  }
}

/** What a refused hook means for the user. */
export function probeError(probe: string, { program, errno, reason }: HookFailure): OperatingError {
  const message = `probe ${probe}: ${program} cannot be used: ${errno}, ${reason}`;
  return new OperatingError(errorCode(errno), message);
}

/** ESRCH: the kernel has no such tracepoint. EACCES is the verifier's
 *  word, not that of permissions. */
function errorCode(errno: string): OperatingErrorCode {
  if (errno === 'EPERM') return 'no-privilege';
  return ['ESRCH', 'EOPNOTSUPP', 'ENOTSUPP', 'ENOSYS'].includes(errno)
    ? 'kernel-unsupported'
    : 'bpf-failed';
}
