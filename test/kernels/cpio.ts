// An initramfs, written entry by entry: cpio in its "newc" format, uncompressed.
// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

import { closeSync, openSync, writeSync } from 'node:fs';

const FOLDER = 0o040755;
const FILE = 0o100000;
const SYMLINK = 0o120777;
const ALIGNMENT = 4;

export class CpioWriter {
  readonly #fd: number;
  readonly #names = new Set<string>();
  #inode = 1;

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }

  /** And the folders above it. A second one of that name is left out, here and below. */
  folder(name: string): void {
    if (name === '' || name === '.') return;
    this.#add(name, FOLDER, Buffer.alloc(0));
  }

  file(name: string, content: Buffer, permissions: number): void {
    this.#add(name, FILE | permissions, content);
  }

  symlink(name: string, target: string): void {
    this.#add(name, SYMLINK, Buffer.from(target));
  }

  close(): void {
    this.#write('TRAILER!!!', 0, Buffer.alloc(0));
    closeSync(this.#fd);
  }

  #add(name: string, mode: number, content: Buffer): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.folder(name.split('/').slice(0, -1).join('/'));
    this.#write(name, mode, content);
  }

  #write(name: string, mode: number, content: Buffer): void {
    const [owner, group, links, time, device] = [0, 0, 1, 0, [0, 0, 0, 0]];
    const nameSize = Buffer.byteLength(name) + 1;
    const fields = [
      this.#inode++,
      mode,
      owner,
      group,
      links,
      time,
      content.length,
      ...device,
      nameSize,
      0,
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    writeAll(this.#fd, aligned(Buffer.from(`${header}${name}\0`)));
    writeAll(this.#fd, aligned(content));
  }
}

function aligned(bytes: Buffer): Buffer {
  const excess = bytes.length % ALIGNMENT;
  return excess === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(ALIGNMENT - excess)]);
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}
