// Names of kernel addresses: kallsyms as it was when last read, and over it what came and went
// since, above all BPF programs that live shorter than the time between two looks.

import { closeSync, openSync, readSync } from 'node:fs';
import type { FunctionInfo, Module } from '../../storage/model/frame.js';
import { kernelModule } from '../../storage/model/frame.js';
import type { KernelTable } from './kallsyms.js';
import { parseKallsyms } from './kallsyms.js';

export interface KernelSymbolEvent {
  readonly name: string;
  /** Signed, exact. */
  readonly address: number;
  readonly sizeBytes: number;
  /** False when it goes. */
  readonly isRegistered: boolean;
}

const maxEvents = 4096;
const pageBytes = 4096;
const bpfModule: Module = { name: '[bpf]', path: '[bpf]', buildId: '' };

export class KernelSymbols {
  readonly #path: string;
  #table: KernelTable | undefined;
  #isStale = true;
  /** Ranges that do not overlap, sorted by address: what KSYMBOL
   *  records told, the dead ones too. */
  #events: KernelSymbolEvent[] = [];
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
    const event = this.#events[this.#eventBefore(address)];
    if (event !== undefined && address < event.address + event.sizeBytes) {
      return this.#named(event.name, event.name.startsWith('bpf_') ? bpfModule : kernelModule);
    }
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

  /** A symbol that goes keeps its range until another one takes it:
   *  samples of it are still on their way.
   *  **Limits**: 4096; beyond it a dead one is dropped, or else the event. */
  apply(event: KernelSymbolEvent): void {
    if (event.name === '' || !(event.sizeBytes > 0)) return;
    const end = event.address + event.sizeBytes;
    const kept = this.#events.filter(
      (e) => e.address + e.sizeBytes <= event.address || e.address >= end,
    );
    if (kept.length >= maxEvents) {
      const dead = kept.findIndex((e) => !e.isRegistered);
      if (dead < 0) return;
      kept.splice(dead, 1);
    }
    kept.push(event);
    this.#events = kept.sort((a, b) => a.address - b.address);
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
    this.#events = this.#events.filter(
      (e) => e.isRegistered || !table.hasStartWithin(e.address, e.address + e.sizeBytes));
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

  /** Index of the last event range that begins at or before the address, or -1. */
  #eventBefore(address: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
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
