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
import type { Second, SecondsReader } from '../pipeline/seconds-ring.js';

const BUCKET_NS = 10_000_000_000n;
const SECOND_NS = 1_000_000_000n;

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
  const { stepNs } = request;
  const { fromUnixNs, toUnixNs } = request.window;
  if (toUnixNs <= fromUnixNs) {
    throw new OperatingError('usage', 'the window ends before it begins');
  }
  const seconds = reader.seconds().filter((second) => {
    const middle = middleOf(second);
    return middle >= fromUnixNs - (fromUnixNs % stepNs) && middle < toUnixNs;
  });
  const [first, last] = [seconds[0], seconds.at(-1)];
  if (first === undefined || last === undefined) {
    throw new OperatingError('empty-window', 'no seconds of that time are kept in memory');
  }
  const firstStep = middleOf(first) / stepNs;
  const stepOf = (second: Second) => Number(middleOf(second) / stepNs - firstStep);
  const steps = Array.from({ length: stepOf(last) + 1 }, (_, i) => (firstStep + BigInt(i)) * stepNs);
  const coveredNs = steps.map(() => 0);
  for (const second of seconds) coveredNs[stepOf(second)]! += second.spanNs;

  const table = new KeyTable<number>(steps.length, Infinity);
  const isGauge = stream.kind === 'gauge';
  for (const [column, { stream: of, keys }] of reader.columns().entries()) {
    if (of !== name) continue;
    const values = Object.fromEntries((stream.fields ?? []).map((f, i) => [f.name, keys[i]!]));
    if (!matches(values)) continue;
    const sums: (number | undefined)[] = [];
    for (const second of seconds) {
      const value = reader.valueAt(column, second.slot);
      const step = stepOf(second);
      if (value !== undefined) sums[step] = (isGauge ? 0 : (sums[step] ?? 0)) + value;
    }
    const row = sums.length > 0 ? table.row(fields.map((field) => values[field.name]!)) : -1;
    for (const [step, sum] of sums.entries()) {
      if (sum !== undefined) table.set(row, step, (table.get(row, step) ?? 0) + sum);
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
