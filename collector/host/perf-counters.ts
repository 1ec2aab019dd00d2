// perf events that only count: in groups that are scheduled and read together, on each CPU for all
// threads or for those of a cgroup. What a group counted since the last read is told; an event that
// cannot be had is noted once with the reason, and its group counts without it.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { closeFd } from '../../ffi/libc.js';
import { enablePerfEvent, openPerfEvent, perfType, readBit } from '../../ffi/perf-event.js';
import type { PerfTarget } from '../../ffi/perf-event.js';
import { groupDelta, parseGroupRead } from '../pipeline/perf-group.js';
import type { GroupCounts, GroupDelta } from '../pipeline/perf-group.js';
import type { CounterEvent } from './pmu-events.js';

export interface CounterPlan {
  /** The events of each group. */
  readonly groups: readonly (readonly CounterEvent[])[];
  /** Paths of cgroups below `cgroupRoot`. */
  readonly cgroups: readonly string[];
  /** Where version 2 is mounted; undefined when it is not. */
  readonly cgroupRoot: string | undefined;
  readonly hybridTypes: ReadonlyMap<number, bigint>;
  /** Events x CPUs x cgroups that may be open. */
  readonly maxDescriptors: number;
}

/** What a group counted on a CPU since it was read last; `cgroup` is '' for the whole CPU. */
export interface CountedGroup {
  readonly cpu: number;
  readonly cgroup: string;
  readonly events: readonly CounterEvent[];
  readonly delta: GroupDelta;
}

interface OpenGroup {
  readonly events: readonly CounterEvent[];
  /** The leader's first. */
  readonly fds: readonly number[];
  last: GroupCounts;
}

interface Scope {
  readonly cpu: number;
  readonly cgroup: string;
  readonly folder?: CgroupFolder;
}

interface CgroupFolder {
  readonly fd: number;
  readonly inode: number;
}

const FORMAT = readBit.timeEnabled | readBit.timeRunning | readBit.group;
export const maxGroupEvents = 32;
const bytes = Buffer.alloc(24 + 8 * maxGroupEvents);

export class PerfCounters {
  /** Reads that gave nothing and counts that went backwards. */
  broken = 0;
  readonly #plan: CounterPlan;
  readonly #note: (text: string) => void;
  /** Path -> its open folder. */
  readonly #cgroups = new Map<string, CgroupFolder>();
  /** By CPU and cgroup: empty when there is nothing to count. */
  readonly #scopes = new Map<string, { readonly scope: Scope; readonly groups: OpenGroup[] }>();
  /** Event, and whether for a cgroup -> why it cannot be had. */
  readonly #absent = new Map<string, string>();
  #descriptors = 0;

  constructor(plan: CounterPlan, note: (text: string) => void) {
    this.#plan = plan;
    this.#note = note;
  }

  get descriptors(): number {
    return this.#descriptors;
  }

