// Opens the files that samples fell into, once each, inside the root of a process that maps them.
// Opening is asynchronous: a slow disk delays the flush's message, never the front. (front)

import { fstatSync, statfsSync } from 'node:fs';
import { closeFd } from '../../ffi/libc.js';
import { openInRoot } from '../../ffi/open-in-root.js';
import type { NameReason } from '../../storage/model/frame.js';
import type { OpenedModule } from '../messages.js';
import type { ModuleRef } from '../process/modules.js';

/** A file, and a process that had it mapped. */
export interface SeenModule {
  readonly module: ModuleRef;
  readonly tgid: number;
}

/** Files known to the back; those sampled least recently are forgotten, and
 *  opened again should they return. */
const MAX_KNOWN = 4096;
/** A flush waits so long for slow disks; what opens later goes with the next one. */
const PATIENCE_MS = 2_000;
/** f_type of overlayfs, linux/magic.h: mappings may name the inode of the layer below. */
const OVERLAYFS_MAGIC = 0x794c7630;

export class ModuleOpener {
  /** Ids, the most recently sampled last. */
  readonly #known = new Set<number>();
  #late: OpenedModule[] = [];

  /** The modules that the back does not know, each with a descriptor or the reason why there
   *  is none; and the ids that it may forget. One that took too long comes twice: first
   *  without, then with its descriptor. */
  async open(
    seen: readonly SeenModule[],
  ): Promise<{ readonly opened: OpenedModule[]; readonly forgotten: number[] }> {
    const fresh = seen.filter(({ module }) => !this.#known.delete(module.id));
    for (const { module } of seen) this.#known.add(module.id);
    const surplus = this.#known.size - Math.max(MAX_KNOWN, seen.length);
    const forgotten = [...this.#known].slice(0, Math.max(0, surplus));
    for (const id of forgotten) this.#known.delete(id);
    const late = this.#late;
    this.#late = [];
    const opened = await Promise.all(fresh.map((each) => this.#openInTime(each)));
    return { opened: [...late, ...opened], forgotten };
  }

  /** The back did not get these. */
  takeBack(modules: readonly OpenedModule[]): void {
    for (const { id, opened } of modules) {
      this.#known.delete(id);
      if ('fd' in opened) closeFd(opened.fd);
    }
  }

  #openInTime({ module, tgid }: SeenModule): Promise<OpenedModule> {
    const { id } = module;
    return new Promise((resolve) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        resolve({ id, module: module.module, opened: { reason: 'over-budget' } });
      }, PATIENCE_MS);
      void openModule(module, tgid).then((opened) => {
        clearTimeout(timer);
        const result = { id, module: module.module, opened };
        if (!isLate) resolve(result);
        else if (this.#known.has(id)) this.#late.push(result);
        else if ('fd' in opened) closeFd(opened.fd);
      });
    });
  }
}

async function openModule(module: ModuleRef, tgid: number): Promise<OpenedModule['opened']> {
  if (module.kind !== 'file') return { reason: 'no-symbols' };
  const { path } = module.module;
  let result = await openInRoot(`/proc/${tgid}/root`, path);
  // The process is gone: most share our root, and who does not is found out by build id or inode.
  if ('errno' in result && (result.errno === 'ENOENT' || result.errno === 'ESRCH')) {
    result = await openInRoot('/', path);
  }
  if ('errno' in result) return { reason: reasonOf(result.errno) };
  if (isOther(result.fd, module.inode)) {
    closeFd(result.fd);
    return { reason: 'file-changed' };
  }
  return { fd: result.fd };
}

function isOther(fd: number, inode: bigint): boolean {
  if (inode === 0n || fstatSync(fd, { bigint: true }).ino === inode) return false;
  return statfsSync(`/proc/self/fd/${fd}`).type !== OVERLAYFS_MAGIC;
}

function reasonOf(errno: string): NameReason {
  if (errno === 'EACCES' || errno === 'EPERM') return 'no-permission';
  if (errno === 'EINVAL') return 'not-elf';
  if (errno === 'EMFILE' || errno === 'ENFILE' || errno === 'EAGAIN' || errno === 'ETIMEDOUT') {
    return 'over-budget';
  }
  return 'file-gone';
}
