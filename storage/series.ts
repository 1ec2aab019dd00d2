// Histograms, counters and gauges of a stream, step by step. Blobs are decoded inside one read
// transaction a segment, some buckets at a time, so that a long window is not held in memory.

import type { BucketRange } from './coverage.js';
import { bucketRanges, CoverageTally } from './coverage.js';
import { fieldMatcher } from './filter.js';
import { KeyTable } from './key-table.js';
import { OperatingError } from './model/errors.js';
import type { SlotSpan } from './model/histogram.js';
import { HistogramSum } from './model/histogram.js';
import type { KeySeries, SeriesAnswer, SeriesRequest } from './model/query.js';
import type { FieldInfo, MetricKey, StreamInfo } from './model/stream.js';
import { isMetric } from './model/stream.js';
import type { BucketHeader } from './segment/bucket.js';
import { bucketNs, bucketStartUnixNs } from './segment/bucket.js';
import type { Dictionary } from './segment/dictionary.js';
import { decodeHistograms } from './segment/live-histograms.js';
import { decodePoints } from './segment/live-points.js';
import type { SegmentName } from './segment/segment-name.js';
import { mayHold } from './segment/segment-name.js';
import type { LiveBlob, SegmentReader } from './segment/segment-reader.js';
import type { QuerySource, SegmentStream } from './segments.js';
import { listOrNone, namesOf, readOne, requireStream, storeRange, streamsOf } from './segments.js';

const maxSteps = 100_000;
/** Histograms of one answer, about half a kilobyte each. */
const maxHistograms = 2 ** 18;
/** Buckets fetched at a time. */
const chunkBuckets = 64;

/** **Errors**: `no-data`; `usage`: no such stream, a filter or `by` that it has no field for, a bad
 *  step, an answer too large; `empty-window`; `store-failed` when all of the window is damaged. */
export function readSeries(source: QuerySource, request: SeriesRequest): SeriesAnswer {
  const kinds = ['histogram', 'counter', 'gauge'] as const;
  const stream = requireStream(source, { name: request.stream, kinds });
  const opened = openReading(stream, request);
  const decode = (parts: Iterable<StreamBlobs>) => {
    for (const part of parts) {
      for (const { bucket, data, by } of blobsInOrder(part)) opened.reading.add(bucket, data, by);
    }
  };
  const common = read(source, [opened.reading], decode)[0]!();
  const { tally } = opened.reading;
  if (common !== undefined) return opened.answer(common);
  const what = `${request.stream} of that time`;
  if (tally.brokenBlobs === 0) {
    throw new OperatingError('empty-window', `the store holds no ${what}`);
  }
  throw new OperatingError('store-failed', `the ${what} is damaged and cannot be read`);
}

/** All histograms, counters and gauges of a window at once, by all their fields: each segment is
 *  opened once, what it holds of the window is taken out, and decoded stream by stream afterwards,
 *  with a pause after each. Streams without data there are left out. **Limits**: the blobs of the
 *  window are held in memory. **Errors**: `usage`: a bad step, an answer too large. */
export async function readAllSeries(
  source: QuerySource,
  { window, stepNs }: Pick<SeriesRequest, 'window' | 'stepNs'>,
  pause: () => Promise<void>,
): Promise<AllSeries> {
  const range = bucketRanges([window])[0]!;
  const streams = new Map<string, StreamInfo>();
  for (const name of listOrNone(source.dir)) {
    if (!mayHold(name, range)) continue;
    const known = readOne(source.dir, name, (segment) => streamsOf(namesOf(source, name, segment)));
    if (typeof known === 'string') continue;
    for (const { info } of known) {
      if (!isMetric(info.kind)) continue;
      streams.set(JSON.stringify([info.name, info.kind, info.valueType.unit]), info);
    }
  }
  const opened = Array.from(streams.values(), (stream) =>
    openReading(stream, { window, stepNs, filter: {}, stream: stream.name }),
  );
  const taken: (readonly StreamBlobs[])[] = [];
  const common = read(source, opened.map(({ reading }) => reading), (blobs) => taken.push([...blobs]));
  for (const { reading, bucket, data, by } of taken.flat().flatMap(blobsInOrder)) {
    reading.add(bucket, data, by);
    await pause();
  }
  const answers: SeriesAnswer[] = [];
  for (const [i, { answer }] of opened.entries()) {
    const found = common[i]!();
    if (found !== undefined) answers.push(answer(found));
    await pause();
  }
  const brokenBlobs = opened.reduce((sum, { reading }) => sum + reading.tally.brokenBlobs, 0);
  return { answers, brokenBlobs };
}

