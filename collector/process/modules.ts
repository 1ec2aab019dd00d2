// The files behind mappings, each once, as side-band records and /proc/PID/maps name them: by path,
// device and inode. Its build id is learned by whoever reads the file.

import type { Module } from '../../storage/model/frame.js';
import type { MetContent } from './file-contents.js';
import { FileContents } from './file-contents.js';

/** `file` may be opened by its path; `anonymous` is memory without a file (JIT code); `other` has a
 *  name, but no file that can be opened by it (memfd, [vsyscall]). */
export type ModuleKind = 'file' | 'vdso' | 'anonymous' | 'other';

export interface ModuleRef {
  /** Counts up from 0, one per distinct file, never used again. */
  readonly id: number;
  /** buildId is '': only the file itself can tell it. */
  readonly module: Module;
  /** `major:minor`. */
  readonly device: string;
  readonly inode: bigint;
  readonly kind: ModuleKind;
  /** It was unlinked when it was seen: its path may name another file by now. */
  readonly isDeleted: boolean;
  readonly contents: FileContents;
}

/** A file as a record or a line of maps names it. */
export interface FileIdentity {
  /** As written by the kernel, with its " (deleted)" suffix if there is one. */
  readonly path: string;
  readonly device: string;
  readonly inode: bigint;
}

const DELETED = ' (deleted)';
const anonymousNames =
  /^(?:|\/\/anon|\[heap\]|\[stack(:\d+)?\]|\[anon(_shmem)?:.*\]|\/dev\/zero|\/anon_hugepage)$/s;
/** The last one: `anon_inode:[perf_event]`, `//toolong`, `[vsyscall]`; a
 *  path begins with one slash. */
const pathlessNames = /^(?:\/memfd:.*|\/SYSV[0-9a-f]{8}|(?!\/[^/]).*)$/s;

/** Interns modules. **Limits**: at `limit` modules new files become one `other`
 *  module without a name, counted. */
export class ModuleTable {
  /** Times that a file found no room. */
  overflows = 0;
  readonly #limit: number;
  /** By path as the kernel writes it. */
  readonly #byPath = new Map<string, ModuleRef[]>();
  /** By device and inode: a file may have several paths. */
  readonly #byInode = new Map<string, ModuleRef[]>();
  readonly #overflow: ModuleRef;
  readonly #anonymous: ModuleRef;
  #nextId = 0;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
    const nothing = { path: '', device: '', inode: 0n };
    this.#overflow = this.#make(nothing, 'other');
    this.#anonymous = this.#make(nothing, 'anonymous');
  }

  /** Distinct files. */
  get size(): number {
    return this.#size;
  }

  intern(file: FileIdentity): ModuleRef {
    const samePath = this.#byPath.get(file.path);
    const known = samePath?.find((module) => isSameFile(module, file));
    if (known !== undefined) return known;
    const kind = kindOf(file.path);
    if (kind === 'anonymous') return this.#anonymous;
    if (this.#size >= this.#limit) {
      this.overflows++;
      return this.#overflow;
    }
    const module = this.#make(file, kind);
    this.#size++;
    this.#keep(file.path, module);
    return module;
  }

  /** A stack met this content in a file: a module, or one that has these numbers. */
  met(file: Pick<FileIdentity, 'device' | 'inode'>, content: MetContent): void {
    for (const module of this.#byInode.get(inodeKey(file)) ?? []) module.contents.met(content);
  }

  /** Forgets the modules that are not in `used`. */
  retain(used: ReadonlySet<ModuleRef>): void {
    this.#size = 0;
    const before = [...this.#byPath];
    this.#byPath.clear();
    this.#byInode.clear();
    for (const [path, modules] of before) {
      const kept = modules.filter((module) => used.has(module));
      this.#size += kept.length;
      for (const module of kept) this.#keep(path, module);
    }
  }

  /** `path` as the kernel writes it. */
  #keep(path: string, module: ModuleRef): void {
    addTo(this.#byPath, path, module);
    if (module.kind === 'file') addTo(this.#byInode, inodeKey(module), module);
  }

  #make(file: FileIdentity, kind: ModuleKind): ModuleRef {
    const path = withoutSuffix(file.path);
    const name = path.slice(path.startsWith('/') ? path.lastIndexOf('/') + 1 : 0);
    const module = { name, path, buildId: '' };
    const isDeleted = path !== file.path;
    const { device, inode } = file;
    const [sameFile] = (kind === 'file' && this.#byInode.get(inodeKey(file))) || [];
    const newId = () => this.#nextId++;
    const contents = new FileContents(newId, sameFile?.contents);
    return { id: newId(), module, device, inode, kind, isDeleted, contents };
  }
}

function addTo(map: Map<string, ModuleRef[]>, key: string, module: ModuleRef): void {
  const modules = map.get(key);
  if (modules === undefined) map.set(key, [module]);
  else modules.push(module);
}

function inodeKey({ device, inode }: Pick<FileIdentity, 'device' | 'inode'>): string {
  return `${device} ${inode}`;
}

function isSameFile(module: ModuleRef, file: FileIdentity): boolean {
  if (module.kind === 'vdso') return true;
  return module.device === file.device && module.inode === file.inode;
}

function kindOf(writtenPath: string): ModuleKind {
  const path = withoutSuffix(writtenPath);
  if (path === '[vdso]') return 'vdso';
  if (anonymousNames.test(path)) return 'anonymous';
  return pathlessNames.test(path) ? 'other' : 'file';
}

function withoutSuffix(path: string): string {
  return path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
}
