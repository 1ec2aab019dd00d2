// Drained counts and stacks -> normalized rows. Pure: no I/O, no clock. Hot path: typed arrays, keys and frames are
// read as u32 halves (canonical addresses are exact as signed Numbers), no object per frame.

import type { Drained } from '../../bpf/double-buffer.js';
import type { ModuleRef } from '../process/modules.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import { seriesKey } from '../../storage/model/series.js';
import * as wire from '../../bpf/generated/wire.js';
import type { SampleRows } from '../messages.js';
import { ANONYMOUS_FRAME, KERNEL_FRAME, UNMAPPED_FRAME } from '../messages.js';
import { StackTableBuilder } from './stack-table.js';

/** What a generation held, as far as it becomes rows. */
export type DrainedStacks = Pick<Drained, 'count' | 'keys' | 'weights' | 'stackCount' | 'stackHashes' | 'stacks'>;

/** A program image as samples see it; undefined where the process table does not know it. */
export interface SampledImage {
  readonly id: number;
  readonly tgid: number;
  /** Ended before the flush and short-lived: kept by executable, not by pid. */
  readonly isFolded: boolean;
  readonly startUnixMs: number;
  readonly comm: string;
  readonly executable: string;
  threadName(tid: number): string;
  findMapping(address: number): { readonly start: number; readonly fileOffset: number; readonly module: ModuleRef } | undefined;
}

/** What the pipeline asks of the process table, the cgroup table and the user names. */
export interface Naming {
  image(tgid: number, startBootNs: number, execId: number): SampledImage | undefined;
  cgroupPath(rankedId: bigint): string;
  userName(uid: number): string;
}

export interface NormalizedSamples {
  readonly rows: SampleRows;
  /** Modules that frames of this flush lie in, by id, each with a process that maps it. */
  readonly modules: ReadonlyMap<number, { readonly module: ModuleRef; readonly tgid: number }>;
  /** Rows folded because the flush had more series than `maxSeries`. */
  readonly foldedSeries: number;
  /** Sum of weights per sample type. */
  readonly weightByType: Float64Array;
}

const KEY_WORDS = wire.FK_SAMPLE_KEY_SIZE / 4;
const STACK_BYTES = wire.FK_STACK_SIZE;
const TWO32 = 2 ** 32;

/** `streamOfType[t]` is the message's stream index of sample type t. */
export function normalizeSamples(
  drained: DrainedStacks,
  naming: Naming,
  options: { streamOfType: Uint8Array; maxSeries: number },
): NormalizedSamples {
  const run = new Normalizer(drained, naming, options.maxSeries);
  const { count } = drained;
  const words = new Uint32Array(drained.keys.buffer, drained.keys.byteOffset, count * KEY_WORDS);
  const rowStream = new Uint8Array(count);
  const rowSeries = new Uint32Array(count);
  const rowUser = new Int32Array(count);
  const rowKernel = new Int32Array(count);
  const rowWeight = new Float64Array(count);
  const weightByType = new Float64Array(options.streamOfType.length);
  for (let i = 0; i < count; i++) {
    const at = i * KEY_WORDS;
    const startBootNs = words[at + 1]! * TWO32 + words[at]!;
    const tgid = words[at + 2]!;
    const image = run.image(tgid, startBootNs, words[at + 3]!);
    const type = words[at + wire.FK_SAMPLE_KEY_SAMPLE_TYPE_OFFSET / 4]!;
    const weight = drained.weights[i]!;
    weightByType[type]! += weight;
    rowStream[i] = options.streamOfType[type]!;
    rowSeries[i] = run.series(image, tgid, words, at);
    rowUser[i] = run.userStack(image, words[at + 8]!, words[at + 9]!);
    rowKernel[i] = run.kernelStack(words[at + 6]!, words[at + 7]!);
    rowWeight[i] = weight;
  }
  const rows = { rowStream, rowSeries, rowUser, rowKernel, rowWeight, series: run.seriesList, stacks: run.table.build() };
  return { rows, modules: run.modules, foldedSeries: run.foldedSeries, weightByType };
}

class Normalizer {
  readonly table = new StackTableBuilder();
  readonly modules = new Map<number, { module: ModuleRef; tgid: number }>();
  readonly seriesList: SeriesInfo[] = [];
  foldedSeries = 0;
  readonly #naming: Naming;
  readonly #maxSeries: number;
  readonly #stackIndex = new Map<bigint, number>();
  readonly #stackHead: Uint16Array;
  readonly #stackWords: Uint32Array;
  readonly #stackEnds: Uint8Array;
  readonly #seriesIds = new Map<string, number>();
  readonly #images = new Map<string, SampledImage | undefined>();
  readonly #userStacks = new Map<string, number>();
  readonly #kernelStacks = new Map<bigint, number>();

  constructor(drained: DrainedStacks, naming: Naming, maxSeries: number) {
    this.#naming = naming;
    this.#maxSeries = maxSeries;
    const { buffer, byteOffset } = drained.stacks;
    const bytes = drained.stackCount * STACK_BYTES;
    this.#stackHead = new Uint16Array(buffer, byteOffset, bytes / 2);
    this.#stackWords = new Uint32Array(buffer, byteOffset, bytes / 4);
    this.#stackEnds = new Uint8Array(buffer, byteOffset, bytes);
    for (let i = 0; i < drained.stackCount; i++) this.#stackIndex.set(drained.stackHashes[i]!, i);
  }

