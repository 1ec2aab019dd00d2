// Opens the files that samples fell into, once each, inside the root of a process that maps them.
// Opening is asynchronous: a slow disk delays the flush's message, never the front. (front)

import { fstatSync, statfsSync } from 'node:fs';
import { closeFd } from '../../ffi/libc.js';
import { openInRoot, openMapped } from '../../ffi/open-in-root.js';
import type { OpenResult } from '../../ffi/open-in-root.js';
import type { NameReason } from '../../storage/model/frame.js';
import type { OpenedModule } from '../messages.js';
import type { SampledModule } from '../pipeline/samples.js';
import type { ModuleRef } from '../process/modules.js';
import { fileStamp } from '../symbols/file-reader.js';

/** A file, and where a process had it mapped. */
export type SeenModule = SampledModule;

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
    const fresh = seen.filter(({ content }) => !this.#known.delete(content.id));
    for (const { content } of seen) this.#known.add(content.id);
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

  #openInTime(seen: SeenModule): Promise<OpenedModule> {
    const { id } = seen.content;
    const { module } = seen.module;
    return new Promise((resolve) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        resolve({ id, module, opened: { reason: 'over-budget' } });
      }, PATIENCE_MS);
      void openSeen(seen).then((opened) => {
        clearTimeout(timer);
        const result = { id, module, opened };
        if (!isLate) resolve(result);
        else if (this.#known.has(id)) this.#late.push(result);
        else if ('fd' in opened) closeFd(opened.fd);
      });
    });
  }
}

/** By the path that the process sees, or as it has it mapped; the caller closes it. Of what holds
 *  something else than was sampled there is no descriptor. */
export async function openSeen(
  seen: Omit<SeenModule, 'content'> & Partial<Pick<SeenModule, 'content'>>,
): Promise<OpenedModule['opened']> {
  const { kind, inode } = seen.module;
  const stamp = seen.content === undefined ? '' : seen.content.stamp;
  if (kind !== 'file') return { reason: 'no-symbols' };
  if (stamp === undefined) return { reason: 'file-changed' };
  const isRight = async (fd: number) => !isOther(fd, inode) && [fileStamp(fd), ''].includes(stamp);
  const opened = await openModule(seen, isRight);
  return 'fd' in opened ? { ...opened, stamp: fileStamp(opened.fd) } : opened;
}

/** Opens the file: by its path in the root of the process, as the mapping itself (which also finds
 *  what was deleted, and needs CAP_CHECKPOINT_RESTORE), and by its path in ours: the process may be
 *  gone. The first that `isRight` is taken; the caller closes it. A module that is
 *  not known, or has no path, is opened as the mapping. */
export async function openModule(
  { module, tgid, start, limit }: Omit<SeenModule, 'module' | 'content'> & { readonly module?: ModuleRef },
  isRight: (fd: number) => Promise<boolean>,
): Promise<{ readonly fd: number } | { readonly reason: NameReason }> {
  const path = module?.kind === 'file' ? module.module.path : undefined;
  const ways: (() => Promise<OpenResult>)[] = [() => openMapped(tgid, start, limit)];
  if (path !== undefined) {
    ways.splice(module?.isDeleted === true ? 1 : 0, 0, () => openInRoot(`/proc/${tgid}/root`, path));
    ways.push(() => openInRoot('/', path));
  }
  let reason: NameReason | undefined;
  for (const open of ways) {
    const result = await open();
    if ('errno' in result) {
      reason ??= reasonOf(result.errno);
      continue;
    }
    if (await isRight(result.fd)) return { fd: result.fd };
    closeFd(result.fd);
    reason = 'file-changed';
  }
  return { reason: reason ?? 'file-gone' };
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
