// What there is of BPF in the kernel, by bpftool, and who holds it: what nobody holds was left behind.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MAX_LISTINGS = 20;

const pinFolder = '/sys/fs/bpf';
/** The kernel frees maps and programs some time after their last descriptor is closed. */
const settleMs = 10_000;

interface Listed {
  readonly id: number;
  /** Of a program. */
  readonly map_ids?: readonly number[];
}

/** `prog 12`, `map 3`, `link 7`: all that the kernel has and no process holds by a descriptor or by a
 *  program that it holds so; and the pins. */
export function unheldObjects(): Set<string> {
  const programs = listed('prog');
  const ids = [...programs.map(({ id }) => `prog ${id}`), ...namesOf('map'), ...namesOf('link')];
  const held = heldObjects();
  for (const { id, map_ids } of programs) {
    if (held.has(`prog ${id}`)) for (const map of map_ids ?? []) held.add(`map ${map}`);
  }
  return new Set([...ids.filter((id) => !held.has(id)), ...pins()]);
}

/** What is unheld now but was not before and does not go away. */
export async function leftBehind(before: ReadonlySet<string>): Promise<string[]> {
  const newOnes = () => [...unheldObjects()].filter((id) => !before.has(id));
  let left = newOnes();
  for (const untilMs = Date.now() + settleMs; left.length > 0 && Date.now() < untilMs;) {
    await sleep(50);
    const now = new Set(newOnes());
    left = left.filter((id) => now.has(id));
  }
  return left;
}

/** What this process holds by descriptors, as in /proc/PID/fdinfo. */
export function objectsOf(pid: number | string): string[] {
  const folder = `/proc/${pid}/fdinfo`;
  return entries(folder).flatMap((fd) =>
    [...readOrEmpty(`${folder}/${fd}`).matchAll(/^(prog|map|link)_id:\s*(\d+)$/gm)].map(
      ([, kind, id]) => `${kind} ${id}`,
    ),
  );
}

/** How many perf events this process holds. */
export function perfEventsOf(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return entries(folder).filter((fd) => readlinkOrEmpty(`${folder}/${fd}`) === 'anon_inode:[perf_event]')
    .length;
}

/** Ids of these that the kernel still has. */
export function stillThere(objects: readonly string[]): string[] {
  const ids = new Set([...namesOf('prog'), ...namesOf('map'), ...namesOf('link')]);
  return objects.filter((object) => ids.has(object));
}

function heldObjects(): Set<string> {
  return new Set(
    entries('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap(objectsOf),
  );
}

function namesOf(kind: 'prog' | 'map' | 'link'): string[] {
  return listed(kind).map(({ id }) => `${kind} ${id}`);
}

/** bpftool gives up when an object comes or goes while it lists: then it is asked again. */
function listed(kind: 'prog' | 'map' | 'link'): Listed[] {
  for (let tries = 1; ; tries++) {
    const { status, stdout } = spawnSync('bpftool', ['-j', kind, 'list'], { encoding: 'utf8', maxBuffer: 64 << 20 });
    if (status === 0) return JSON.parse(stdout) as Listed[];
    assert.ok(tries < MAX_LISTINGS, `bpftool ${kind} list: ${stdout}`);
  }
}

function pins(): string[] {
  return existsSync(pinFolder)
    ? readdirSync(pinFolder, { recursive: true, encoding: 'utf8' }).map((path) => `pin ${path}`)
    : [];
}

/** Empty when the process is gone. */
function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const readOrEmpty = (path: string) => emptyIfGone(() => readFileSync(path, 'utf8'));
const readlinkOrEmpty = (path: string) => emptyIfGone(() => readlinkSync(path));

function emptyIfGone(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
