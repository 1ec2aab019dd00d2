// What kernel tests share: the reason to skip, a fixture compiled, which objects of ours the kernel still
// has.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import koffi from 'koffi';
import { readFdInfo } from '../../bpf/fd-info.js';
import { loadProbe, type LoadOptions } from '../../bpf/life.js';
import { BpfMap } from '../../bpf/map.js';
import type { MapShape } from '../../ffi/libbpf.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { Hook, ProbeDescriptor } from '../../bpf/descriptor.js';

/** Undefined when kernel tests can run here. */
export function skipReason(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root to load BPF programs';
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'needs a kernel with BTF';
  return undefined;
}

/** Compiles test/fixtures/NAME.bpf.c; returns the object's path. */
export function compileBpf(name: string): string {
  return compile(`test/fixtures/${name}.bpf.c`, ['-I', 'dist/bpf/include']);
}

/** Compiles a probe with the runtimes of a folder; returns the object's path. */
export async function compileProbe(name: string, runtimesFolder: string): Promise<string> {
  const build = new URL('../../../scripts/build.mjs', import.meta.url).href;
  const { runtimesHeader } = (await import(build)) as { runtimesHeader: (folder: string) => string };
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-runtimes-'));
  writeFileSync(join(folder, 'runtimes.h'), runtimesHeader(resolve(runtimesFolder)));
  return compile(`bpf/probes/${name}.bpf.c`, ['-I', folder]);
}

function compile(source: string, moreFlags: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-bpf-'));
  const object = join(folder, basename(source).replace(/c$/, 'o'));
  const flags = ['-target', 'bpf', '-mcpu=v2', '-O2', '-g', '-Wall', '-Werror', '-D__TARGET_ARCH_x86'];
  const include = ['-I', 'bpf/include', '-I', '/usr/include/x86_64-linux-gnu'];
  execFileSync('clang', [...flags, ...moreFlags, ...include, '-c', source, '-o', object]);
  return object;
}

export function descriptorOf(name: string, hooks: readonly Hook[]): ProbeDescriptor {
  return { name, summary: 'a test', hooks, knobs: {}, constants: [], outputs: [] };
}

export const requiredHook = (program: string): Hook => ({ program, attach: 'auto', isRequired: true });

/** Loads with nothing set. */
export function loadFixture(
  objectPath: string,
  hooks: readonly Hook[],
  more: Partial<LoadOptions> = {},
): LoadedProbe {
  return loadProbe({
    objectPath,
    descriptor: descriptorOf('fixture', hooks),
    rodata: {},
    maxEntries: {},
    verbosity: 0,
    log: () => {},
    ...more,
  });
}

/** What the probe has in the kernel: its programs, and the maps that the hooks fixture has. */
export function idsOf(probe: LoadedProbe): { programs: number[]; maps: number[] } {
  const maps = ['table', 'hooks.bss', 'hooks.rodata'].map((name) => probe.map(name).fd);
  return {
    programs: probe.programs().map(({ id }) => id),
    maps: maps.map((fd) => Number(readFdInfo(fd)['map_id'])),
  };
}

/** Ids of all programs or maps in the kernel, as any root process may list them. */
export function kernelIds(kind: 'prog' | 'map'): Set<number> {
  const next = koffi.load('libbpf.so.1').func(`bpf_${kind}_get_next_id`, 'int', ['uint32', 'void *']);
  const ids = new Set<number>();
  const id = new Uint32Array(1);
  while (next(id[0], id) === 0) ids.add(id[0] ?? 0);
  return ids;
}

/** A map of the kernel by its id; the descriptor goes with the process. */
export function openMapById(id: number, shape: Omit<MapShape, 'flags'>): BpfMap {
  const open = koffi.load('libbpf.so.1').func('bpf_map_get_fd_by_id', 'int', ['uint32']);
  return new BpfMap(`map ${id}`, open(id) as number, shape);
}

/** Waits until none of these ids is left; the kernel frees after a grace period. False when some stay for
 *  10 s. */
export async function areGone(kind: 'prog' | 'map', ids: Iterable<number>): Promise<boolean> {
  for (let round = 0; round < 100; round++) {
    const present = kernelIds(kind);
    if (![...ids].some((id) => present.has(id))) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}
