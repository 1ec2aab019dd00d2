// What the daemon counts of itself, as streams like any other: samples and where stacks end from the
// headers of the flush, and its cost. What the back tells of a flush comes with the next. (front)

import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { Counters } from '../../storage/model/completeness.js';
import { slotOfNs } from '../../storage/model/histogram.js';
import type { HostStreamName } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { MetricKey, StreamInfo } from '../../storage/model/stream.js';
import type { MetricSource, TakeContext, TakenStream } from '../host/metric-sources.js';
import type { FlushedMessage, HistogramColumns } from '../messages.js';
import { readSelfUsage } from './self-usage.js';

/** What the parts of the front tell when asked. */
export interface SelfFacts {
  readonly probes: () => readonly LoadedProbe[];
  readonly kernelMemoryBytes: () => number;
}

type Rows = readonly (readonly [MetricKey, number])[];

export class SelfMetrics implements MetricSource {
  readonly #durationsNs: [phase: string, ns: number][] = [];
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
    this.#tookMs('drain', durationMs);
  }

  flushed(message: FlushedMessage): void {
    const { durationMs, framesNamed, framesTotal, storeBytes, stackEnds } = message;
    this.#stackRows.push(...stackEnds.flatMap(stackRows));
    this.#tookMs('store', durationMs);
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
      points('selfStore', [[[], this.#storeBytes]]),
      { info: hostStreams.selfFlush.info, counters: {}, columns: this.#takeDurations() },
      points('selfProgramRuns', this.#added('runs', programs.map((p) => [[p.name], p.runs]))),
      points('selfProgramTime', this.#added('time', programs.map((p) => [[p.name], p.timeNs]))),
    ].filter(({ columns }) => columns.keys.length > 0);
  }

  close(): void {
    // It holds nothing open.
  }

  #tookMs(phase: string, durationMs: number): void {
    this.#durationsNs.push([phase, Math.round(durationMs * 1e6)]);
  }

  #takeDurations(): HistogramColumns {
    const taken = this.#durationsNs.splice(0);
    const ns = taken.map(([, duration]) => duration);
    return {
      kind: 'histogram',
      keys: taken.map(([phase]) => [phase]),
      starts: Uint32Array.from({ length: taken.length + 1 }, (_, i) => i),
      slots: Int16Array.from(ns, slotOfNs),
      counts: new Float64Array(taken.length).fill(1),
      totals: new Float64Array(taken.length).fill(1),
      sumsNs: Float64Array.from(ns),
    };
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
