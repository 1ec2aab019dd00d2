// What the daemon knows of itself: for the status line each second, and for `status` with each flush.

import type { FlushedMessage, FlushMessage } from '../messages.js';
import { readSelfUsage } from './self-usage.js';
import type { DaemonFigures } from './status-line.js';

/** What the front tells of itself at a flush. */
export interface FrontFigures {
  readonly processes: number;
  readonly kernelMemoryBytes: number;
  readonly notes: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

export class Figures {
  storeBytes = 0;
  #flushes = 0;
  #samplesPerSecond = 0;
  #accounted = 0;
  #front: FrontFigures = { processes: 0, kernelMemoryBytes: 0, notes: [], counts: {} };
  #lastFlushed: FlushedMessage | undefined;
  #drainMs = 0;
  #usage = { atMs: performance.now(), cpuNs: 0, percent: 0, rssBytes: 0 };

  drained(message: FlushMessage, front: { figures(): FrontFigures }, durationMs: number): void {
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
      processes: this.#front.processes,
      accounted: this.#accounted,
      cpuPercent: this.#usage.percent,
      rssBytes: usage.rssBytes,
      storeBytes: this.storeBytes,
      flushes: this.#flushes,
    };
  }

  /** For `status`: as of the last flush. */
  daemon(): Readonly<Record<string, string | number>> {
    const usage = readSelfUsage();
    const byThread = Object.fromEntries([...usage.cpuNsByThread].map(([name, ns]) => [`cpu_${name}_seconds`, ns / 1e9]));
    return {
      pid: process.pid,
      uptime_seconds: Math.round(process.uptime()),
      samples_per_second: this.#samplesPerSecond,
      processes: this.#front.processes,
      cpu_seconds: usage.cpuNs / 1e9,
      ...byThread,
      rss_bytes: usage.rssBytes,
      kernel_memory_bytes: this.#front.kernelMemoryBytes,
      flushes: this.#flushes,
      flushes_dropped: this.#lastFlushed?.droppedFlushes ?? 0,
      last_drain_ms: this.#drainMs,
      last_store_ms: this.#lastFlushed?.durationMs ?? 0,
      ...this.#front.counts,
      ...Object.fromEntries(this.#front.notes.map((note, i) => [`note_${i + 1}`, note])),
    };
  }
}
