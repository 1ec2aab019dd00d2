// Names of kernel addresses: kallsyms as it was when last read, its modules and BPF programs included.
// What was loaded since then has no name until it is read again.

import { closeSync, openSync, readSync } from 'node:fs';
import type { FunctionInfo, Module } from '../../storage/model/frame.js';
import { kernelModule } from '../../storage/model/frame.js';
import type { KernelTable } from './kallsyms.js';
import { parseKallsyms } from './kallsyms.js';

const pageBytes = 4096;

export class KernelSymbols {
  readonly #path: string;
  #table: KernelTable | undefined;
  #isStale = true;
  readonly #byAddressIndex = new Map<number, FunctionInfo>();
  readonly #functions = new Map<string, FunctionInfo>();
  readonly #unnamed = new Map<number, FunctionInfo>();

  constructor(path = '/proc/kallsyms') {
    this.#path = path;
  }

  get keptBytes(): number {
    return this.#table?.keptBytes ?? 0;
  }

  /** The function at a kernel address (signed, exact); the same object each time. */
  at(address: number): FunctionInfo {
    if (this.#isStale) this.#read();
    const index = this.#table?.find(address) ?? -1;
    if (index < 0) return this.#unnamedAt(address);
    let fn = this.#byAddressIndex.get(index);
    if (fn === undefined) {
      const module = this.#table!.moduleName(index);
      fn = this.#named(this.#table!.name(index), module === '' ? kernelModule : moduleOf(module));
      this.#byAddressIndex.set(index, fn);
    }
    return fn;
  }

  /** Reads kallsyms again at the next look-up. */
  reload(): void {
    this.#isStale = true;
  }

  #read(): void {
    this.#isStale = false;
    const table = parseKallsyms(piecesOf(this.#path));
    if (table === undefined) return;
    this.#table = table;
    this.#byAddressIndex.clear();
    this.#unnamed.clear();
  }

  #named(name: string, module: Module): FunctionInfo {
    const key = `${module.name}\0${name}`;
    let fn = this.#functions.get(key);
    if (fn === undefined) {
      fn = { module, frameType: 'kernel', name };
      this.#functions.set(key, fn);
    }
    return fn;
  }

  /** The start is the page, as the low 48 bits of its address: never
   *  negative, and all that is not sign. */
  #unnamedAt(address: number): FunctionInfo {
    const start =
      ((Math.floor(address / pageBytes) * pageBytes) % 2 ** 48) + (address < 0 ? 2 ** 48 : 0);
    let fn = this.#unnamed.get(start);
    if (fn === undefined) {
      const reason = this.#table === undefined ? 'no-kernel-symbols' : 'no-match';
      fn = { module: kernelModule, frameType: 'kernel', name: '', reason, start };
      this.#unnamed.set(start, fn);
    }
    return fn;
  }

}

function moduleOf(name: string): Module {
  return { name, path: name, buildId: '' };
}

/** The file in pieces of one buffer; none when it cannot be read. */
function* piecesOf(path: string): Generator<Uint8Array> {
  let fd = -1;
  try {
    fd = openSync(path, 'r');
    const buffer = new Uint8Array(1 << 16);
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      yield buffer.subarray(0, count);
    }
  } catch {
    // What was read so far is used; nothing read means no kernel symbols.
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
