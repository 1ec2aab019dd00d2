// What the daemon counts of itself, as streams like any other: samples and where stacks end from the
// headers of the flush, and its cost. What the back tells of a flush comes with the next. (front)

import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { MapFill } from '../../bpf/map.js';
import type { Counters } from '../../storage/model/completeness.js';
import type { HostStreamName } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { MetricKey, StreamInfo } from '../../storage/model/stream.js';
import type { MetricSource, TakeContext, TakenStream } from '../host/metric-sources.js';
import type { FlushedMessage, TimedStream } from '../messages.js';
import { durationColumns, Durations } from '../pipeline/durations.js';
import { LoopWatch } from './loop-watch.js';
import { readSelfUsage } from './self-usage.js';

/** What the parts of the front tell when asked. */
export interface SelfFacts {
  readonly probes: () => readonly LoadedProbe[];
  readonly kernelMemoryBytes: () => number;
  readonly mapFills: () => readonly (readonly [probe: string, fill: MapFill])[];
}

const timedStreams: readonly TimedStream[] = ['selfFlush', 'selfQuery', 'selfExport'];

type Rows = readonly (readonly [MetricKey, number])[];

export class SelfMetrics implements MetricSource {
  readonly #durations = new Durations();
  readonly #loop = new LoopWatch();
  #backStallMs = 0;
  #oldestUnixMs: number | undefined;
  #frames = { named: 0, unnamed: 0 };
  #stackRows: (readonly [MetricKey, number])[] = [];
  #storeBytes = 0;
  #facts: SelfFacts | undefined;
  /** Growing counts as they were last read, by stream and key. */
  readonly #last = new Map<string, number>();
  /** A late tick takes its period back: what a count lacks is taken from what comes. */
  readonly #owed = new Map<string, number>();

  begin(facts: SelfFacts): void {
    this.#facts = facts;
  }

  drained(durationMs: number): void {
    this.#durations.add('selfFlush', 'drain', durationMs);
  }

  flushed(message: FlushedMessage): void {
    const { durationMs, framesNamed, framesTotal, storeBytes, stackEnds } = message;
    this.#stackRows.push(...stackEnds.flatMap(stackRows));
    this.#durations.add('selfFlush', 'store', durationMs);
    for (const row of message.durations) this.#durations.addRow(row);
    this.#backStallMs = Math.max(this.#backStallMs, message.longestStallMs);
    this.#oldestUnixMs = message.oldestUnixMs;
    this.#frames.named += framesNamed;
    this.#frames.unnamed += framesTotal - framesNamed;
    this.#storeBytes = storeBytes;
  }

  take({ streams }: TakeContext): readonly TakenStream[] {
    const types = streams.filter(({ info }) => info.kind === 'samples');
    const { cpuNsByThread, rssBytes } = readSelfUsage();
    const kernelBytes = this.#facts?.kernelMemoryBytes() ?? 0;
    const programs = (this.#facts?.probes() ?? []).flatMap((probe) => probe.programRuns());
    const frames = Object.entries(this.#frames);
    this.#frames = { named: 0, unnamed: 0 };
    return [
      points('selfSamples', this.#positive(types.flatMap(sampleRows))),
      points('selfStacks', this.#stackRows.splice(0)),
      points('selfFrames', frames.map(([kind, count]) => [[kind], count])),
      points('selfCpu', this.#added('cpu', [...cpuNsByThread].map(([name, ns]) => [[name], ns]))),
      points('selfMemory', [[['rss'], rssBytes], [['kernel'], kernelBytes]]),
      points('selfMaps', this.#mapRows()),
      points('selfStall', this.#stallRows()),
      points('selfStore', [[[], this.#storeBytes]]),
      points('selfStoreAge', this.#ageRows()),
      ...this.#takeDurations(),
      points('selfProgramRuns', this.#added('runs', programs.map((p) => [[p.name], p.runs]))),
      points('selfProgramTime', this.#added('time', programs.map((p) => [[p.name], p.timeNs]))),
    ].filter(({ columns }) => columns.keys.length > 0);
  }

  close(): void {
    // It holds nothing open.
  }

  /** Shares in millionths. */
  #mapRows(): Rows {
    const fills = this.#facts?.mapFills() ?? [];
    return fills.map(([probe, { map, share }]) => [[probe, map], Math.round(share * 1e6)]);
  }

  #stallRows(): Rows {
    const stallsMs = { front: this.#loop.takeLongestMs(), back: this.#backStallMs };
    this.#backStallMs = 0;
    return Object.entries(stallsMs).map(([thread, ms]) => [[thread], Math.round(ms * 1e6)]);
  }

  #ageRows(): Rows {
    const oldestUnixMs = this.#oldestUnixMs;
    if (oldestUnixMs === undefined) return [];
    return [[[], Math.max(0, Math.round((Date.now() - oldestUnixMs) / 1000))]];
  }

  #takeDurations() {
    const rows = this.#durations.take();
    return timedStreams.map((stream) => {
      const columns = durationColumns(rows.filter((row) => row.stream === stream));
      return { info: hostStreams[stream].info, counters: {}, columns };
    });
  }

  /** What was added since the last flush; a thread or program may begin anew under its name. */
  #added(stream: string, rows: Rows): Rows {
    return rows.flatMap(([key, value]) => {
      const name = JSON.stringify([stream, ...key]);
      const added = value - (this.#last.get(name) ?? 0);
      this.#last.set(name, value);
      return added > 0 ? [[key, added] as const] : [];
    });
  }

  #positive(rows: Rows): Rows {
    return rows.flatMap(([key, value]) => {
      const name = JSON.stringify(key);
      const sum = value + (this.#owed.get(name) ?? 0);
      this.#owed.set(name, Math.min(sum, 0));
      return sum > 0 ? [[key, sum] as const] : [];
    });
  }
}

interface HeaderOf {
  readonly info: StreamInfo;
  readonly counters: Counters;
}

function sampleRows({ info, counters }: HeaderOf): Rows {
  return Object.entries(counters)
    .filter(([name]) => /^(?:expected|captured|idle|not_fired|lost\..+)$/.test(name))
    .map(([name, count]) => [[info.name, name], count]);
}

function stackRows({ type, counters }: FlushedMessage['stackEnds'][number]): Rows {
  return Object.entries(counters).flatMap(([name, count]) => {
    const end = /^stacks\.(?:cut\.)?(.+)$/.exec(name)?.[1];
    return end === undefined || count <= 0 ? [] : [[[type, end], count] as const];
  });
}

function points(stream: HostStreamName, rows: Rows) {
  const { info } = hostStreams[stream];
  const kind: 'counter' | 'gauge' = info.kind === 'gauge' ? 'gauge' : 'counter';
  const columns = {
    kind,
    keys: rows.map(([key]) => key),
    values: Float64Array.from(rows, ([, value]) => value),
  };
  return { info, counters: {}, columns };
}