export interface AllSeries {
  readonly answers: readonly SeriesAnswer[];
  readonly brokenBlobs: number;
}

/** What all kinds of answers have. */
type CommonAnswer = Omit<SeriesAnswer, 'kind' | 'keys' | 'fields'>;

interface OpenedReading {
  readonly reading: AnyReading;
  readonly answer: (common: CommonAnswer) => SeriesAnswer;
}

/** **Errors**: `usage`. */
function openReading(stream: StreamInfo, request: SeriesRequest): OpenedReading {
  const by = fieldsOf(stream, request.by);
  switch (stream.kind) {
    case 'histogram': {
      const reading = new Reading(stream, request, { ...histograms, fields: by });
      const keys = () =>
        reading.table.keys.map(({ key, values }) => ({
          key,
          values: values.map((sum) => sum?.histogram()),
        }));
      return {
        reading,
        answer: (common) => ({ kind: 'histogram', ...common, fields: by, keys: keys() }),
      };
    }
    case 'counter': {
      const reading = new Reading(stream, request, { ...counters, fields: by });
      return {
        reading,
        answer: (common) => ({ kind: 'counter', ...common, fields: by, keys: reading.table.keys }),
      };
    }
    default: {
      // The last value of a step is known by the whole key only.
      const reading = new Reading(stream, request, { ...gauges, fields: stream.fields ?? [] });
      return {
        reading,
        answer: (common) => ({ kind: 'gauge', ...common, fields: by, keys: sumKeys(reading, by) }),
      };
    }
  }
}

/** How values of one kind are decoded and put together. */
interface Kind<Value, Sum> {
  readonly decode: (blob: Uint8Array) => Rows<Value> | undefined;
  readonly combine: (before: Sum | undefined, value: Value) => Sum;
  readonly maxValues: number;
}

interface Rows<Value> {
  readonly header: BucketHeader;
  readonly keys: readonly number[];
  readonly values: readonly Value[];
}

const histograms: Kind<SlotSpan, HistogramSum> = {
  decode: decodeHistograms,
  combine: (before, span) => {
    if (before === undefined) return HistogramSum.of(span);
    before.addSpan(span);
    return before;
  },
  maxValues: maxHistograms,
};

const counters: Kind<number, number> = {
  decode: (blob) => decodePoints('counter', blob),
  combine: (before = 0, delta) => before + delta,
  maxValues: Infinity,
};

const gauges: Kind<number, number> = {
  decode: (blob) => decodePoints('gauge', blob),
  combine: (_, value) => value,
  maxValues: Infinity,
};

/** Hands over what all segments hold for the readings, which are of one window, each segment's while
 *  it is open; then what their answers have in common, undefined where nothing was found. */
function read(
  source: QuerySource,
  readings: readonly AnyReading[],
  take: (blobs: Iterable<StreamBlobs>) => void,
): readonly (() => CommonAnswer | undefined)[] {
  const segments = listOrNone(source.dir);
  const lastBuckets: number[] = [];
  for (const name of segments) {
    if (!readings.some(({ steps }) => mayHold(name, steps.range))) continue;
    const known = source.dictionaryOf(name.fileName);
    const last = readOne(source.dir, name, (segment) => {
      const names = known === undefined ? segment.metricNames() : { dictionary: known, broken: 0 };
      const end = segment.lastBucket(streamsOf(names.dictionary).map(({ id }) => id)).bucket;
      for (const { tally } of readings) tally.brokenBlobs += names.broken;
      take(blobsOf(segment, { name, dictionary: names.dictionary, end }, readings));
      return end;
    });
    if (last === 'broken') for (const { tally } of readings) tally.brokenBlobs++;
    if (typeof last === 'number') lastBuckets.push(last);
  }
  return readings.map(({ stream, steps, tally }) => () => {
    if (tally.buckets === 0) return undefined;
    return {
      stream,
      steps: steps.starts,
      coveredNs: steps.coveredNs,
      coverage: tally.finish([steps.range], storeRange(segments, lastBuckets)),
      counters: tally.counters,
    };
  });
}

