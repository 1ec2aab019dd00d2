// The dictionary of one segment: what the ids in its blobs mean. It grows in memory and is kept as
// appended chunks, each with the ids since the last commit; the watermark moves only when the
// transaction that wrote them has committed.

import { assert } from '../model/errors.js';
import type { FunctionInfo, Module } from '../model/frame.js';
import type { SeriesInfo } from '../model/series.js';
import type { MetricKey, StreamInfo } from '../model/stream.js';
import { overflowKey } from '../model/stream.js';
import { decoding } from './bytes.js';
import type { CodeEntry, KeyEntry } from './codecs.js';
import { codeCodec, isFunction, lostFunction, lostModule, lostSeries } from './codecs.js';
import { keyCodec, nameCodec, seriesCodec, streamCodec } from './codecs.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { Interned } from './interned.js';
import { Trie } from './trie.js';

/** `dict.kind`. 3 is kept for symbols that come late. */
export const chunkKinds = {
  code: 0,
  nodes: 1,
  series: 2,
  keys: 4,
  streams: 5,
  counterNames: 6,
} as const;
/** Ids of one kind; a series id must fit beside a node id into 53 bits. */
const maxIds = 2 ** 24;
/** Of a text in a key: the longest path. */
const maxKeyUnits = 4096;

/** A row of `dict`: the ids [first, first + n) of one kind. */
export interface Chunk {
  readonly kind: number;
  readonly first: number;
  readonly n: number;
  readonly data: Uint8Array;
}

export class Dictionary {
  readonly trie = new Trie();
  readonly series = new Interned<SeriesInfo>(seriesCodec);
  readonly streams = new Interned<StreamInfo>(streamCodec);
  readonly counterNames = new Interned<string>(nameCodec);
  readonly keys = new Interned<KeyEntry>(keyCodec);
  readonly #code: Interned<CodeEntry> = new Interned<CodeEntry>(
    codeCodec(
      (module) => this.#code.idOf(module),
      (id) => this.#moduleAt(id),
    ),
  );
  readonly #saved = new Map<number, number>();
  /** The symbolizer gives the same object again and again. */
  readonly #functionIds = new WeakMap<FunctionInfo, number>();

  /** Reads chunks in the order of their rows. A broken one leaves a hole that answers `(lost)`; it
   *  is counted, and so is one that does not begin where the one before ended. */
  static load(chunks: Iterable<Chunk>): { dictionary: Dictionary; brokenChunks: number } {
    const dictionary = new Dictionary();
    const ends = new Map<number, number>();
    let brokenChunks = 0;
    for (const chunk of chunks) {
      const { kind, first, n } = chunk;
      if (dictionary.#partOf(kind) === undefined) continue;
      const isNext = first === (ends.get(kind) ?? firstId(kind));
      if (!dictionary.#load(chunk) || !isNext) brokenChunks++;
      ends.set(kind, first + n);
    }
    dictionary.markSaved();
    return { dictionary, brokenChunks };
  }

  functionId(fn: FunctionInfo): number {
    let id = this.#functionIds.get(fn);
    if (id === undefined) {
      this.#code.idOf(fn.module);
      id = this.#code.idOf(fn);
      assert(id < maxIds, 'a segment has fewer than 2^24 functions');
      this.#functionIds.set(fn, id);
    }
    return id;
  }

  /** Frames of nodes are below this. */
  get frameCount(): number {
    return this.#code.size;
  }

  functionAt(id: number): FunctionInfo {
    const entry = this.#code.items[id];
    return entry !== undefined && isFunction(entry) ? entry : lostFunction;
  }

  seriesId(info: SeriesInfo): number {
    const id = this.series.idOf(info);
    assert(id < maxIds, 'a segment has fewer than 2^24 series');
    return id;
  }

  seriesAt(id: number): SeriesInfo {
    return this.series.items[id] ?? lostSeries;
  }

  findKey(stream: number, key: MetricKey): number | undefined {
    return this.keys.find({ stream, key: key.map(storable) });
  }

  keyId(stream: number, key: MetricKey): number {
    const id = this.keys.idOf({ stream, key: key.map(storable) });
    assert(id < maxIds, 'a segment has fewer than 2^24 keys');
    return id;
  }

  overflowKeyId(stream: number): number {
    return this.keyId(stream, overflowKey(this.streams.items[stream]?.fields ?? []));
  }

  /** undefined when it is lost, or that of another stream. */
  keyAt(stream: number, id: number): MetricKey | undefined {
    const entry = this.keys.items[id];
    return entry?.stream === stream ? entry.key : undefined;
  }

  /** Name of a counter of a bucket's header. */
  counterNameAt(id: number): string {
    return this.counterNames.items[id] ?? '(lost)';
  }

  /** What is not saved yet, as rows of `dict`. */
  unsavedChunks(): Chunk[] {
    const chunks: Chunk[] = [];
    for (const [kind, size, encode] of this.#parts()) {
      const first = this.#saved.get(kind) ?? firstId(kind);
      if (size > first) {
        chunks.push({ kind, first, n: size - first, data: encodeEnvelope(encode(first)) });
      }
    }
    return chunks;
  }

  /** Call when the transaction with all of `unsavedChunks` has committed. */
  markSaved(): void {
    for (const [kind, size] of this.#parts()) this.#saved.set(kind, size);
  }

  #parts(): [kind: number, size: number, encode: (first: number) => Uint8Array[]][] {
    return [
      [chunkKinds.code, this.#code.size, (first) => [this.#code.encodeFrom(first)]],
      [chunkKinds.nodes, this.trie.size, (first) => this.trie.encodeFrom(first)],
      [chunkKinds.series, this.series.size, (first) => [this.series.encodeFrom(first)]],
      [chunkKinds.keys, this.keys.size, (first) => [this.keys.encodeFrom(first)]],
      [chunkKinds.streams, this.streams.size, (first) => [this.streams.encodeFrom(first)]],
      [
        chunkKinds.counterNames,
        this.counterNames.size,
        (first) => [this.counterNames.encodeFrom(first)],
      ],
    ];
  }

  #load({ kind, first, n, data }: Chunk): boolean {
    const part = this.#partOf(kind);
    if (part === undefined || !isCount(first) || !isCount(n) || first + n > maxIds) return false;
    const streams = decodeEnvelope(data);
    return streams !== undefined && (decoding(() => part.load(first, n, streams)) ?? false);
  }

  /** undefined for kinds of later writers, which are left alone. */
  #partOf(kind: number): Loadable | undefined {
    switch (kind) {
      case chunkKinds.code:
        return this.#code;
      case chunkKinds.nodes:
        return this.trie;
      case chunkKinds.series:
        return this.series;
      case chunkKinds.keys:
        return this.keys;
      case chunkKinds.streams:
        return this.streams;
      case chunkKinds.counterNames:
        return this.counterNames;
      default:
        return undefined;
    }
  }

  #moduleAt(id: number): Module {
    const entry = this.#code.items[id];
    return entry === undefined || isFunction(entry) ? lostModule : entry;
  }
}

interface Loadable {
  load(first: number, count: number, streams: readonly Uint8Array[]): boolean;
}

/** Long texts are cut; what is no whole number is unknown. */
function storable(value: string | number): string | number {
  if (typeof value === 'string') return value.slice(0, maxKeyUnits);
  return Number.isSafeInteger(value) ? value : -1;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function firstId(kind: number): number {
  return kind === chunkKinds.nodes ? 1 : 0;
}
