// What tests of latency probes share: a probe run while something works, its streams by label.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { ProbeDescriptor } from '../../bpf/descriptor.js';
import { FLIP_PAUSE_MS } from '../../bpf/generations.js';
import { loadProbe } from '../../bpf/life.js';
import type { RodataValue } from '../../bpf/rodata.js';
import { blockDeviceName } from '../../collector/host/block-devices.js';
import { openProbeMetrics } from '../../collector/host/probe-metrics.js';
import type { KeyNaming } from '../../collector/pipeline/metric-columns.js';
import type { SampledMapping } from '../../collector/pipeline/samples.js';
import type { Counters } from '../../storage/model/completeness.js';
import { slotBoundsNs, slotOfNs } from '../../storage/model/histogram.js';
import { buildFixture, objectPath, sleep } from './probe-support.js';

export interface MeasuredRow {
  readonly labels: Readonly<Record<string, string | number>>;
  /** Of a histogram: slot -> delays. */
  readonly slots: ReadonlyMap<number, number>;
  readonly count: number;
  /** Of a counter its value. */
  readonly sumNs: number;
}

export interface Measured {
  readonly counters: Counters;
  readonly rows: readonly MeasuredRow[];
}

/** Names as plain as they come: no process is folded, a cgroup is its id. */
export const plainNaming: KeyNaming = {
  image: (tgid) => ({
    id: tgid,
    tgid,
    isFolded: false,
    startUnixMs: 1,
    comm: commOf(tgid),
    executable: '',
    threadName: (tid) => String(tid),
    findMapping: () => undefined,
    contentOf: ({ module }: SampledMapping) => module.contents.at(0, 0, 1),
  }),
  cgroupPath: (id) => String(id),
  userName: (uid) => String(uid),
  deviceName: blockDeviceName,
};

export interface MeasureOptions {
  readonly settings?: Readonly<Record<string, number | boolean>>;
  readonly rodata?: Readonly<Record<string, RodataValue>>;
  readonly maxEntries?: Readonly<Record<string, number>>;
}

/** The probe's streams by name, after each call of `step`, until there are no more. */
export async function measure(
  descriptor: ProbeDescriptor,
  steps: readonly (() => Promise<unknown>)[],
  { settings = {}, rodata = {}, maxEntries = {} }: MeasureOptions = {},
): Promise<Map<string, Measured>[]> {
  const path = objectPath(descriptor.name);
  const log = (_: string, line: string) => console.log(line);
  const probe = loadProbe({ descriptor, objectPath: path, rodata, maxEntries, verbosity: 0, log });
  const metrics = openProbeMetrics({ file: { descriptor, objectPath: path }, probe, settings })!;
  const measured: Map<string, Measured>[] = [];
  try {
    probe.openGate();
    for (const step of steps) {
      await step();
      metrics.flip();
      await sleep(FLIP_PAUSE_MS + 1);
      measured.push(
        new Map(
          [...metrics.take({ naming: plainNaming })].flatMap((taken) => {
            if (taken === undefined) return [];
            const { info, counters, columns } = taken;
            if (!('keys' in columns)) throw new Error('metrics have keys');
            const rows = columns.keys.map((key, row): MeasuredRow => {
              const labels = Object.fromEntries(info.fields!.map(({ name }, i) => [name, key[i]!]));
              if (columns.kind !== 'histogram') {
                return { labels, slots: new Map(), count: 0, sumNs: columns.values[row]! };
              }
              const [from, to] = [columns.starts[row]!, columns.starts[row + 1]!];
              const slots = new Map<number, number>();
              for (let i = from; i < to; i++) slots.set(columns.slots[i]!, columns.counts[i]!);
              return { labels, slots, count: columns.totals[row]!, sumNs: columns.sumsNs[row]! };
            });
            return [[info.name, { counters, rows }] as const];
          }),
        ),
      );
    }
    return measured;
  } finally {
    metrics.close();
    probe.close();
  }
}

