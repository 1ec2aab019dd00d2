// The files behind mappings, each once. A side-band record names a file by path and build id, or where the
// kernel gave none by device and inode; /proc/PID/maps always by device and inode. One file may so have two
// entries: whoever reads the file learns its build id and merges them.

import type { Module } from '../../storage/model/frame.js';

/** `file` may be opened by its path; `anonymous` is memory without a file (JIT code); `other` has a name, but
 *  no file that can be opened by it (memfd, [vsyscall]). */
export type ModuleKind = 'file' | 'vdso' | 'anonymous' | 'other';

export interface ModuleRef {
  /** Counts up from 0, one per distinct file, never used again. */
  readonly id: number;
  /** buildId is '' where only the file itself can tell it. */
  readonly module: Module;
  /** `major:minor`; '' where the build id stands for it. */
  readonly device: string;
  /** 0 where the build id stands for it. */
  readonly inode: bigint;
  readonly kind: ModuleKind;
  /** It was unlinked when it was seen: its path may name another file by now. */
  readonly isDeleted: boolean;
}

/** A file as a record or a line of maps names it. */
export interface FileIdentity {
  /** As written by the kernel, with its " (deleted)" suffix if there is one. */
  readonly path: string;
  readonly buildId: string;
  readonly device: string;
  readonly inode: bigint;
}

const DELETED = ' (deleted)';
const anonymousNames =
  /^(?:|\/\/anon|\[heap\]|\[stack(:\d+)?\]|\[anon(_shmem)?:.*\]|\/dev\/zero|\/anon_hugepage)$/s;
/** The last one: `anon_inode:[perf_event]`, `//toolong`, `[vsyscall]`; a path begins with one slash. */
const pathlessNames = /^(?:\/memfd:.*|\/SYSV[0-9a-f]{8}|(?!\/[^/]).*)$/s;

/** Interns modules. **Limits**: at `limit` modules new files become one anonymous-looking `other` module,
 *  counted. */
export class ModuleTable {
  /** Times that a file found no room. */
  overflows = 0;
  readonly #limit: number;
  readonly #byKey = new Map<string, ModuleRef>();
  #nextId = 0;
  readonly #overflow: ModuleRef;

  constructor(limit: number) {
    this.#limit = limit;
    this.#overflow = this.#make({ path: '', buildId: '', device: '', inode: 0n }, 'other', false);
  }

  get size(): number {
    return this.#byKey.size;
  }

  intern(file: FileIdentity): ModuleRef {
    const isDeleted = file.path.endsWith(DELETED);
    const path = isDeleted ? file.path.slice(0, -DELETED.length) : file.path;
    const kind = kindOf(path);
    const key = keyOf({ ...file, path }, kind, isDeleted);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= this.#limit) {
      this.overflows++;
      return this.#overflow;
    }
    const module = this.#make({ ...file, path }, kind, isDeleted);
    this.#byKey.set(key, module);
    return module;
  }

  /** Forgets the modules that are not in `used`. */
  retain(used: ReadonlySet<ModuleRef>): void {
    for (const [key, module] of this.#byKey) if (!used.has(module)) this.#byKey.delete(key);
  }

  #make(file: FileIdentity, kind: ModuleKind, isDeleted: boolean): ModuleRef {
    const path = kind === 'anonymous' ? '' : file.path;
    const name = path.slice(path.startsWith('/') ? path.lastIndexOf('/') + 1 : 0);
    const module = { name, path, buildId: file.buildId };
    return { id: this.#nextId++, module, device: file.device, inode: file.inode, kind, isDeleted };
  }
}

function kindOf(path: string): ModuleKind {
  if (path === '[vdso]') return 'vdso';
  if (anonymousNames.test(path)) return 'anonymous';
  return pathlessNames.test(path) ? 'other' : 'file';
}

function keyOf(file: FileIdentity, kind: ModuleKind, isDeleted: boolean): string {
  if (kind === 'anonymous') return '';
  if (kind === 'vdso') return file.path;
  const identity = file.buildId !== '' ? file.buildId : `${file.device} ${file.inode}`;
  return `${file.path}\0${identity}\0${isDeleted ? 'deleted' : ''}`;
}