  /** Opens what is missing for these CPUs and the cgroups that exist, closes what is gone. */
  follow(online: readonly number[]): void {
    this.#followCgroups();
    for (const [key, { scope }] of this.#scopes) {
      const isThere = this.#cgroups.get(scope.cgroup) === scope.folder;
      if (!isThere || !online.includes(scope.cpu)) this.#closeScope(key);
    }
    const before = this.#absent.size;
    for (const cpu of online) {
      this.#openScope({ cpu, cgroup: '' });
      for (const [cgroup, folder] of this.#cgroups) this.#openScope({ cpu, cgroup, folder });
    }
    if (this.#absent.size > before) this.#note(absentText(this.#absent));
  }

  /** What was counted since the last call, or since the events were opened. */
  read(): readonly CountedGroup[] {
    const counted: CountedGroup[] = [];
    for (const { scope, groups } of this.#scopes.values()) {
      let isDead = false;
      for (const group of groups) {
        const now = readGroup(group);
        const delta = now && groupDelta(group.last, now);
        if (now === undefined) this.broken++;
        if (now === undefined || delta === undefined) continue;
        this.broken += delta.backwards;
        group.last = now;
        isDead ||= scope.cgroup === '' && delta.enabledNs === 0;
        counted.push({ cpu: scope.cpu, cgroup: scope.cgroup, events: group.events, delta });
      }
      // A CPU that went offline took its events along, and they do not come back with it.
      if (isDead) this.#closeCpu(scope.cpu);
    }
    return counted;
  }

  close(): void {
    for (const key of this.#scopes.keys()) this.#closeScope(key);
    for (const { fd } of this.#cgroups.values()) closeSync(fd);
    this.#cgroups.clear();
  }

  /** A cgroup may come, go, and come again under its old name. */
  #followCgroups(): void {
    const { cgroups, cgroupRoot } = this.#plan;
    if (cgroupRoot === undefined) return;
    for (const path of cgroups) {
      const inode = statSync(cgroupRoot + path, { throwIfNoEntry: false })?.ino;
      const known = this.#cgroups.get(path);
      if (known !== undefined && known.inode === inode) continue;
      if (known !== undefined) closeSync(known.fd);
      this.#cgroups.delete(path);
      if (inode === undefined) continue;
      try {
        this.#cgroups.set(path, { fd: openSync(cgroupRoot + path, 'r'), inode });
      } catch {
        // It went meanwhile; the next round looks again.
      }
    }
  }

  #openScope(scope: Scope): void {
    const key = `${scope.cpu} ${scope.cgroup}`;
    if (this.#scopes.has(key)) return;
    const groups: OpenGroup[] = [];
    for (const events of this.#plan.groups) {
      let waiting = events.filter(
        (event) =>
          (event.cpus === undefined || event.cpus.includes(scope.cpu)) &&
          !this.#absent.has(event.name) &&
          !this.#absent.has(absentKey(event, scope)),
      );
      if (this.#descriptors + waiting.length > this.#plan.maxDescriptors) {
        this.#note(
          `counters: more than limits.counterDescriptors (${this.#plan.maxDescriptors}) are ` +
            'asked for; some CPUs or cgroups are not counted',
        );
        break;
      }
      // What the unit cannot count beside the others gets a group of its own.
      while (waiting.length > 0) {
        const { group, left } = this.#openGroup(waiting, scope);
        if (group !== undefined) groups.push(group);
        waiting = left;
      }
    }
    this.#scopes.set(key, { scope, groups });
  }

  #openGroup(
    events: readonly CounterEvent[],
    scope: Scope,
  ): { readonly group: OpenGroup | undefined; readonly left: CounterEvent[] } {
    const opened: CounterEvent[] = [];
    const fds: number[] = [];
    const left: CounterEvent[] = [];
    for (const event of events.slice(0, maxGroupEvents)) {
      const result = this.#open(event, scope, fds[0]);
      if ('fd' in result) {
        opened.push(event);
        fds.push(result.fd);
      } else if (fds.length > 0 && result.errno === 'EINVAL') left.push(event);
      else if (result.errno !== 'ENODEV') this.#absent.set(absentKey(event, scope), result.errno);
    }
    left.push(...events.slice(maxGroupEvents));
    if (fds[0] === undefined) return { group: undefined, left };
    enablePerfEvent(fds[0]);
    this.#descriptors += fds.length;
    const last = { enabledNs: 0n, runningNs: 0n, values: [] };
    return { group: { events: opened, fds, last }, left };
  }

  #open(event: CounterEvent, scope: Scope, leader: number | undefined) {
    const isOfCore = event.type === perfType.hardware || event.type === perfType.hwCache;
    const hybrid = isOfCore ? (this.#plan.hybridTypes.get(scope.cpu) ?? 0n) : 0n;
    const { type, config1, config2, flags } = event;
    const attr = { type, config: event.config | hybrid, config1, config2, readFormat: FORMAT };
    const target: PerfTarget = {
      cpu: scope.cpu,
      ...(scope.folder === undefined ? {} : { cgroupFd: scope.folder.fd }),
      ...(leader === undefined ? {} : { groupFd: leader }),
    };
    const own = leader === undefined ? [...flags, 'disabled' as const] : flags;
    return openPerfEvent({ ...attr, flags: own }, target);
  }

  #closeCpu(cpu: number): void {
    for (const [key, { scope }] of this.#scopes) if (scope.cpu === cpu) this.#closeScope(key);
  }

  #closeScope(key: string): void {
    for (const { fds } of this.#scopes.get(key)?.groups ?? []) {
      for (const fd of fds) closeFd(fd);
      this.#descriptors -= fds.length;
    }
    this.#scopes.delete(key);
  }
}

function readGroup({ fds, events }: OpenGroup): GroupCounts | undefined {
  try {
    const length = readSync(fds[0]!, bytes, 0, bytes.length, null);
    return parseGroupRead(bytes.subarray(0, length), events.length);
  } catch {
    return undefined;
  }
}

function absentKey({ name }: CounterEvent, { cgroup }: Scope): string {
  return cgroup === '' ? name : `${name} for a cgroup`;
}

/** One sentence for all of them: `counters: not counted here: cycles, branches (ENOENT)`. */
export function absentText(absent: ReadonlyMap<string, string>): string {
  const byReason = new Map<string, string[]>();
  for (const [name, why] of absent) byReason.set(why, [...(byReason.get(why) ?? []), name]);
  const parts = [...byReason].map(([why, names]) => `${names.join(', ')} (${why})`);
  return `counters: not counted here: ${parts.join('; ')}`;
}