interface OpenSegment {
  readonly name: SegmentName;
  readonly dictionary: Dictionary;
  /** Its last bucket. */
  readonly end: number | undefined;
}

/** What some buckets hold of one stream. */
interface StreamBlobs {
  readonly reading: AnyReading;
  readonly blobs: readonly (LiveBlob & { readonly by: KeysBy })[];
}

function* blobsOf(
  segment: SegmentReader,
  { name, dictionary, end }: OpenSegment,
  readings: readonly AnyReading[],
): Generator<StreamBlobs> {
  const streams = streamsOf(dictionary);
  for (const reading of readings) {
    const { tally, steps } = reading;
    const wanted = streams
      .filter(({ info }) => reading.takes(info))
      .map((stream) => {
        const by = { rowOf: reading.rowsOf(stream, dictionary), names: dictionary };
        return { id: stream.id, by };
      });
    const last = Math.min(steps.range.last, end ?? -1);
    const first = Math.max(steps.range.first, name.startBucket);
    for (let from = first; from <= last && wanted.length > 0; from += chunkBuckets) {
      const blobs = wanted.flatMap(({ id, by }) => {
        const live = segment.live(id, { first: from, last: Math.min(last, from + chunkBuckets - 1) });
        tally.brokenBlobs += live.broken;
        return live.blobs.map((blob) => ({ ...blob, by }));
      });
      yield { reading, blobs };
    }
  }
}

function blobsInOrder({ reading, blobs }: StreamBlobs) {
  const inOrder = [...blobs].sort((a, b) => a.bucket - b.bucket);
  return inOrder.map((blob) => ({ ...blob, reading }));
}

/** The steps that a window touches. */
class Steps {
  readonly range: BucketRange;
  readonly starts: bigint[] = [];
  readonly coveredNs: number[] = [];
  readonly #buckets: number;
  readonly #first: number;