  image(tgid: number, startBootNs: number, execId: number): SampledImage | undefined {
    const key = `${tgid},${startBootNs},${execId}`;
    if (this.#images.has(key)) return this.#images.get(key);
    const image = this.#naming.image(tgid, startBootNs, execId);
    this.#images.set(key, image);
    return image;
  }

  series(image: SampledImage | undefined, tgid: number, words: Uint32Array, at: number): number {
    const tid = words[at + wire.FK_SAMPLE_KEY_TID_OFFSET / 4]!;
    const uid = words[at + wire.FK_SAMPLE_KEY_UID_OFFSET / 4]!;
    const cgroupLow = words[at + 4]!;
    const cgroupHigh = words[at + 5]!;
    const quickKey = `${image?.id ?? -tgid},${tid},${uid},${cgroupHigh},${cgroupLow}`;
    const known = this.#seriesIds.get(quickKey);
    if (known !== undefined) return known;
    const info = this.#seriesInfo(image, tgid, tid, uid, (BigInt(cgroupHigh) << 32n) | BigInt(cgroupLow));
    const key = seriesKey(info);
    let id = this.#seriesIds.get(key);
    if (id === undefined) {
      id = this.seriesList.length;
      this.seriesList.push(info);
      this.#seriesIds.set(key, id);
    }
    this.#seriesIds.set(quickKey, id);
    return id;
  }

  #seriesInfo(image: SampledImage | undefined, tgid: number, tid: number, uid: number, cgroup: bigint): SeriesInfo {
    const who = { uid, user: this.#naming.userName(uid), cgroup: this.#naming.cgroupPath(cgroup) };
    if (image === undefined) return { pid: tgid, startUnixMs: 0, comm: '', thread: '', exe: '', ...who };
    const { comm, executable: exe } = image;
    if (this.seriesList.length >= this.#maxSeries) this.foldedSeries++;
    else if (!image.isFolded) {
      const thread = image.threadName(tid);
      return { pid: tgid, startUnixMs: image.startUnixMs, comm, thread, exe, ...who };
    }
    return { pid: 0, startUnixMs: 0, comm, thread: comm, exe, ...who };
  }

  userStack(image: SampledImage | undefined, low: number, high: number): number {
    if (high === 0 && low === 0) return -1;
    const key = `${image?.id ?? -1},${high},${low}`;
    let stack = this.#userStacks.get(key);
    if (stack === undefined) {
      stack = this.#addStack(low, high, (address, isLeaf) => this.#addUserFrame(image, address, isLeaf));
      this.#userStacks.set(key, stack);
    }
    return stack;
  }

  kernelStack(low: number, high: number): number {
    if (high === 0 && low === 0) return -1;
    const hash = (BigInt(high) << 32n) | BigInt(low);
    let stack = this.#kernelStacks.get(hash);
    if (stack === undefined) {
      stack = this.#addStack(low, high, (address, isLeaf) =>
        this.table.addFrame(KERNEL_FRAME, isLeaf ? address : address - 1));
      this.#kernelStacks.set(hash, stack);
    }
    return stack;
  }

  /** A hash below FK_STACK_FIRST stands for a stack without frames: 1 + its end. */
  #addStack(low: number, high: number, addFrame: (address: number, isLeaf: boolean) => void): number {
    if (high === 0 && low < wire.FkStackId.FK_STACK_FIRST) return this.table.finish(low - 1);
    const index = this.#stackIndex.get((BigInt(high) << 32n) | BigInt(low));
    if (index === undefined) return this.table.finish(wire.FkStackEnd.FK_END_STACK_MAP_FULL);
    const nWords = Math.min(this.#stackHead[(index * STACK_BYTES) / 2]!, wire.FkLimit.FK_STACK_WORDS);
    const first = (index * STACK_BYTES + wire.FK_STACK_WORDS_OFFSET) / 4;
    for (let i = 0; i < nWords; i++) {
      const lowWord = this.#stackWords[first + 2 * i]!;
      const highWord = this.#stackWords[first + 2 * i + 1]!;
      addFrame((highWord | 0) * TWO32 + lowWord, i === 0);
    }
    return this.table.finish(this.#stackEnds[index * STACK_BYTES + wire.FK_STACK_END_OFFSET]!);
  }

  #addUserFrame(image: SampledImage | undefined, address: number, isLeaf: boolean): void {
    const lookup = isLeaf ? address : address - 1;
    const mapping = image?.findMapping(lookup);
    if (mapping === undefined) return this.table.addFrame(UNMAPPED_FRAME, lookup);
    if (mapping.module.kind === 'anonymous') return this.table.addFrame(ANONYMOUS_FRAME, lookup);
    const { module } = mapping;
    if (!this.modules.has(module.id)) this.modules.set(module.id, { module, tgid: image!.tgid });
    this.table.addFrame(module.id, lookup - mapping.start + mapping.fileOffset);
  }
}
