// What tests of block latency share: a device's own counts, and the kernel's tracepoints beside ours.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { descriptor } from '../../bpf/probes/biolatency.js';
import { hasTracepoint, traceEvents } from '../support/ftrace.js';
import { measure, sumOf, type Measured, type MeasureOptions } from './metric-support.js';
import { sleep } from './probe-support.js';

export const operations = ['read', 'write', 'discard', 'flush'] as const;
export type OperationCounts = Readonly<Record<(typeof operations)[number], number>>;

export interface DiskStats extends OperationCounts {
  /** Requests and bios that became part of another request. */
  readonly merged: number;
}

/** Source: Documentation/block/stat.rst. */
export function diskStats(device: string): DiskStats {
  const text = readFileSync(`/sys/block/${device}/stat`, 'utf8');
  const columns = text.trim().split(/\s+/).map(Number);
  const [read, write, discard, flush] = [0, 4, 11, 15].map((column) => columns[column]!) as [
    number, number, number, number,
  ];
  return { read, write, discard, flush, merged: columns[1]! + columns[5]! };
}

/** Waits until its counts stand still: udev looks at every new device. */
export async function settle(device: string): Promise<void> {
  for (let quiet = 0, before = ''; quiet < 5;) {
    await sleep(100);
    const now = JSON.stringify(diskStats(device));
    quiet = now === before ? quiet + 1 : 0;
    before = now;
  }
}

export interface MeasuredDevice {
  /** The device's own rows; the counters are all devices'. */
  readonly block: Measured;
  /** What its counts grew by. */
  readonly deltas: DiskStats;
}

export async function measureDevice(
  name: string,
  work: () => Promise<unknown>,
  options: MeasureOptions = {},
): Promise<MeasuredDevice> {
  const before = diskStats(name);
  const [measured] = await measure(descriptor, [
    async () => {
      await work();
      await settle(name);
    },
  ], options);
  const after = diskStats(name);
  const all = measured!.get('block')!;
  const grown = Object.entries(after).map(([key, value]) => [key, value - before[key as keyof DiskStats]]);
  return {
    block: { ...all, rows: all.rows.filter(({ labels }) => labels['device'] === name) },
    deltas: Object.fromEntries(grown) as unknown as DiskStats,
  };
}

export function countOf({ rows }: Measured, phase: string, operation: string): number {
  const wanted = rows.filter(({ labels }) => labels['phase'] === phase && labels['operation'] === operation);
  return sumOf(wanted, 'count');
}

export interface BlockEvent {
  readonly us: number;
  /** insert, issue, requeue, merge, complete. */
  readonly event: string;
  /** R, W, D, FF, with S for synchronous and more. */
  readonly kind: string;
  readonly sector: string;
  readonly sectors: number;
}

/** The device's requests of a line of the tracer's or perf's, which print alike; undefined for others. */
export function parseRequest(device: string, text: string): Omit<BlockEvent, 'us' | 'event'> | undefined {
  const [major, minor] = readFileSync(`/sys/block/${device}/dev`, 'utf8').trim().split(':');
  const [, ofMajor, ofMinor, kind, sector, sectors] =
    /^(\d+),(\d+) (\w+) .*?\(.*?\) (\d+) \+ (\d+) /.exec(text) ?? [];
  if (ofMajor !== major || ofMinor !== minor) return undefined;
  return { kind: kind!, sector: sector!, sectors: Number(sectors) };
}

const events = ['insert', 'issue', 'requeue', 'merge', 'complete'];

/** The same beside the kernel's own tracer. */
export async function measureBesideTracer(
  name: string,
  work: () => Promise<unknown>,
): Promise<MeasuredDevice & { raw: BlockEvent[] }> {
  let measured: MeasuredDevice | undefined;
  const traced = await traceEvents(
    events.map((event) => `block/block_rq_${event}`).filter(hasTracepoint),
    async () => {
      measured = await measureDevice(name, work);
    },
  );
  const raw = traced.flatMap(({ us, name: event, text }) => {
    const request = parseRequest(name, text);
    return request === undefined ? [] : [{ us, event: event.slice('block_rq_'.length), ...request }];
  });
  return { ...measured!, raw };
}

/** Ours, and the kernel's less the empty flushes, which are not issued. `flushingWrites` are
 *  completed a second time, empty. */
export async function compareCounts(
  name: string,
  flushingWrites: number,
  work: () => Promise<unknown>,
): Promise<{ counted: OperationCounts; expected: OperationCounts }> {
  const { block, deltas, raw } = await measureBesideTracer(name, work);
  const empty = raw.filter(
    ({ event, kind, sectors }) => event === 'complete' && kind.startsWith('W') && sectors === 0,
  );
  for (const row of block.rows) {
    assert.equal([...row.slots.values()].reduce((sum, count) => sum + count, 0), row.count);
  }
  assert.ok(deltas.discard >= 2 && deltas.flush > 0 && empty.length > flushingWrites);
  const isQueued = countOf(block, 'queue', 'read') > 0;
  const scheduler = readFileSync(`/sys/block/${name}/queue/scheduler`, 'utf8');
  assert.equal(isQueued, !scheduler.includes('[none]'), 'without a scheduler nothing is inserted');
  const { read, write, discard, flush } = deltas;
  const counted = Object.fromEntries(
    operations.map((operation) => [operation, countOf(block, 'device', operation)]),
  ) as unknown as OperationCounts;
  return {
    counted,
    expected: { read, write: write - (empty.length - flushingWrites), discard, flush },
  };
}

/** block-io.c, as it is built. */
export type BlockIo = (device: string, ...steps: readonly string[]) => void;

export function blockIo(program: string): BlockIo {
  return (device, ...steps) => void execFileSync(program, [`/dev/${device}`, ...steps]);
}