  /** **Errors**: `usage`. */
  constructor({ window, stepNs }: SeriesRequest) {
    this.range = bucketRanges([window])[0]!;
    if (stepNs < bucketNs || stepNs % bucketNs !== 0n) {
      throw new OperatingError('usage', `a step is a multiple of 10 s, not ${stepNs} ns`);
    }
    this.#buckets = Number(stepNs / bucketNs);
    this.#first = Math.floor(this.range.first / this.#buckets);
    const count = this.of(this.range.last) + 1;
    if (count > maxSteps) {
      throw new OperatingError('usage', `an answer has at most ${maxSteps} steps, not ${count}`);
    }
    for (let i = 0; i < count; i++) {
      this.starts.push(bucketStartUnixNs((this.#first + i) * this.#buckets));
      this.coveredNs.push(0);
    }
  }

  of(bucket: number): number {
    return Math.floor(bucket / this.#buckets) - this.#first;
  }
}

/** Row of the answer for the id of a key in one segment; -1 when the filter keeps it out. */
type RowOf = (id: number) => number;

/** How ids of one stream's keys in one segment become rows. */
interface KeysBy {
  readonly rowOf: RowOf;
  readonly names: Dictionary;
}

/** A reading of values of any kind. */
type AnyReading = Pick<
  Reading<unknown, unknown>,
  'tally' | 'stream' | 'steps' | 'takes' | 'rowsOf' | 'add'
>;

/** What has been read of a stream so far, by key and step. */
class Reading<Value, Sum> {
  readonly tally = new CoverageTally();
  readonly stream: StreamInfo;
  readonly steps: Steps;
  readonly table: KeyTable<Sum>;
  readonly #kind: Kind<Value, Sum>;
  readonly #fields: readonly FieldInfo[];
  readonly #matches: (values: Readonly<Record<string, string | number>>) => boolean;

  /** Keys are kept apart by `kind.fields`. **Errors**: `usage`. */
  constructor(
    stream: StreamInfo,
    request: SeriesRequest,
    kind: Kind<Value, Sum> & { readonly fields: readonly FieldInfo[] },
  ) {
    this.stream = stream;
    this.steps = new Steps(request);
    this.table = new KeyTable(this.steps.starts.length, kind.maxValues);
    this.#kind = kind;
    this.#fields = kind.fields;
    this.#matches = fieldMatcher(stream, request.filter);
  }

  /** Another version may have kept the stream by other fields. */
  takes({ name, kind, valueType }: StreamInfo): boolean {
    const { stream } = this;
    return name === stream.name && kind === stream.kind && valueType.unit === stream.valueType.unit;
  }

  rowsOf({ id: stream, info }: SegmentStream, dictionary: Dictionary): RowOf {
    const rows = new Map<number, number>();
    return (id) => {
      let row = rows.get(id);
      if (row === undefined) {
        row = this.#rowOf(info.fields ?? [], dictionary.keyAt(stream, id));
        rows.set(id, row);
      }
      return row;
    };
  }

  add(bucket: number, blob: Uint8Array, by: KeysBy): void {
    const rows = this.#kind.decode(blob);
    if (rows === undefined) {
      this.tally.brokenBlobs++;
      return;
    }
    const { header, keys, values } = rows;
    const step = this.steps.of(bucket);
    this.tally.add(bucket, header, by.names);
    this.steps.coveredNs[step]! += header.endNs - header.startNs;
    for (let i = 0; i < keys.length; i++) {
      const row = by.rowOf(keys[i]!);
      if (row < 0) continue;
      const before = this.table.get(row, step);
      this.table.set(row, step, this.#kind.combine(before, values[i]!));
    }
  }

  /** Fields that a key has not, or that are lost, say so. */
  #rowOf(fields: readonly FieldInfo[], key: MetricKey | undefined): number {
    const missing = key === undefined ? '(lost)' : '';
    const valueOf = ({ name, type }: FieldInfo) =>
      key?.[fields.findIndex((field) => field.name === name && field.type === type)] ??
      (type === 'string' ? missing : -1);
    const all = this.stream.fields ?? [];
    const values = Object.fromEntries(all.map((field) => [field.name, valueOf(field)]));
    if (!this.#matches(values)) return -1;
    return this.table.row(this.#fields.map(({ name }) => values[name]!));
  }
}

/** Puts the keys of a gauge together that are equal in these fields. */
function sumKeys<Value>(
  { table, stream, steps }: Reading<Value, number>,
  by: readonly FieldInfo[],
): readonly KeySeries<number>[] {
  const places = by.map(({ name }) => stream.fields!.findIndex((field) => field.name === name));
  const sums = new KeyTable<number>(steps.starts.length, Infinity);
  for (const { key, values } of table.keys) {
    const row = sums.row(places.map((place) => key[place]!));
    for (const [step, value] of values.entries()) {
      if (value !== undefined) sums.set(row, step, (sums.get(row, step) ?? 0) + value);
    }
  }
  return sums.keys;
}

/** The stream's fields of these names, or all. **Errors**: `usage`. */
export function fieldsOf(stream: StreamInfo, names: readonly string[] | undefined): readonly FieldInfo[] {
  const { fields = [] } = stream;
  return (
    names?.map((name) => {
      const field = fields.find((f) => f.name === name);
      if (field !== undefined) return field;
      const known = fields.map((f) => f.name).join(', ') || 'none';
      const sentence = `${stream.name} has no field ${name}; its fields: ${known}`;
      throw new OperatingError('usage', sentence);
    }) ?? fields
  );
}
