// Drained counts and stacks -> normalized rows. Pure: no I/O, no clock. Hot path: typed
// arrays, keys and frames are read as u32 halves (canonical addresses are exact as signed
// Numbers), no object per frame.

import type { Drained } from '../../bpf/double-buffer.js';
import type { Mapping } from '../process/address-space.js';
import type { FileContent } from '../process/file-contents.js';
import type { ModuleRef } from '../process/modules.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import { seriesKey } from '../../storage/model/series.js';
import * as wire from '../../bpf/generated/wire.js';
import type { SampleRows } from '../messages.js';
import { ANONYMOUS_FRAME, KERNEL_FRAME, UNMAPPED_FRAME } from '../messages.js';
import type { Pieces } from '../pace.js';
import { HashIndex } from './hash-index.js';
import { StackTableBuilder } from './stack-table.js';

/** What a generation held, as far as it becomes rows. */
export type DrainedStacks = Pick<
  Drained,
  'count' | 'keys' | 'weights' | 'stackCount' | 'stackHashes' | 'stacks'
>;

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
  findMapping(address: number): SampledMapping | undefined;
  /** What the mapped file held as this flush's samples were taken. */
  contentOf(mapping: SampledMapping): FileContent;
}

export type SampledMapping = Pick<
  Mapping,
  'start' | 'limit' | 'fileOffset' | 'module' | 'addedNs' | 'removedNs'
>;

/** What the pipeline asks of the process table, the cgroup table and the user names. */
export interface Naming {
  image(tgid: number, startBootNs: number, execId: number): SampledImage | undefined;
  cgroupPath(rankedId: bigint): string;
  userName(uid: number): string;
}

export interface SampledModule {
  readonly content: FileContent;
  readonly module: ModuleRef;
  readonly tgid: number;
  readonly start: number;
  readonly limit: number;
}

export interface NormalizedSamples {
  readonly rows: SampleRows;
  /** Modules that frames of this flush lie in, by their content's id, each with a place where it is mapped. */
  readonly modules: ReadonlyMap<number, SampledModule>;
  /** Rows folded because the flush had more series than `maxSeries`. */
  readonly foldedSeries: number;
  /** Sum of weights per sample type. */
  readonly weightByType: Float64Array;
}

const KEY_WORDS = wire.FK_SAMPLE_KEY_SIZE / 4;
const STACK_BYTES = wire.FK_STACK_SIZE;
const TWO32 = 2 ** 32;
const FIRST_PLACE: number = wire.FkStackId.FK_STACK_FIRST;
/** Rows between two rests; most bring a stack of their own. */
const PIECE_ROWS = 64;
/** More than a stack map can hold. */
const MAX_PLACES = 2 ** 24;

/** `streamOfType[t]` is the message's stream index of sample type t. */
export function* normalizeSamples(
  drained: DrainedStacks,
  naming: Naming,
  options: { streamOfType: Uint8Array; maxSeries: number },
): Pieces<NormalizedSamples> {
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
    if (i % PIECE_ROWS === 0) yield undefined;
    const at = i * KEY_WORDS;
    const startBootNs = words[at + 1]! * TWO32 + words[at]!;
    const sampled = run.image(words[at + 2]!, startBootNs, words[at + 3]!);
    const type = words[at + wire.FK_SAMPLE_KEY_SAMPLE_TYPE_OFFSET / 4]!;
    const weight = drained.weights[i]!;
    weightByType[type]! += weight;
    rowStream[i] = options.streamOfType[type]!;
    rowSeries[i] = run.series(sampled, words, at);
    rowUser[i] = run.userStack(sampled, words[at + 8]!, words[at + 9]!);
    rowKernel[i] = run.kernelStack(words[at + 6]!, words[at + 7]!);
    rowWeight[i] = weight;
  }
  const rows = {
    rowStream,
    rowSeries,
    rowUser,
    rowKernel,
    rowWeight,
    series: run.seriesList,
    stacks: run.table.build(),
  };
  return { rows, modules: run.modules, foldedSeries: run.foldedSeries, weightByType };
}

