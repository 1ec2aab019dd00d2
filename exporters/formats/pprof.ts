// pprof's profile.proto, gzipped, in bounded memory: concatenated messages are one message
// (protobuf's merge rule), so each piece is a small Profile of its own, encoded by pprof-format and
// forgotten. Field order is free on the wire. Source: google/pprof proto/profile.proto.

import type { Duplex } from 'node:stream';
import { pipeline, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { createGzip } from 'node:zlib';

import type {
  FunctionInput,
  LabelInput,
  LocationInput,
  MappingInput,
  ProfileInput,
  SampleInput,
} from 'pprof-format';
import { emptyTableToken, Label, Profile as Message, StringTable } from 'pprof-format';

import type { FunctionInfo, Module } from '../../storage/model/frame.js';
import { functionLabel, kernelModule, noModule } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import { noFramesLabel } from '../../storage/model/stacks.js';
import { printable } from './text.js';

/** Messages of one piece: few enough that the event loop, which turns after
 *  each, never waits for long. */
const pieceMessages = 32;

export interface PprofOptions {
  readonly timeUnixNs: bigint;
  readonly durationNs: bigint;
  /** Shown by `pprof -comments`, one line each. */
  readonly comments: readonly string[];
}

/** One location a function, at the function's start where only that is known and at 0 where it has
 *  a name; cut markers become the label `cut`. **Limits**: chunks of at most 32 KB. */
export async function* pprofGzip(profile: Profile, options: PprofOptions): AsyncGenerator<Buffer> {
  const gzip: Duplex = createGzip({ level: 1, chunkSize: 32 * 1024 });
  // An error reaches the reader below through the destroyed gzip stream.
  pipeline(Readable.from(turningAfterEach(encodePprof(profile, options))), gzip, () => {});
  yield* gzip as AsyncIterable<Buffer>;
}

async function* turningAfterEach<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) {
    yield item;
    await setImmediate();
  }
}

function* encodePprof(profile: Profile, options: PprofOptions): Generator<Uint8Array> {
  const strings = new StringTable();
  yield encodeHead(profile, options, strings);
  yield* encodeFunctions(profile, strings);
  yield* encodeSamples(profile, strings);
  for (let i = 0; i < strings.strings.length; i += pieceMessages) {
    const part = new StringTable(emptyTableToken);
    for (const text of strings.strings.slice(i, i + pieceMessages)) part.dedup(text);
    yield new Message({ stringTable: part }).encode();
  }
}

const noStrings = new StringTable(emptyTableToken);

/** A piece that holds everything but strings, whose table goes last and once. */
function encodePiece(piece: Omit<ProfileInput, 'stringTable'>): Uint8Array {
  return new Message({ ...piece, stringTable: noStrings }).encode();
}

function encodeHead(profile: Profile, options: PprofOptions, strings: StringTable): Uint8Array {
  const sampleType = profile.valueTypes.map(({ type, unit }) => ({
    type: strings.dedup(printable(type)),
    unit: strings.dedup(printable(unit)),
  }));
  const last = sampleType.at(-1)!;
  return encodePiece({
    sampleType,
    timeNanos: options.timeUnixNs,
    durationNanos: options.durationNs,
    comment: options.comments.map((comment) => strings.dedup(printable(comment))),
    defaultSampleType: last.type,
    ...(profile.period !== 0 && { periodType: last, period: Math.round(profile.period) }),
  });
}

