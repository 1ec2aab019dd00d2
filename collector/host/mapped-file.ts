// The file behind a mapping that a stack went through, opened and proven to be the one: path and
// mapping may mean another file by the time they are looked at. (front)

import { fstat, statfs } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import * as wire from '../../bpf/generated/wire.js';
import type { NameReason } from '../../storage/model/frame.js';
import type { Mapping } from '../process/address-space.js';
import { openVdso } from '../symbols/vdso.js';
import type { FileIdentity } from '../unwind/table-cache.js';
import { openModule } from './module-opener.js';

const BTRFS = 0x9123683e;
const OVERLAYFS = 0x794c7630;
const TMPFS = 0x01021994;

const statsOf = promisify(fstat) as (fd: number, how: { bigint: true }) => Promise<BigIntStats>;
const fileSystemOf = promisify(statfs);

export interface MappedFile {
  /** The caller closes it. */
  readonly fd: number;
  /** Where the image begins in what the descriptor reads. */
  readonly origin: number;
  /** It has no name: memory shared by a descriptor, in which code is made at run time. */
  readonly isMemory: boolean;
  readonly identity: Omit<FileIdentity, 'content'>;
}

/** Never rejects. `anonymous`: no file, but memory. */
export async function openMappedFile(
  request: wire.FkFileRequest,
  mapping: Mapping | undefined,
): Promise<MappedFile | { readonly reason: NameReason }> {
  if (mapping?.module.kind === 'anonymous') return { reason: 'anonymous' };
  try {
    const opened = isVdso(request.file) ? openVdso() : await open(request, mapping);
    if ('reason' in opened) return opened;
    const { fd, origin = 0 } = opened;
    const { dev: device, ino: inode, mtimeNs, size, nlink } = await statsOf(fd, { bigint: true });
    const isMemory = nlink === 0n && (await fileSystem(fd)) === TMPFS;
    return { fd, origin, isMemory, identity: { device, inode, mtimeNs, sizeBytes: size } };
  } catch {
    return { reason: 'file-gone' };
  }
}

async function open(
  request: wire.FkFileRequest,
  mapping: Mapping | undefined,
): Promise<{ readonly fd: number; readonly origin?: number } | { readonly reason: NameReason }> {
  const { vm_start, vm_limit } = request;
  const { tgid } = request.incarnation;
  const place = { tgid, start: Number(vm_start), limit: Number(vm_limit) };
  const known = mapping && { module: mapping.module };
  const opened = await openModule({ ...place, ...known }, (fd) => isSameFile(fd, request));
  const isNamed = mapping === undefined || mapping.module.kind === 'file';
  // What is no regular file is a device, as /dev/zero.
  const isDevice = 'reason' in opened && opened.reason === 'not-elf';
  return 'reason' in opened && (isDevice || !isNamed) ? { reason: 'anonymous' } : opened;
}

/** Device and inode are the kernel's own. To user space btrfs shows one device a subvolume. Overlayfs
 *  shows numbers that may be neither's, and after a copy up another file than the one that is still
 *  mapped: there it is the content that has to be the same. */
async function isSameFile(fd: number, request: wire.FkFileRequest): Promise<boolean> {
  const { device, inode } = request.file;
  const stats = await statsOf(fd, { bigint: true });
  if (stats.ino === inode && stats.dev === userDevice(device)) return true;
  const type = await fileSystem(fd);
  if (type === BTRFS) return stats.ino === inode;
  return (
    type === OVERLAYFS && stats.mtimeNs === request.mtime_ns && stats.size === request.size_bytes
  );
}

async function fileSystem(fd: number): Promise<number> {
  return (await fileSystemOf(`/proc/self/fd/${fd}`)).type;
}

/** A device number as the kernel keeps it, major << 20 | minor, in the form of stat(2). */
export function userDevice(device: number): bigint {
  const major = BigInt(device >>> 20);
  const minor = BigInt(device & 0xfffff);
  return (minor & 0xffn) | (major << 8n) | ((minor & ~0xffn) << 12n);
}

function isVdso({ device, inode }: wire.FkFile): boolean {
  return device === 0 && inode === BigInt(wire.FkFileless.FK_INODE_VDSO);
}
