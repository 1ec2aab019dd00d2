// How functions and modules, series, streams and counter names stand in dictionary chunks.
// Everything read is checked item by item; what a later writer added is left out, never trusted.

import type { FrameType, FunctionInfo, Module, NameReason } from '../model/frame.js';
import { functionKey } from '../model/frame.js';
import type { SeriesInfo } from '../model/series.js';
import { seriesKey } from '../model/series.js';
import type { FieldInfo, MetricKey, StreamInfo } from '../model/stream.js';
import type { StreamKind, ValueType } from '../model/stream.js';
import { streamKey } from '../model/stream.js';
import { BrokenBlob } from './bytes.js';
import type { ItemCodec } from './interned.js';
import { decodeArray, decodeInteger, decodeObject, decodeString } from './interned.js';

/** Modules and functions share one list of ids; a function names its module by id. */
export type CodeEntry = Module | FunctionInfo;

export const lostModule: Module = { name: '(lost)', path: '', buildId: '' };
export const lostFunction: FunctionInfo = {
  module: lostModule,
  frameType: 'native',
  name: '(lost)',
};
export const lostSeries: SeriesInfo = {
  pid: 0,
  startUnixMs: 0,
  comm: '(lost)',
  thread: '(lost)',
  exe: '',
  uid: 0,
  user: '0',
  cgroup: '',
};

const frameTypes: FrameType[] = ['native', 'kernel', 'cut'];
const kinds: StreamKind[] = ['samples', 'histogram', 'counter', 'gauge', 'event'];
const maxFields = 64;

export function isFunction(entry: CodeEntry): entry is FunctionInfo {
  return 'frameType' in entry;
}

/** Module: [name, path, buildId]. Function: [module id, frame type, name, {the optional rest}?]. */
export function codeCodec(
  idOfModule: (module: Module) => number,
  moduleAt: (id: number) => Module,
): ItemCodec<CodeEntry> {
  return {
    key: (entry) => (isFunction(entry) ? `f${functionKey(entry)}` : `m${moduleKey(entry)}`),
    encode(entry) {
      if (!isFunction(entry)) return [entry.name, entry.path, entry.buildId];
      const { module, frameType, name, ...rest } = entry;
      const head = [idOfModule(module), frameType, name];
      return Object.keys(rest).length === 0 ? head : [...head, rest];
    },
    decode(json) {
      const [first, second, third, rest] = decodeArray(json);
      if (typeof first === 'string') {
        return { name: first, path: decodeString(second), buildId: decodeString(third) };
      }
      const frameType = decodeString(second) as FrameType;
      return {
        module: moduleAt(decodeInteger(first)),
        frameType: frameTypes.includes(frameType) ? frameType : 'native',
        name: decodeString(third),
        ...(rest === undefined ? {} : decodeFunctionRest(decodeObject(rest))),
      };
    },
  };
}

function moduleKey({ name, path, buildId }: Module): string {
  return JSON.stringify([name, path, buildId]);
}

function decodeFunctionRest(rest: Readonly<Record<string, unknown>>): Partial<FunctionInfo> {
  const { systemName, file, startLine, reason, start, isGuess } = rest;
  return {
    ...(systemName === undefined ? {} : { systemName: decodeString(systemName) }),
    ...(file === undefined ? {} : { file: decodeString(file) }),
    ...(startLine === undefined ? {} : { startLine: decodeInteger(startLine) }),
    ...(reason === undefined ? {} : { reason: decodeString(reason) as NameReason }),
    ...(start === undefined ? {} : { start: decodeInteger(start) }),
    ...(isGuess === undefined ? {} : { isGuess: isGuess === true }),
  };
}

export const seriesCodec: ItemCodec<SeriesInfo> = {
  key: seriesKey,
  encode: (s) => [s.pid, s.startUnixMs, s.comm, s.thread, s.exe, s.uid, s.user, s.cgroup],
  decode(json) {
    const [pid, startUnixMs, comm, thread, exe, uid, user, cgroup] = decodeArray(json);
    return {
      pid: decodeInteger(pid),
      startUnixMs: decodeInteger(startUnixMs),
      comm: decodeString(comm),
      thread: decodeString(thread),
      exe: decodeString(exe),
      uid: decodeInteger(uid),
      user: decodeString(user),
      cgroup: decodeString(cgroup),
    };
  },
};

export const streamCodec: ItemCodec<StreamInfo> = {
  key: streamKey,
  encode: (stream) => stream,
  decode(json) {
    const { name, kind, valueType, period, fields } = decodeObject(json);
    if (!kinds.includes(kind as StreamKind)) throw new BrokenBlob('not a kind of stream');
    return {
      name: decodeString(name),
      kind: kind as StreamKind,
      valueType: decodeValueType(valueType),
      ...(period === undefined ? {} : { period: decodePeriod(period) }),
      ...(fields === undefined ? {} : { fields: decodeFields(fields) }),
    };
  },
};

function decodeValueType(json: unknown): ValueType {
  const { type, unit } = decodeObject(json);
  return { type: decodeString(type), unit: decodeString(unit) };
}

function decodePeriod(json: unknown): ValueType & { value: number } {
  const { value } = decodeObject(json);
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new BrokenBlob('a period is a number');
  }
  return { ...decodeValueType(json), value };
}

function decodeFields(json: unknown): FieldInfo[] {
  const fields = decodeArray(json);
  if (fields.length > maxFields) throw new BrokenBlob('a stream has at most 64 fields');
  return fields.map((field) => {
    const { name, type, unit } = decodeObject(field);
    if (type !== 'number' && type !== 'string') throw new BrokenBlob('not a type of field');
    return {
      name: decodeString(name),
      type,
      ...(unit === undefined ? {} : { unit: decodeString(unit) }),
    };
  });
}

/** A key of a histogram, counter or gauge: ids are dense over all streams of a segment. */
export interface KeyEntry {
  readonly stream: number;
  readonly key: MetricKey;
}

/** Key: [stream id, a value each field]. */
export const keyCodec: ItemCodec<KeyEntry> = {
  key: ({ stream, key }) => JSON.stringify([stream, ...key]),
  encode: ({ stream, key }) => [stream, ...key],
  decode(json) {
    const [stream, ...key] = decodeArray(json);
    return {
      stream: decodeInteger(stream),
      key: key.map((value) => (typeof value === 'string' ? value : decodeInteger(value))),
    };
  },
};

export const nameCodec: ItemCodec<string> = {
  key: (name) => name,
  encode: (name) => name,
  decode: decodeString,
};