/** An image's rows of this flush: what was found for them already. */
interface Sampled {
  readonly tgid: number;
  readonly startBootNs: number;
  readonly execId: number;
  readonly image: SampledImage | undefined;
  /** Counts up from 0; images that the process table does not know share -1, since none
   *  of their addresses is mapped. */
  readonly index: number;
  /** tid -> its series under one user and cgroup. */
  readonly threads: Map<
    number,
    { readonly uid: number; readonly low: number; readonly high: number; readonly id: number }
  >;
  /** Another one with this tgid. */
  readonly next: Sampled | undefined;
}

class Normalizer {
  readonly table = new StackTableBuilder();
  readonly modules = new Map<number, SampledModule>();
  readonly seriesList: SeriesInfo[] = [];
  foldedSeries = 0;
  readonly #naming: Naming;
  readonly #maxSeries: number;
  readonly #hashes: HashIndex;
  readonly #stackHead: Uint16Array;
  readonly #stackWords: Uint32Array;
  readonly #stackEnds: Uint8Array;
  readonly #seriesIds = new Map<string, number>();
  readonly #byTgid = new Map<number, Sampled>();
  #images = 0;
  /** (image's index, place of the stack) -> its stack in the table; the kernel's by place alone. */
  readonly #userStacks = new Map<number, number>();
  readonly #kernelStacks = new Map<number, number>();

  constructor(drained: DrainedStacks, naming: Naming, maxSeries: number) {
    this.#naming = naming;
    this.#maxSeries = maxSeries;
    const { buffer, byteOffset } = drained.stacks;
    const bytes = drained.stackCount * STACK_BYTES;
    this.#stackHead = new Uint16Array(buffer, byteOffset, bytes / 2);
    this.#stackWords = new Uint32Array(buffer, byteOffset, bytes / 4);
    this.#stackEnds = new Uint8Array(buffer, byteOffset, bytes);
    this.#hashes = new HashIndex(drained.stackHashes, drained.stackCount);
  }

  image(tgid: number, startBootNs: number, execId: number): Sampled {
    const newest = this.#byTgid.get(tgid);
    for (let known = newest; known !== undefined; known = known.next) {
      if (known.startBootNs === startBootNs && known.execId === execId) return known;
    }
    const image = this.#naming.image(tgid, startBootNs, execId);
    const index = image === undefined ? -1 : this.#images++;
    const sampled = { tgid, startBootNs, execId, image, index, threads: new Map(), next: newest };
    this.#byTgid.set(tgid, sampled);
    return sampled;
  }

  series(sampled: Sampled, words: Uint32Array, at: number): number {
    const tid = words[at + wire.FK_SAMPLE_KEY_TID_OFFSET / 4]!;
    const uid = words[at + wire.FK_SAMPLE_KEY_UID_OFFSET / 4]!;
    const low = words[at + 4]!;
    const high = words[at + 5]!;
    const known = sampled.threads.get(tid);
    if (known !== undefined && known.uid === uid && known.low === low && known.high === high) {
      return known.id;
    }
    const info = this.#seriesInfo(sampled, tid, uid, (BigInt(high) << 32n) | BigInt(low));
    const key = seriesKey(info);
    let id = this.#seriesIds.get(key);
    if (id === undefined) {
      id = this.seriesList.length;
      this.seriesList.push(info);
      this.#seriesIds.set(key, id);
    }
    sampled.threads.set(tid, { uid, low, high, id });
    return id;
  }

