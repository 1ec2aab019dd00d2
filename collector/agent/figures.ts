// What the daemon knows of itself: for the status line each second,
// and for `status` with each flush.

import type { DrainedFlush, FlushedMessage } from '../messages.js';
import type { UnwindFigures } from '../host/unwind-files.js';
import type { TableCounts } from '../process/table.js';
import { readSelfUsage } from './self-usage.js';
import type { DaemonFigures } from './status-line.js';

/** What the front tells of itself at a flush. */
export interface FrontFigures {
  readonly table: TableCounts;
  /** undefined when nothing unwinds. */
  readonly unwind: UnwindFigures | undefined;
  readonly kernelMemoryBytes: number;
  readonly notes: readonly string[];
}

export class Figures {
  storeBytes = 0;
  #flushes = 0;
  #samplesPerSecond = 0;
  #accounted = 0;
  #front: FrontFigures | undefined;
  #lastFlushed: FlushedMessage | undefined;
  #drainMs = 0;
  #usage = { atMs: performance.now(), cpuNs: 0, percent: 0, rssBytes: 0 };

  drained(message: DrainedFlush, front: { figures(): FrontFigures }, durationMs: number): void {
    this.#front = front.figures();
    this.#drainMs = durationMs;
    const cpu = message.streams[0]!.counters;
    const expected = cpu['expected'] ?? 0;
    const seconds = Number(message.span.endUnixNs - message.span.startUnixNs) / 1e9;
    if (seconds > 0) this.#samplesPerSecond = (cpu['captured'] ?? 0) / seconds;
    const known = (cpu['captured'] ?? 0) + (cpu['idle'] ?? 0) + (cpu['not_fired'] ?? 0);
    this.#accounted = expected > 0 ? known / expected : 1;
  }

  flushed(message: FlushedMessage): void {
    this.#flushes++;
    this.#lastFlushed = message;
    this.storeBytes = message.storeBytes;
  }

  /** For the status line. */
  current(): DaemonFigures {
    const usage = readSelfUsage();
    const nowMs = performance.now();
    const elapsedNs = (nowMs - this.#usage.atMs) * 1e6;
    if (elapsedNs >= 4e9) {
      const percent = ((usage.cpuNs - this.#usage.cpuNs) / elapsedNs) * 100;
      this.#usage = { atMs: nowMs, cpuNs: usage.cpuNs, percent, rssBytes: usage.rssBytes };
    }
    return {
      samplesPerSecond: this.#samplesPerSecond,
      processes: this.#front?.table.liveProcesses ?? 0,
      accounted: this.#accounted,
      cpuPercent: this.#usage.percent,
      rssBytes: usage.rssBytes,
      storeBytes: this.storeBytes,
      flushes: this.#flushes,
    };
  }

  /** For `status`, as of the last flush: group.name, losses first. Units are last in the names. */
  daemon(): Readonly<Record<string, string | number>> {
    const { cpuNs, cpuNsByThread, rssBytes } = readSelfUsage();
    const { table, unwind, kernelMemoryBytes = 0, notes = [] } = this.#front ?? {};
    return {
      'losses.flushes': this.#lastFlushed?.droppedFlushes ?? 0,
      'losses.sidebandEvents': table?.lostEvents ?? 0,
      'losses.execs': table?.missedExecs ?? 0,
      'losses.processes': table?.droppedProcesses ?? 0,
      'losses.threads': table?.droppedThreads ?? 0,
      'losses.mappings': table?.droppedMappings ?? 0,
      'losses.modules': table?.droppedModules ?? 0,
      'losses.images': table?.evictedImages ?? 0,
      'losses.unwindFiles': unwind?.filesFull ?? 0,
      'losses.unwindRequests': unwind?.requestsDropped ?? 0,
      'run.pid': process.pid,
      'run.uptimeSeconds': Math.round(process.uptime()),
      'run.flushes': this.#flushes,
      'run.samplesPerSecond': this.#samplesPerSecond,
      'cost.cpuSeconds': cpuNs / 1e9,
      'cost.cpuFrontSeconds': (cpuNsByThread.get('front') ?? 0) / 1e9,
      'cost.rssBytes': rssBytes,
      'cost.kernelMemoryBytes': kernelMemoryBytes,
      'cost.lastDrainMs': this.#drainMs,
      'cost.lastStoreMs': this.#lastFlushed?.durationMs ?? 0,
      'cost.backStallMs': this.#lastFlushed?.longestStallMs ?? 0,
      'known.processes': table?.liveProcesses ?? 0,
      'known.images': table?.images ?? 0,
      'known.threads': table?.threads ?? 0,
      'known.mappings': table?.mappings ?? 0,
      'known.modules': table?.modules ?? 0,
      'unwind.tables': unwind?.tables ?? 0,
      'unwind.tableBytes': unwind?.bytes ?? 0,
      'unwind.limitBytes': unwind?.limitBytes ?? 0,
      'unwind.files': unwind?.files ?? 0,
      'unwind.waiting': unwind?.waiting ?? 0,
      'unwind.evicted': unwind?.evicted ?? 0,
      'unwind.refused': unwind?.refused ?? 0,
      'unwind.builtSeconds': (unwind?.cpuMs ?? 0) / 1e3,
      ...Object.fromEntries(notes.map((note, i) => [`notes.${i + 1}`, note])),
    };
  }
}
