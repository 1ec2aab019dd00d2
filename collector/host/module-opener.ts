// Opens the files that samples fell into, once each, inside the root of a process that maps them. Opening is
// asynchronous: a slow disk delays the flush's message, never the front. (front)

import { fstatSync } from 'node:fs';
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

/** Ids remembered; beyond, the oldest are forgotten and would be opened again. */
const MAX_KNOWN = 65_536;

export class ModuleOpener {
  readonly #known = new Set<number>();

  /** The modules not asked for before, each with a descriptor or the reason why there is none. */
  async open(seen: Iterable<SeenModule>): Promise<OpenedModule[]> {
    const fresh = [...seen].filter(({ module }) => !this.#known.has(module.id));
    for (const { module } of fresh) this.#known.add(module.id);
    for (const id of this.#known) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(id);
    }
    return Promise.all(
      fresh.map(async ({ module, tgid }) => ({ id: module.id, module: module.module, opened: await openModule(module, tgid) })),
    );
  }
}

async function openModule(module: ModuleRef, tgid: number): Promise<OpenedModule['opened']> {
  if (module.kind !== 'file') return { reason: 'no-symbols' };
  const { path } = module.module;
  let result = await openInRoot(`/proc/${tgid}/root`, path);
  // The process is gone: most share our root, and who does not is found out by build id or inode.
  if ('errno' in result && (result.errno === 'ENOENT' || result.errno === 'ESRCH')) result = await openInRoot('/', path);
  if ('errno' in result) return { reason: reasonOf(result.errno) };
  if (module.inode !== 0n && fstatSync(result.fd, { bigint: true }).ino !== module.inode) {
    closeFd(result.fd);
    return { reason: 'file-changed' };
  }
  return { fd: result.fd };
}

function reasonOf(errno: string): NameReason {
  if (errno === 'EACCES' || errno === 'EPERM') return 'no-permission';
  if (errno === 'EINVAL') return 'not-elf';
  if (errno === 'EMFILE' || errno === 'ENFILE' || errno === 'EAGAIN' || errno === 'ETIMEDOUT') return 'over-budget';
  return 'file-gone';
}