  #seriesInfo({ image, tgid }: Sampled, tid: number, uid: number, cgroup: bigint): SeriesInfo {
    const who = { uid, user: this.#naming.userName(uid), cgroup: this.#naming.cgroupPath(cgroup) };
    if (image === undefined) {
      return { pid: tgid, startUnixMs: 0, comm: '', thread: '', exe: '', ...who };
    }
    const { comm, executable: exe } = image;
    if (this.seriesList.length >= this.#maxSeries) this.foldedSeries++;
    else if (!image.isFolded) {
      const thread = image.threadName(tid);
      return { pid: tgid, startUnixMs: image.startUnixMs, comm, thread, exe, ...who };
    }
    return { pid: 0, startUnixMs: 0, comm, thread: comm, exe, ...who };
  }

  userStack({ image, index }: Sampled, low: number, high: number): number {
    if (high === 0 && low === 0) return -1;
    const place = this.#place(low, high);
    const key = (index + 1) * MAX_PLACES + place;
    let stack = this.#userStacks.get(key);
    if (stack === undefined) {
      stack = this.#addStack(place, image);
      this.#userStacks.set(key, stack);
    }
    return stack;
  }

  kernelStack(low: number, high: number): number {
    if (high === 0 && low === 0) return -1;
    const place = this.#place(low, high);
    let stack = this.#kernelStacks.get(place);
    if (stack === undefined) {
      stack = this.#addStack(place, 'kernel');
      this.#kernelStacks.set(place, stack);
    }
    return stack;
  }

  /** Where a stack stands among the drained ones, moved up to leave room for those without
   *  frames: a hash below FK_STACK_FIRST is none, but 1 + the stack's end. One that did not
   *  arrive found no room in its map. */
  #place(low: number, high: number): number {
    if (high === 0 && low < FIRST_PLACE) return low - 1;
    const index = this.#hashes.find(low, high);
    return index < 0 ? wire.FkStackEnd.FK_END_STACK_MAP_FULL : FIRST_PLACE + index;
  }

  /** One loop for both kinds, and no call with an address but where the mapping
   *  changes: each would allocate it. */
  #addStack(place: number, owner: SampledImage | 'kernel' | undefined): number {
    if (place < FIRST_PLACE) return this.table.finish(place);
    const index = place - FIRST_PLACE;
    const nWords = Math.min(
      this.#stackHead[(index * STACK_BYTES) / 2]!,
      wire.FkLimit.FK_STACK_WORDS,
    );
    const first = (index * STACK_BYTES + wire.FK_STACK_WORDS_OFFSET) / 4;
    let mapping: SampledMapping | undefined;
    let module = UNMAPPED_FRAME;
    for (let i = 0; i < nWords; i++) {
      const address =
        (this.#stackWords[first + 2 * i + 1]! | 0) * TWO32 + this.#stackWords[first + 2 * i]!;
      const lookup = i === 0 ? address : address - 1;
      if (owner === 'kernel') {
        this.table.addFrame(KERNEL_FRAME, lookup);
        continue;
      }
      if (
        mapping === undefined ||
        lookup < mapping.start ||
        lookup >= mapping.limit ||
        mapping.removedNs !== Infinity
      ) {
        mapping = owner?.findMapping(lookup);
        module = this.#moduleOf(mapping, owner);
      }
      const isInFile = mapping !== undefined && module >= 0;
      this.table.addFrame(
        module,
        isInFile ? lookup - mapping!.start + mapping!.fileOffset : lookup,
      );
    }
    return this.table.finish(this.#stackEnds[index * STACK_BYTES + wire.FK_STACK_END_OFFSET]!);
  }

  #moduleOf(mapping: SampledMapping | undefined, owner: SampledImage | undefined): number {
    if (mapping === undefined || owner === undefined) return UNMAPPED_FRAME;
    const { module, start, limit } = mapping;
    if (module.kind === 'anonymous') return ANONYMOUS_FRAME;
    const content = owner.contentOf(mapping);
    const { tgid } = owner;
    if (!this.modules.has(content.id)) {
      this.modules.set(content.id, { content, module, tgid, start, limit });
    }
    return content.id;
  }
}