/** Function i is location i + 1 and function i + 1; one more stands for a stack of no frames. */
function* encodeFunctions(profile: Profile, strings: StringTable): Generator<Uint8Array> {
  const mappingIds = new Map<string, number>();
  let mapping: MappingInput[] = [];
  let location: LocationInput[] = [];
  let functions: FunctionInput[] = [];
  const mappingIdOf = (module: Module): number => {
    if (module.name === '' && module.path === '') return 0;
    const key = `${module.path}\0${module.name}\0${module.buildId}`;
    let id = mappingIds.get(key);
    if (id === undefined) {
      id = mappingIds.size + 1;
      mappingIds.set(key, id);
      const filename = strings.dedup(printable(module.path || module.name));
      mapping.push({
        id,
        filename,
        buildId: strings.dedup(printable(module.buildId)),
        hasFunctions: true,
      });
    }
    return id;
  };

  mappingIdOf(mainModule(profile));
  for (let i = 0; i < profile.functions.length; i++) {
    const fn = profile.functions[i]!;
    if (fn.frameType === 'cut') continue;
    const id = i + 1;
    const startLine = fn.startLine ?? 0;
    functions.push({ id, ...namesOf(fn, strings), startLine });
    const line = [{ functionId: id, line: startLine }];
    location.push({ id, mappingId: mappingIdOf(fn.module), address: addressOf(fn), line });
    if (functions.length < pieceMessages) continue;
    yield encodePiece({ mapping, location, function: functions });
    mapping = [];
    location = [];
    functions = [];
  }
  const id = profile.functions.length + 1;
  functions.push({ id, name: strings.dedup(noFramesLabel) });
  location.push({ id, line: [{ functionId: id }] });
  yield encodePiece({ mapping, location, function: functions });
}

/** The system name stays empty where it is the name: pprof then shows the name as it
 *  is and does not shorten it. */
function namesOf(fn: FunctionInfo, strings: StringTable): FunctionInput {
  return {
    name: strings.dedup(printable(functionLabel(fn))),
    systemName: strings.dedup(printable(fn.systemName ?? '')),
    filename: strings.dedup(printable(fn.file ?? '')),
  };
}

/** Kernel addresses are negative as numbers and above 2^63 on the wire. */
function addressOf(fn: FunctionInfo): bigint {
  return BigInt.asUintN(64, BigInt(fn.start ?? 0));
}

/** pprof names a profile after its first mapping: the executable with more than half of
 *  the samples, else the kernel. */
function mainModule(profile: Profile): Module {
  const seriesWeights = new Float64Array(profile.series.length);
  const values = profile.values[0]!;
  for (let row = 0; row < values.length; row++) {
    seriesWeights[profile.rowSeries[row]!]! += values[row]!;
  }
  const weights = new Map<string, number>();
  profile.series.forEach(({ exe }, i) =>
    weights.set(exe, (weights.get(exe) ?? 0) + seriesWeights[i]!),
  );
  const total = seriesWeights.reduce((sum, weight) => sum + weight, 0);
  const dominant = [...weights].find(([exe, weight]) => exe !== '' && weight > total / 2)?.[0];
  const path = dominant ?? kernelModule.path;
  return profile.functions.find((fn) => fn.module.path === path)?.module ?? noModule;
}

function* encodeSamples(profile: Profile, strings: StringTable): Generator<Uint8Array> {
  const { functions, parents, nodeFunctions, rowNodes, rowSeries } = profile;
  const seriesLabels: (Label[] | undefined)[] = [];
  let piece: SampleInput[] = [];
  for (let row = 0; row < rowNodes.length; row++) {
    const locationId: number[] = [];
    const series = rowSeries[row]!;
    let label = (seriesLabels[series] ??= labelsOf(profile.series[series]!, strings));
    for (let node = rowNodes[row]!; node !== 0; node = parents[node]!) {
      const fn = nodeFunctions[node]!;
      if (functions[fn]!.frameType !== 'cut') locationId.push(fn + 1);
      else label = [...label, textLabel('cut', functions[fn]!.name, strings)];
    }
    if (locationId.length === 0) locationId.push(functions.length + 1);
    piece.push({
      locationId,
      value: profile.values.map((column) => Math.round(column[row]!)),
      label,
    });
    if (piece.length === pieceMessages) {
      yield encodePiece({ sample: piece });
      piece = [];
    }
  }
  if (piece.length > 0) yield encodePiece({ sample: piece });
}

function labelsOf(series: SeriesInfo, strings: StringTable): Label[] {
  const { pid, comm, thread, user, cgroup, exe } = series;
  const labels = Object.entries({ comm, thread, user, cgroup, exe })
    .filter(([, text]) => text !== '')
    .map(([key, text]) => textLabel(key, text, strings));
  if (pid !== 0) labels.unshift(new Label({ key: strings.dedup('pid'), num: pid }));
  return labels;
}

function textLabel(key: string, text: string, strings: StringTable): Label {
  const label: LabelInput = { key: strings.dedup(key), str: strings.dedup(printable(text)) };
  return new Label(label);
}
