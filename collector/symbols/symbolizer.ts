// Normalized frames -> functions. Files are known by their id; those of one build id share one
// image. Everything that reads a file to name code happens here, in the back thread.

import { assert } from '../../storage/model/errors.js';
import type { FunctionInfo, Module, NameReason } from '../../storage/model/frame.js';
import { closeFile } from './file-reader.js';
import { KernelSymbols } from './kernel-symbols.js';
import type { Opened } from './module-image.js';
import { ModuleImage } from './module-image.js';
import { openVdso } from './vdso.js';

export interface ModuleSource {
  readonly id: number;
  readonly module: Module;
  readonly opened: Opened;
}

export interface SymbolizerOptions {
  /** Symbol tables kept, kernel not included; those used least
   *  recently go first. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Files held open; those used least recently are read and closed. Default 64. */
  readonly maxOpenFiles?: number;
  /** Default /proc/kallsyms. */
  readonly kallsymsPath?: string;
}

const pageBytes = 4096;
const vdsoName = '[vdso]';

interface KnownModule {
  readonly image: ModuleImage;
  readonly givenModule: Module;
  /** With the file's own build id where none was given; set when the file is read. */
  module: Module | undefined;
  readonly named: Map<number, FunctionInfo>;
  readonly unnamed: Map<string, FunctionInfo>;
}

export class Symbolizer {
  readonly #maxBytes: number;
  readonly #maxOpenFiles: number;
  readonly #kernel: KernelSymbols;
  readonly #modules = new Map<number, KnownModule>();
  /** By build id, or by module id where that is not known. */
  readonly #images = new Map<string, ModuleImage>();
  #clock = 0;

  constructor(options: SymbolizerOptions = {}) {
    this.#maxBytes = options.maxBytes ?? 64 << 20;
    this.#maxOpenFiles = options.maxOpenFiles ?? 64;
    this.#kernel = new KernelSymbols(options.kallsymsPath);
  }

  /** Bytes of symbol tables and names, kernel included. */
  get keptBytes(): number {
    return this.#kernel.keptBytes + this.#imageBytes();
  }

  get openFiles(): number {
    return [...this.#images.values()].filter((image) => image.isOpen).length;
  }

  /** Makes a file known; nothing is read yet. Owns the descriptor from now on. Where the image of
   *  this build id failed before (gone, changed, evicted), it is tried again with this file. */
  addModule(source: ModuleSource): void {
    const { id, module } = source;
    assert(!this.#modules.has(id), `module ${id} is added once`);
    const opened = source.module.name === vdsoName ? vdsoInstead(source.opened) : source.opened;
    const key = imageKey(id, module);
    let image = this.#images.get(key);
    if (image === undefined) this.#images.set(key, image = new ModuleImage(opened, module.buildId));
    else image.offer(opened);
    image.users++;
    image.lastUse = ++this.#clock;
    const known = {
      image,
      givenModule: module,
      module: undefined,
      named: new Map(),
      unnamed: new Map(),
    };
    this.#modules.set(id, known);
    this.#limitOpenFiles();
  }

  /** Frees what is kept of a module that no samples will come from any more. */
  removeModule(id: number): void {
    const known = this.#modules.get(id);
    if (known === undefined) return;
    this.#modules.delete(id);
    if (--known.image.users > 0) return;
    known.image.close();
    this.#images.delete(imageKey(id, known.givenModule));
  }

  /** Reads the module's symbols, unless they were read: what may take long is better done before
   *  names are asked for. */
  read(moduleId: number): void {
    const { image } = this.#known(moduleId);
    if (image.isRead) return;
    image.table();
    this.#limitBytes(image);
  }

  /** The function at a byte of a module's file; callers' addresses are given already moved into the
   *  call instruction. The same object for the same function, always. */
  user(moduleId: number, fileOffset: number): FunctionInfo {
    const known = this.#known(moduleId);
    const { image } = known;
    image.lastUse = ++this.#clock;
    this.read(moduleId);
    const table = image.table();
    const module = moduleOf(known);
    const address = image.addressOf(fileOffset);
    if ('reason' in table) return unnamed(known, table.reason, pageOf(address ?? fileOffset));
    if (address === undefined) return unnamed(known, 'no-match', pageOf(fileOffset));
    const index = table.find(address);
    if (index < 0) {
      const gap = table.gapStart(address) ?? -Infinity;
      return unnamed(known, 'no-match', Math.max(pageOf(address), gap));
    }
    const functionId = table.functionId(index);
    let fn = known.named.get(functionId);
    if (fn === undefined) {
      const { start, isGuess } = table.range(index);
      const found = image.nameOf(table, index);
      if ('reason' in found) return unnamed(known, found.reason, start);
      fn = { module, frameType: 'native', name: found.name, ...(isGuess ? { isGuess } : {}) };
      known.named.set(functionId, fn);
    }
    return fn;
  }

  /** The function at a kernel address: signed, exact for canonical ones. */
  kernel(address: number): FunctionInfo {
    return this.#kernel.at(address);
  }

  /** Kernel modules came or went: their symbols are read again at the next look-up. */
  reloadKernel(): void {
    this.#kernel.reload();
  }

  /** Closes all files. Look-ups of files end here. */
  close(): void {
    for (const image of this.#images.values()) image.close();
    this.#images.clear();
    this.#modules.clear();
  }

  #known(moduleId: number): KnownModule {
    const known = this.#modules.get(moduleId);
    assert(known !== undefined, `module ${moduleId} was added`);
    return known;
  }

  #limitOpenFiles(): void {
    while (this.openFiles > this.#maxOpenFiles) {
      const image = leastUsed([...this.#images.values()].filter((i) => i.isOpen));
      image.closeFile();
      this.#limitBytes(image);
    }
  }

  /** Forgets tables until the rest fits, `newest` last. */
  #limitBytes(newest: ModuleImage): void {
    while (this.#imageBytes() > this.#maxBytes) {
      const others = [...this.#images.values()].filter((i) => i.keptBytes > 0 && i !== newest);
      if (others.length === 0) newest.close();
      else leastUsed(others).forget();
    }
  }

  #imageBytes(): number {
    let sum = 0;
    for (const image of this.#images.values()) sum += image.keptBytes;
    return sum;
  }
}

function imageKey(id: number, module: Module): string {
  return module.buildId === '' ? `module ${id}` : module.buildId;
}

function vdsoInstead(opened: Opened): Opened {
  if ('fd' in opened) closeFile(opened.fd);
  return openVdso();
}

/** Of at least one. */
function leastUsed(images: readonly ModuleImage[]): ModuleImage {
  return images.reduce((a, b) => (b.lastUse < a.lastUse ? b : a));
}

/** The module as it is shown: with the file's own build id where the caller knew none. */
function moduleOf(known: KnownModule): Module {
  const { givenModule, image } = known;
  known.module ??= givenModule.buildId === '' && image.buildId !== ''
    ? { ...givenModule, buildId: image.buildId } : givenModule;
  return known.module;
}

function pageOf(address: number): number {
  return Math.floor(address / pageBytes) * pageBytes;
}

function unnamed(known: KnownModule, reason: NameReason, start: number): FunctionInfo {
  const key = `${reason} ${start}`;
  let fn = known.unnamed.get(key);
  if (fn === undefined) {
    fn = { module: moduleOf(known), frameType: 'native', name: '', reason, start };
    known.unnamed.set(key, fn);
  }
  return fn;
}