export function sumOf(rows: readonly MeasuredRow[], what: 'count' | 'sumNs' = 'sumNs'): number {
  return rows.reduce((sum, row) => sum + row[what], 0);
}

/** Of all the rows' delays together. **Errors**: throws where there are none. */
function slotAtRank(rows: readonly MeasuredRow[], share: number): number {
  const counts = new Map<number, number>();
  for (const { slots } of rows) {
    for (const [slot, count] of slots) counts.set(slot, (counts.get(slot) ?? 0) + count);
  }
  const sorted = [...counts].sort(([a], [b]) => a - b);
  let rank = Math.ceil(share * sorted.reduce((sum, [, count]) => sum + count, 0));
  for (const [slot, count] of sorted) {
    rank -= count;
    if (rank <= 0) return slot;
  }
  throw new Error('no delays');
}

/** The quantiles that are compared. */
const comparedShares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999];
/** One with fewer delays beyond it is one of a few stragglers. */
const minBeyond = 10;

/** How many slots each quantile lies from that of the delays that somebody else has measured. Two that
 *  look at the clock one after the other see delays that differ by up to `apartNs`: nearer ones give 0. */
export function quantilesOff(
  rows: readonly MeasuredRow[],
  delaysNs: readonly number[],
  { apartNs }: { readonly apartNs: number },
): number[] {
  const delays = delaysNs.toSorted((a, b) => a - b);
  const shares = comparedShares.filter((share) => Math.min(share, 1 - share) * delays.length >= minBeyond);
  return shares.map((share) => {
    const delayNs = delays[Math.ceil(share * delays.length) - 1]!;
    const slot = slotAtRank(rows, share);
    const { lowerNs, upperNs } = slotBoundsNs(slot);
    const isNear = delayNs >= lowerNs - apartNs && delayNs <= upperNs + apartNs;
    return isNear ? 0 : slot - slotOfNs(Math.round(delayNs));
  });
}

/** test/fixtures/pinned.c. */
export interface Pinned {
  readonly cpu: number;
  readonly nice?: number;
  readonly workUs?: number;
  /** 0: it works without end. */
  readonly napUs?: number;
  readonly cgroup?: string;
}

let builtProgram: string | undefined;

/** `program` is where it is built already. */
export function startPinned(
  { cpu, nice = 0, workUs = 1000, napUs = 0, cgroup }: Pinned,
  program?: string,
): ChildProcess {
  const path = program ?? (builtProgram ??= buildFixture('pinned.c', '-O1'));
  const numbers = [cpu, nice, workUs, napUs].map(String);
  return spawn(path, [...numbers, ...(cgroup === undefined ? [] : [cgroup])], { stdio: 'ignore' });
}

export async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }),
  );
}

/** A stopped process's own account of itself. */
export interface SwitchAccount {
  readonly pid: number;
  /** Times that it was switched out. */
  readonly switches: number;
  readonly runDelayNs: number;
}

/** Stops it and waits until it is off its CPU. */
export async function stopAndAsk(child: ChildProcess): Promise<SwitchAccount> {
  const pid = child.pid!;
  child.kill('SIGSTOP');
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) await sleep(5);
  await sleep(20);
  const schedstat = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return { pid, switches: switchesOf(`/proc/${pid}/status`), runDelayNs: Number(schedstat[1]) };
}

/** Some hosts keep tasks of their own, threads of process 1, out of every program's sight: nothing is
 *  traced while they run. This many times they were switched so far. */
export function hiddenSwitches(): number {
  try {
    const tids = readdirSync('/proc/1/task');
    return tids.reduce((sum, tid) => sum + switchesOf(`/proc/1/task/${tid}/status`), 0);
  } catch {
    return 0;
  }
}

function switchesOf(path: string): number {
  const status = readFileSync(path, 'utf8');
  const counts = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
