// A stream is one kind of kept data. Its registration in the dictionary says all a reader needs to
// decode it, so that a new sample type, histogram or event needs no new file format.

export type StreamKind = 'samples' | 'histogram' | 'counter' | 'gauge' | 'event';

/** What a number counts and in which unit, by pprof's names: cpu/nanoseconds, samples/count. */
export interface ValueType {
  readonly type: string;
  readonly unit: string;
}

/** One column of an event stream, or one part of a metric's key. A `string` is text; a `number` is
 *  an integer below 2^53, or -1 for unknown. */
export interface FieldInfo {
  readonly name: string;
  readonly type: 'number' | 'string';
  /** Unit of a number, when it has one: 'nanoseconds'. */
  readonly unit?: string;
}

/** Two streams are the same when every field is equal: another period makes
 *  another stream of the same name. */
export interface StreamInfo {
  /** Asked for by `--type`: cpu, page-faults, exec. */
  readonly name: string;
  readonly kind: StreamKind;
  /** What the stored integer counts. */
  readonly valueType: ValueType;
  /** samples only: one stored count stands for this much of `period.unit`
   *  (cpu, nanoseconds, 1e9/Hz). */
  readonly period?: ValueType & { readonly value: number };
  /** event: the columns, in stored order. histogram, counter, gauge: what values are kept apart by
   *  (pid, comm, cgroup, device); filters act on the fields of their names. */
  readonly fields?: readonly FieldInfo[];
}

/** Streams whose values are kept by key. */
export type MetricKind = 'histogram' | 'counter' | 'gauge';

/** One value for each of the stream's fields. */
export type MetricKey = readonly (string | number)[];

export function isMetric(kind: StreamKind): kind is MetricKind {
  return kind === 'histogram' || kind === 'counter' || kind === 'gauge';
}

/** The key that takes the values of keys for which a bucket has no room. */
export function overflowKey(fields: readonly FieldInfo[]): MetricKey {
  return fields.map(({ type }) => (type === 'string' ? '(other)' : -1));
}

/** The values an answer has for one stored count: the count itself, then
 *  what its period makes of it. */
export function valueTypesOf(stream: StreamInfo): readonly ValueType[] {
  const { period } = stream;
  return period === undefined
    ? [stream.valueType]
    : [stream.valueType, { type: period.type, unit: period.unit }];
}

/** One string per distinct stream, for maps. */
export function streamKey(stream: StreamInfo): string {
  return JSON.stringify([
    stream.name,
    stream.kind,
    stream.valueType,
    stream.period ?? null,
    stream.fields ?? null,
  ]);
}
