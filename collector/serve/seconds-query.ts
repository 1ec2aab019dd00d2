// The store's answers, and series in steps shorter than its buckets from what the daemon read each
// second of the last minutes. (back)

import { fieldMatcher } from '../../storage/filter.js';
import { KeyTable } from '../../storage/key-table.js';
import { completenessOf } from '../../storage/model/completeness.js';
import { OperatingError } from '../../storage/model/errors.js';
import { hostStreams } from '../../storage/model/host-streams.js';
import type { HostStream, HostStreamName } from '../../storage/model/host-streams.js';
import type { AggregateRequest, EventsRequest } from '../../storage/model/query.js';
import type { Query, SeriesAnswer, SeriesRequest } from '../../storage/model/query.js';
import { fieldsOf } from '../../storage/series.js';
import { WholeDevices } from '../host/whole-devices.js';
import { hostSources } from '../pipeline/host-sources.js';
import { Readings } from '../pipeline/readings.js';
import type { Second, SecondsReader } from '../pipeline/seconds-ring.js';

const BUCKET_NS = 10_000_000_000n;
const SECOND_NS = 1_000_000_000n;
const MAX_SERIES = 8192;

export class SecondsQuery implements Query {
  readonly #store: Query;
  readonly #seconds: SecondsReader;

  constructor(store: Query, seconds: SecondsReader) {
    this.#store = store;
    this.#seconds = seconds;
  }

  async series(request: SeriesRequest): Promise<SeriesAnswer> {
    const isOfStore = request.stepNs >= BUCKET_NS || request.stepNs % SECOND_NS !== 0n;
    return isOfStore ? this.#store.series(request) : readSeconds(this.#seconds, request);
  }

  aggregate(request: AggregateRequest) {
    return this.#store.aggregate(request);
  }

  events(request: EventsRequest) {
    return this.#store.events(request);
  }

  status() {
    return this.#store.status();
  }

  close(): void {
    this.#store.close();
  }
}

/** **Errors**: `usage`: a stream that is not read each second, a filter or `by` that it has no field
 *  for; `empty-window`. */
export function readSeconds(reader: SecondsReader, request: SeriesRequest): SeriesAnswer {
  const { info: stream, name } = findStream(request.stream);
  const fields = fieldsOf(stream, request.by);
  const matches = fieldMatcher(stream, request.filter);
  const { before, seconds } = secondsOf(reader, request);
  const [first, last] = [seconds[0], seconds.at(-1)];
  if (first === undefined || last === undefined) {
    throw new OperatingError('empty-window', 'no seconds of that time are kept in memory');
  }
  const { stepNs } = request;
  const firstStep = middleOf(first) / stepNs;
  const stepOf = (second: Second) => Number(middleOf(second) / stepNs - firstStep);
  const steps = Array.from({ length: stepOf(last) + 1 }, (_, i) => (firstStep + BigInt(i)) * stepNs);
  const coveredNs = steps.map(() => 0);
  const isGauge = stream.kind === 'gauge';
  const whole = new KeyTable<number>(steps.length, Infinity);
  const take = roundTaker(reader, name);
  if (before !== undefined) take(before);
  for (const second of seconds) {
    const step = stepOf(second);
    coveredNs[step]! += second.spanNs;
    for (const { keys, value } of take(second)) {
      const row = whole.row(keys);
      whole.set(row, step, (isGauge ? 0 : (whole.get(row, step) ?? 0)) + value);
    }
  }
  const table = new KeyTable<number>(steps.length, Infinity);
  for (const { key, values } of whole.keys) {
    const byName = Object.fromEntries((stream.fields ?? []).map((f, i) => [f.name, key[i]!]));
    if (!matches(byName)) continue;
    const row = table.row(fields.map((field) => byName[field.name]!));
    for (const [step, value] of values.entries()) {
      if (value !== undefined) table.set(row, step, (table.get(row, step) ?? 0) + value);
    }
  }
  const gaps = { missingBuckets: coveredNs.filter((ns) => ns === 0).length, brokenBlobs: 0 };
  return {
    kind: isGauge ? 'gauge' : 'counter',
    stream,
    fields,
    steps,
    coveredNs,
    keys: table.keys,
    coverage: {
      fromUnixNs: first.unixNs - BigInt(first.spanNs),
      toUnixNs: last.unixNs,
      buckets: seconds.length,
      completeness: completenessOf({}, gaps),
    },
    counters: {},
  };
}

/** The seconds of the window, and the one before them, from which the first one's counters grew. */
function secondsOf(reader: SecondsReader, { window, stepNs }: SeriesRequest) {
  const { fromUnixNs, toUnixNs } = window;
  if (toUnixNs <= fromUnixNs) {
    throw new OperatingError('usage', 'the window ends before it begins');
  }
  // The oldest is only where counters stood; so is the very first, taken as the daemon began.
  const all = reader.seconds();
  const isIn = (second: Second, i: number) => {
    const middle = middleOf(second);
    return i > 0 && middle >= fromUnixNs - (fromUnixNs % stepNs) && middle < toUnixNs;
  };
  return { before: all[all.findIndex(isIn) - 1], seconds: all.filter(isIn) };
}

/** What one second brought of a stream, each second after the one before. */
function roundTaker(reader: SecondsReader, name: HostStreamName) {
  const whole = new WholeDevices();
  const kept = hostSources((device) => whole.has(device)).filter((s) => s.seconds !== undefined);
  const files = kept.flatMap(({ parse, streams }, file) =>
    streams.includes(name) ? [{ parse, file }] : [],
  );
  const readings = new Readings({ maxSeries: MAX_SERIES });
  return ({ slot }: Second) => {
    readings.begin();
    for (const { parse, file } of files) parse(reader.textAt(slot, file), readings.tell);
    const { series, values } = readings.take();
    return series.flatMap(({ stream, keys }, i) =>
      stream === name ? [{ keys, value: values[i]! }] : [],
    );
  };
}

/** A reading is of the step that holds the middle of its time. */
function middleOf({ unixNs, spanNs }: Second): bigint {
  return unixNs - BigInt(Math.round(spanNs / 2));
}

function findStream(name: string): { readonly name: HostStreamName; readonly info: HostStream['info'] } {
  const all = Object.entries<HostStream>(hostStreams).filter(([, { isInSeconds }]) => isInSeconds);
  const found = all.find(([, { info }]) => info.name === name);
  if (found !== undefined) return { name: found[0] as HostStreamName, info: found[1].info };
  const names = all.map(([, { info }]) => info.name).join(', ');
  const message = `${name} is not read each second; a step of it is a multiple of 10 s`;
  throw new OperatingError('usage', message, `Read each second are ${names}.`);
}
