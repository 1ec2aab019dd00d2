// The root file system of a guest, as an initramfs: node, flamekeeper as it is built here with
// what it needs at run time, its libraries as ldd finds them, busybox, programs to look at, kernel
// modules. No compiler: what runs there is what an installed package has.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CpioWriter } from './cpio.js';

/** Where flamekeeper lies in the guest, and the programs. */
export const guestRoot = 'flamekeeper';
export const guestPrograms = 'programs';

const tools = ['/bin/busybox', '/usr/sbin/bpftool'];
/** Block devices to measure. */
const modules = ['loop', 'null_blk', 'virtio_pci', 'virtio_blk'];
const accounts = { 'etc/passwd': 'root:x:0:0:root:/:/bin/sh\n', 'etc/group': 'root:x:0:\n' };

/** Runs as process 1. The kernel has the console, the results the second serial line. */
const init = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
for module in /modules/*; do insmod $module; done
mount -t configfs configfs /sys/kernel/config
stty -F /dev/ttyS1 raw
cd /${guestRoot}
node dist/test/kernels/guest/main.js
echo "guest: node ended with $?"
poweroff -f
`;

export interface ImageOptions {
  readonly path: string;
  /** As scripts/kernels.mjs leaves it. */
  readonly kernelFolder: string;
  /** Name in the guest -> path here. */
  readonly programs: Readonly<Record<string, string>>;
}

export function writeImage({ path, kernelFolder, programs }: ImageOptions): void {
  const image = new CpioWriter(path);
  image.file('init', Buffer.from(init), 0o755);
  for (const [name, text] of Object.entries(accounts)) image.file(name, Buffer.from(text), 0o644);
  addFile(image, 'usr/bin/node', process.execPath);
  for (const tool of tools) addFile(image, tool.slice(1), tool);
  for (const [name, program] of Object.entries(programs))
    addFile(image, `${guestPrograms}/${name}`, program);
  const packages = runtimePackages();
  for (const folder of ['dist', ...packages]) addFolder(image, folder);
  for (const name of ['package.json', 'config/flamekeeper.yaml'])
    addFile(image, `${guestRoot}/${name}`, name);
  const native = packages.flatMap((folder) =>
    filesBelow(folder).filter((name) => name.endsWith('.node')),
  );
  const binaries = [process.execPath, ...tools, ...native, ...Object.values(programs), libbpf()];
  for (const library of librariesOf(binaries)) addFile(image, library.slice(1), library);
  addModules(image, kernelFolder);
  image.close();
}

function addFile(image: CpioWriter, name: string, path: string): void {
  image.file(name, readFileSync(path), statSync(path).mode & 0o777);
}

function addFolder(image: CpioWriter, folder: string): void {
  for (const name of filesBelow(folder)) addFile(image, `${guestRoot}/${name}`, name);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Folders of the packages that are no development dependencies, relative to the checkout. */
function runtimePackages(): string[] {
  const args = ['ls', '--omit=dev', '--all', '--parseable'];
  const listed = execFileSync('npm', args, { encoding: 'utf8' }).trim().split('\n').slice(1);
  return listed.map((path) => relative(process.cwd(), path));
}

function libbpf(): string {
  const cache = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  const path = process.env['FLAMEKEEPER_LIBBPF'] ?? /libbpf\.so\.1 .* => (.*)/.exec(cache)?.[1];
  if (path === undefined) throw new Error('libbpf.so.1 is not installed');
  return path;
}

/** And the binaries' interpreter; under the names by which they are asked for. */
function librariesOf(binaries: readonly string[]): Set<string> {
  const libraries = new Set([libbpf()]);
  for (const binary of binaries) {
    for (const [, path] of lddOf(binary).matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm))
      libraries.add(path!);
  }
  return libraries;
}

/** Empty for a static program, of which ldd says so with a failure. */
function lddOf(binary: string): string {
  try {
    return execFileSync('ldd', [realpathSync(binary)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}

/** In the order in which they can be loaded. */
function addModules(image: CpioWriter, kernelFolder: string): void {
  const release = readFileSync(join(kernelFolder, 'release'), 'utf8').trim();
  const args = ['-d', kernelFolder, '-S', release, '--all', '--show-depends', ...modules];
  const shown = execFileSync('/sbin/modprobe', args, { encoding: 'utf8' });
  const paths = [...shown.matchAll(/^insmod (\S+)/gm)].map(([, path]) => path!);
  for (const [index, path] of [...new Set(paths)].entries()) {
    const content = path.endsWith('.xz')
      ? execFileSync('xz', ['-dc', path], { maxBuffer: 64 << 20 })
      : readFileSync(path);
    image.file(`modules/${String(index).padStart(2, '0')}.ko`, content, 0o644);
  }
}
