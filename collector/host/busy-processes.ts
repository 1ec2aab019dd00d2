// The processes that used most CPU, by the samples of a flush, and what /proc says of each. Those
// that were busy lately are followed on, so that what they add is known when they are busy again;
// nothing scans /proc. (front)

import { pageSizeBytes } from '../../ffi/memory-map.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import type { SampleRows } from '../messages.js';
import { addedCounts, noCounts, parseProcess } from '../pipeline/process-text.js';
import type { ProcessCounts, ProcessReading } from '../pipeline/process-text.js';
import { KeptFile } from './kept-file.js';
import type { TakeContext, TakenStream } from './metric-sources.js';

/** Flushes that a process is followed after it was busy last. */
const FOLLOW_ROUNDS = 30;
/** Processes whose files stay open, which halves what reading them costs. An open one stays that of its
 *  process: once that has ended it cannot be read, whoever has the number. */
const MAX_KEPT_OPEN = 64;
/** start_boottime to the tick of /proc/PID/stat, and what the clocks' offsets differ by. */
const START_TOLERANCE_MS = 25;

interface Followed {
  readonly series: SeriesInfo;
  readonly files: ProcessFiles;
  /** Whatever it counts began with 0 after the round before. */
  readonly isNew: boolean;
  busyRound: number;
  last: { readonly counts: ProcessCounts; readonly atMs: number } | undefined;
}

type Naming = Pick<TakeContext['naming'], 'startUnixMs'>;

export class BusyProcesses {
  readonly #maxProcesses: number;
  readonly #followed = new Map<number, Followed>();
  #round = 0;
  #lastRoundMs = Date.now();

  constructor(options: { readonly maxProcesses: number }) {
    this.#maxProcesses = options.maxProcesses;
  }

  take({ naming, samples, span }: TakeContext): TakenStream {
    this.#round++;
    this.#follow(busiest(samples, this.#maxProcesses));
    this.#lastRoundMs = Date.now();
    const rows: (readonly (string | number)[])[] = [];
    let ended = 0;
    for (const [pid, followed] of this.#followed) {
      const row = this.#read(pid, followed, naming);
      if (row === undefined) {
        this.#forget(pid);
        ended++;
      } else if (row !== 'idle') rows.push(row);
    }
    const timeNs = Number(span.endUnixNs - span.startUnixNs);
    const { info } = hostStreams.process;
    const columns = (info.fields ?? []).map(({ type }, c) =>
      type === 'string'
        ? rows.map((row) => String(row[c]))
        : Float64Array.from(rows, (row) => Number(row[c])),
    );
    return {
      info,
      counters: { captured: rows.length, ...(ended > 0 ? { 'lost.ended': ended } : {}) },
      columns: { timesNs: new Float64Array(rows.length).fill(timeNs), columns },
    };
  }

  close(): void {
    for (const pid of this.#followed.keys()) this.#forget(pid);
  }

  /** The busy ones first; those that were busy longest ago make room. */
  #follow(busy: readonly SeriesInfo[]): void {
    for (const series of busy) {
      const { pid } = series;
      const known = this.#followed.get(pid);
      const isSame = known?.series.startUnixMs === series.startUnixMs;
      if (!isSame) this.#forget(pid);
      this.#followed.delete(pid);
      this.#followed.set(pid, {
        series,
        files: isSame ? known.files : new ProcessFiles(pid),
        isNew: series.startUnixMs > this.#lastRoundMs,
        busyRound: this.#round,
        last: isSame ? known.last : undefined,
      });
    }
    for (const [pid, { busyRound }] of this.#followed) {
      const isOld = busyRound < this.#round - FOLLOW_ROUNDS;
      if (isOld || this.#followed.size > this.#maxProcesses) this.#forget(pid);
    }
  }

  #forget(pid: number): void {
    this.#followed.get(pid)?.files.close();
    this.#followed.delete(pid);
  }

  /** undefined: the process has ended, or its number is another's now. */
  #read(
    pid: number,
    followed: Followed,
    naming: Naming,
  ): readonly (string | number)[] | 'idle' | undefined {
    const { series, files, last, isNew, busyRound } = followed;
    const reading = files.read();
    if (this.#followed.size > MAX_KEPT_OPEN) files.close();
    if (reading === undefined) return undefined;
    const startUnixMs = naming.startUnixMs(reading.startTicks * 1e7);
    if (Math.abs(startUnixMs - series.startUnixMs) > START_TOLERANCE_MS) return undefined;
    const atMs = Date.now();
    followed.last = { counts: reading.counts, atMs };
    const before = last?.counts ?? (isNew ? noCounts : undefined);
    const added = addedCounts(before, reading.counts);
    if (busyRound !== this.#round && added.every((count) => count <= 0)) return 'idle';
    const sinceMs = last?.atMs ?? (isNew ? series.startUnixMs : undefined);
    const intervalMs = sinceMs === undefined ? -1 : Math.max(0, Math.round(atMs - sinceMs));
    const { userTime, systemTime } = reading.counts;
    return [
      pid,
      series.startUnixMs,
      series.comm,
      series.user,
      series.cgroup,
      intervalMs,
      ...added,
      reading.virtualBytes,
      reading.residentBytes,
      reading.sharedBytes,
      userTime < 0 || systemTime < 0 ? -1 : userTime + systemTime,
      reading.state,
      reading.priority,
      reading.nice,
      reading.threads,
      reading.processor,
    ];
  }
}

class ProcessFiles {
  readonly #stat: KeptFile;
  readonly #others: readonly KeptFile[];

  constructor(pid: number) {
    this.#stat = new KeptFile(`/proc/${pid}/stat`);
    this.#others = ['io', 'schedstat', 'statm'].map((name) => new KeptFile(`/proc/${pid}/${name}`));
  }

  /** undefined: the process has ended. */
  read(): ProcessReading | undefined {
    const stat = this.#stat.read();
    if (stat === undefined) return undefined;
    // What may not be read is not tried again: it costs more than what may.
    const [io, schedstat, statm] = this.#others.map((file) =>
      file.problem === undefined ? file.read() : undefined,
    );
    return parseProcess({ stat, io, schedstat, statm }, pageSizeBytes);
  }

  close(): void {
    this.#stat.close();
    for (const file of this.#others) file.close();
  }
}

/** The processes with most samples of the clock (stream 0), each by its busiest series, the least
 *  busy first. Folded ones, which have no number, are left out. */
export function busiest(samples: readonly SampleRows[], limit: number): readonly SeriesInfo[] {
  const processes = new Map<number, { series: SeriesInfo; seriesWeight: number; weight: number }>();
  for (const { rowStream, rowSeries, rowWeight, series } of samples) {
    const weights = new Float64Array(series.length);
    for (let i = 0; i < rowSeries.length; i++) {
      if (rowStream[i] === 0) weights[rowSeries[i]!]! += rowWeight[i]!;
    }
    for (const [i, each] of series.entries()) {
      const weight = weights[i]!;
      if (each.pid === 0 || each.startUnixMs === 0 || weight === 0) continue;
      const known = processes.get(each.pid);
      if (known === undefined || known.series.startUnixMs < each.startUnixMs) {
        processes.set(each.pid, { series: each, seriesWeight: weight, weight });
        continue;
      }
      known.weight += weight;
      if (weight <= known.seriesWeight) continue;
      known.series = each;
      known.seriesWeight = weight;
    }
  }
  const ascending = [...processes.values()].sort((a, b) => a.weight - b.weight);
  return ascending.slice(-limit).map(({ series }) => series);
}
