// Readings as they stand -> what was added since the last take. A counter's first reading is only
// where it stood, unless what it counts can only have begun since the last round; one that goes
// backwards began anew, and what it lost meanwhile nobody knows: it is counted, nothing is
// subtracted.
//
//   told     100      130      130       20       25
//   taken       (-)      30       0    0, backwards   5
//
// Hot path: the same readings come in the same order each time, so where the last one was found
// says where the next one is.

import type { HostStreamName } from '../../storage/model/host-streams.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { Tell } from './host-text.js';

type Key = string | number;

export interface Series {
  readonly stream: HostStreamName;
  readonly keys: readonly Key[];
  /** Counts up from 0; a number is not used again. */
  readonly id: number;
  value: number;
  /** What it stood at when it was taken last; undefined: nothing is known before. */
  taken: number | undefined;
  /** Round in which it was told last. */
  round: number;
}

export interface Taken {
  readonly series: readonly Series[];
  /** By place in `series`: what was added, or the gauge's value. */
  readonly values: readonly number[];
  /** Streams of which something was told. */
  readonly told: ReadonlySet<HostStreamName>;
  /** Counters that went backwards, and readings that found no room, by stream. */
  readonly backwards: ReadonlyMap<HostStreamName, number>;
  readonly overLimit: ReadonlyMap<HostStreamName, number>;
}

/** Nothing of these was counted before their key appeared: what has had no event is not told. */
const beginAtZero: ReadonlySet<HostStreamName> = new Set([
  'diskOperations',
  'diskBytes',
  'diskMerged',
  'diskTime',
  'diskBusy',
  'diskQueue',
  'protocol',
]);
/** Rounds that a series may be missing before it is forgotten. */
const KEPT_ROUNDS = 360;

export class Readings {
  readonly #maxSeries: number;
  readonly #isContinuous: boolean;
  #series: Series[] = [];
  readonly #known = new Map<string, Series>();
  #round = 0;
  #cursor = 0;
  #nextId = 0;
  /** Streams that had a round before. */
  readonly #begun = new Set<HostStreamName>();
  readonly #backwards = new Map<HostStreamName, number>();
  readonly #overLimit = new Map<HostStreamName, number>();

  /** `isContinuous`: what was not told in the round before is as if it were new: what it counted
   *  since is not of this round alone. */
  constructor(options: { readonly maxSeries: number; readonly isContinuous?: boolean }) {
    this.#maxSeries = options.maxSeries;
    this.#isContinuous = options.isContinuous ?? false;
  }

  /** A round begins: everything is told once, then taken. */
  begin(): void {
    this.#round++;
    this.#cursor = 0;
  }

  readonly tell: Tell = (stream, value, key0, key1, key2) => {
    let series = this.#series[this.#cursor];
    if (series === undefined || !isOf(series, stream, key0, key1, key2)) {
      series = this.#find(stream, [key0, key1, key2]);
      if (series === undefined) return;
      this.#cursor = this.#series.indexOf(series);
    }
    this.#cursor++;
    if (this.#isContinuous && series.round < this.#round - 1) series.taken = undefined;
    series.value = value;
    series.round = this.#round;
  };

  /** The round's rows: gauges, and counters to which something was added. */
  take(): Taken {
    const series: Series[] = [];
    const values: number[] = [];
    const told = new Set<HostStreamName>();
    for (const each of this.#series) {
      if (each.round !== this.#round) continue;
      const isGauge = hostStreams[each.stream].info.kind === 'gauge';
      const added = isGauge ? each.value : each.value - (each.taken ?? each.value);
      each.taken = each.value;
      if (added < 0 && !isGauge) addTo(this.#backwards, each.stream);
      else if (isGauge || added > 0) {
        series.push(each);
        values.push(added);
      }
      told.add(each.stream);
      this.#begun.add(each.stream);
    }
    this.#forget();
    const taken = {
      series,
      values,
      told,
      backwards: new Map(this.#backwards),
      overLimit: new Map(this.#overLimit),
    };
    this.#backwards.clear();
    this.#overLimit.clear();
    return taken;
  }

  #find(stream: HostStreamName, given: readonly (Key | undefined)[]): Series | undefined {
    const keys = given.filter((key) => key !== undefined);
    const name = `${stream}\0${keys.join('\0')}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#series.length >= this.#maxSeries) {
      addTo(this.#overLimit, stream);
      return undefined;
    }
    const isNew = beginAtZero.has(stream) && this.#begun.has(stream);
    const taken = isNew ? 0 : undefined;
    const series = { stream, keys, id: this.#nextId++, value: 0, taken, round: 0 };
    this.#series.push(series);
    this.#known.set(name, series);
    return series;
  }

  #forget(): void {
    const oldest = this.#round - KEPT_ROUNDS;
    if (this.#round % KEPT_ROUNDS !== 0) return;
    for (const [name, { round }] of this.#known) if (round < oldest) this.#known.delete(name);
    this.#series = this.#series.filter(({ round }) => round >= oldest);
  }
}

function isOf(series: Series, stream: HostStreamName, key0?: Key, key1?: Key, key2?: Key): boolean {
  const { keys } = series;
  return series.stream === stream && keys[0] === key0 && keys[1] === key1 && keys[2] === key2;
}

function addTo(counts: Map<HostStreamName, number>, stream: HostStreamName): void {
  counts.set(stream, (counts.get(stream) ?? 0) + 1);
}
