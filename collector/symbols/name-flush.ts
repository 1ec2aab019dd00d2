// One flush on its way into the store: stacks are named, put root first
// into the trie, and counted. (back)

import * as wire from '../../bpf/generated/wire.js';
import type { Counters } from '../../storage/model/completeness.js';
import type { FunctionInfo } from '../../storage/model/frame.js';
import { cutFunction, noModule } from '../../storage/model/frame.js';
import type { FlushWriter } from '../../storage/model/writer.js';
import type { FlushMessage, StackTable } from '../messages.js';
import { ANONYMOUS_FRAME, KERNEL_FRAME, UNMAPPED_FRAME } from '../messages.js';
import { stackEndText } from '../pipeline/stack-ends.js';
import type { Symbolizer } from './symbolizer.js';

/** More than there are; a byte in the kernel's record. */
const MAX_ENDS = 256;

const unmapped: FunctionInfo = {
  module: noModule,
  frameType: 'native',
  name: '',
  reason: 'no-mapping',
};
const anonymous: FunctionInfo = {
  module: noModule,
  frameType: 'native',
  name: '',
  reason: 'anonymous',
};

export interface NamedFlush extends NamedCount {
  /** Of each sample type that had any: counters stacks.*. */
  readonly stackEnds: readonly { readonly type: string; readonly counters: Counters }[];
}

export interface NamedCount {
  readonly framesNamed: number;
  readonly framesTotal: number;
  /** Kernel addresses that no symbol covers: code that was loaded after kallsyms was read. */
  readonly kernelFramesUnnamed: number;
}

/** Adds streams, rows and events of the message to the writer; the caller commits. */
export function nameFlush(
  message: FlushMessage,
  symbolizer: Symbolizer,
  writer: FlushWriter,
): NamedFlush {
  const streams = message.streams.map(({ info, counters }) => {
    const id = writer.streamId(info);
    writer.header(id, counters);
    return id;
  });
  for (const { stream, columns } of message.events) writer.events(streams[stream]!, columns);
  const count = { framesNamed: 0, framesTotal: 0, kernelFramesUnnamed: 0 };
  const stackEnds: { type: string; counters: Counters }[] = [];
  for (const rows of message.samples) {
    const series = rows.series.map((info) => writer.seriesId(info));
    const trie = new StackNamer(rows.stacks, symbolizer, writer, count);
    const ends = new EndSums(streams.length);
    for (let row = 0; row < rows.rowWeight.length; row++) {
      const [user, kernel] = [rows.rowUser[row]!, rows.rowKernel[row]!];
      const [stream, weight] = [rows.rowStream[row]!, rows.rowWeight[row]!];
      const end = trie.end(user, kernel);
      ends.add(stream, end, weight);
      writer.sample(
        streams[stream]!,
        series[rows.rowSeries[row]!]!,
        trie.node(user, kernel, end),
        weight,
      );
    }
    ends.write((stream, counters) => {
      writer.header(streams[stream]!, counters);
      stackEnds.push({ type: message.streams[stream]!.info.name, counters });
    });
  }
  return { ...count, stackEnds };
}

/** Weight of each stream's stacks by where they end. */
class EndSums {
  readonly #sums: Float64Array;

  constructor(streams: number) {
    this.#sums = new Float64Array(streams * MAX_ENDS);
  }

  add(stream: number, end: number, weight: number): void {
    this.#sums[stream * MAX_ENDS + Math.min(end, MAX_ENDS - 1)]! += weight;
  }

  write(header: (stream: number, counters: Counters) => void): void {
    for (let stream = 0; stream < this.#sums.length / MAX_ENDS; stream++) {
      const counters: Record<string, number> = {};
      for (let end = 0; end < MAX_ENDS; end++) {
        const sum = this.#sums[stream * MAX_ENDS + end]!;
        if (sum === 0) continue;
        const isComplete = end === wire.FkStackEnd.FK_END_COMPLETE;
        counters[isComplete ? 'stacks.complete' : `stacks.cut.${stackEndText(end)}`] = sum;
      }
      if (Object.keys(counters).length > 0) header(stream, counters);
    }
  }
}

interface NamedFrame {
  readonly functionId: number;
  readonly isNamed: boolean;
  readonly isKernel: boolean;
}

class StackNamer {
  readonly #stacks: StackTable;
  readonly #symbolizer: Symbolizer;
  readonly #writer: FlushWriter;
  readonly #count: { -readonly [name in keyof NamedCount]: number };
  /** Module -> offset -> what is there: most frames of a flush are callers of many stacks. */
  readonly #named = new Map<number, Map<number, NamedFrame>>();
  /** User stack -> its leaf's node; the same by kernel stack's end for rows
   *  whose kernel stack was cut. */
  readonly #userNodes = new Map<number, number>();

  constructor(
    stacks: StackTable,
    symbolizer: Symbolizer,
    writer: FlushWriter,
    count: { -readonly [name in keyof NamedCount]: number },
  ) {
    this.#count = count;
    this.#stacks = stacks;
    this.#symbolizer = symbolizer;
    this.#writer = writer;
  }

  /** Why the two together end where they do. */
  end(user: number, kernel: number): number {
    const userEnd = user < 0 ? wire.FkStackEnd.FK_END_COMPLETE : this.#stacks.ends[user]!;
    const kernelEnd = kernel < 0 ? wire.FkStackEnd.FK_END_COMPLETE : this.#stacks.ends[kernel]!;
    return userEnd === wire.FkStackEnd.FK_END_COMPLETE ? kernelEnd : userEnd;
  }

  /** Node of the leaf: root, then the marker if a part was cut, the
   *  user frames, the kernel frames. */
  node(user: number, kernel: number, end: number): number {
    let node = this.#userNode(user, end);
    if (kernel >= 0) node = this.#append(node, kernel);
    return node;
  }

  #userNode(user: number, end: number): number {
    const key = user * 256 + end;
    let node = this.#userNodes.get(key);
    if (node === undefined) {
      node = 0;
      if (end !== wire.FkStackEnd.FK_END_COMPLETE) {
        node = this.#writer.node(0, this.#writer.functionId(cutFunction(stackEndText(end))));
      }
      if (user >= 0) node = this.#append(node, user);
      this.#userNodes.set(key, node);
    }
    return node;
  }

  #append(from: number, stack: number): number {
    const { starts, frameModules, frameOffsets } = this.#stacks;
    let node = from;
    for (let i = starts[stack + 1]! - 1; i >= starts[stack]!; i--) {
      const frame = this.#frame(frameModules[i]!, frameOffsets[i]!);
      this.#count.framesTotal++;
      if (frame.isNamed) this.#count.framesNamed++;
      else if (frame.isKernel) this.#count.kernelFramesUnnamed++;
      node = this.#writer.node(node, frame.functionId);
    }
    return node;
  }

  #frame(module: number, offset: number): NamedFrame {
    let ofModule = this.#named.get(module);
    if (ofModule === undefined) this.#named.set(module, (ofModule = new Map()));
    let frame = ofModule.get(offset);
    if (frame === undefined) {
      const fn = this.#name(module, offset);
      const functionId = this.#writer.functionId(fn);
      frame = { functionId, isNamed: fn.name !== '', isKernel: fn.frameType === 'kernel' };
      ofModule.set(offset, frame);
    }
    return frame;
  }

  #name(module: number, offset: number): FunctionInfo {
    if (module === KERNEL_FRAME) return this.#symbolizer.kernel(offset);
    if (module === UNMAPPED_FRAME) return unmapped;
    if (module === ANONYMOUS_FRAME) return anonymous;
    return this.#symbolizer.user(module, offset);
  }
}
