// A flush against a writer that only remembers: what is named, in which order it enters the trie, what is marked as cut.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as wire from '../../../bpf/generated/wire.js';
import type { FlushMessage, StackTable } from '../../../collector/messages.js';
import { ANONYMOUS_FRAME, KERNEL_FRAME, UNMAPPED_FRAME } from '../../../collector/messages.js';
import { StackTableBuilder } from '../../../collector/pipeline/stack-table.js';
import { nameFlush } from '../../../collector/symbols/name-flush.js';
import type { Symbolizer } from '../../../collector/symbols/symbolizer.js';
import type { FunctionInfo } from '../../../storage/model/frame.js';
import { functionLabel, kernelModule } from '../../../storage/model/frame.js';
import type { FlushWriter } from '../../../storage/model/writer.js';

const { FkStackEnd } = wire;

/** Remembers samples as folded stacks. */
class FoldingWriter implements FlushWriter {
  readonly samples: string[] = [];
  readonly headers: unknown[] = [];
  readonly #functions: FunctionInfo[] = [];
  readonly #paths = [''];
  streamId = () => 0;
  seriesId = () => 0;
  functionId = (fn: FunctionInfo) => this.#functions.push(fn) - 1;
  node(parent: number, id: number): number {
    return this.#paths.push(`${this.#paths[parent]};${functionLabel(this.#functions[id]!)}`) - 1;
  }
  sample(_stream: number, _series: number, node: number, count: number): void {
    this.samples.push(`${this.#paths[node]!.slice(1)} ${count}`);
  }
  events = () => undefined;
  keyId = () => 0;
  histogram = () => undefined;
  counter = () => undefined;
  gauge = () => undefined;
  header(_stream: number, counters: unknown): void {
    this.headers.push(counters);
  }
  commit(): never {
    throw new Error('the caller commits');
  }
}

const symbolizer = {
  user: (module: number, offset: number): FunctionInfo => {
    return { module: { name: `m${module}`, path: '', buildId: '' }, frameType: 'native', name: `f${offset}` };
  },
  kernel: (address: number): FunctionInfo => {
    const isKnown = address === -1;
    return { module: kernelModule, frameType: 'kernel', name: isKnown ? 'k' : '', ...(isKnown ? {} : { start: 0 }) };
  },
} as unknown as Symbolizer;

function tableOf(stacks: readonly { frames: readonly (readonly [number, number])[]; end: number }[]): StackTable {
  const builder = new StackTableBuilder();
  for (const { frames, end } of stacks) {
    for (const [module, offset] of frames) builder.addFrame(module, offset);
    builder.finish(end);
  }
  return builder.build();
}

function flushOf(stacks: StackTable, rows: readonly { user: number; kernel: number }[]): FlushMessage {
  const series = { pid: 1, startUnixMs: 0, comm: '', thread: '', exe: '', uid: 0, user: '', cgroup: '' };
  return {
    kind: 'flush',
    sequence: 0,
    span: { startUnixNs: 0n, endUnixNs: 1n },
    streams: [{ info: { name: 'cpu', kind: 'samples', valueType: { type: 'samples', unit: 'count' } }, counters: { captured: 1 } }],
    samples: [
      {
        rowStream: new Uint8Array(rows.length),
        rowSeries: new Uint32Array(rows.length),
        rowUser: Int32Array.from(rows, ({ user }) => user),
        rowKernel: Int32Array.from(rows, ({ kernel }) => kernel),
        rowWeight: Float64Array.from(rows, (_, i) => i + 1),
        series: [series],
        stacks,
      },
    ],
    events: [],
    metrics: [],
    modules: [],
    forgottenModules: [],
    daemon: {},
  };
}

test('stacks enter root first, kernel frames above user frames, cuts right below the root', () => {
  const stacks = tableOf([
    { frames: [[7, 2], [7, 1]], end: FkStackEnd.FK_END_COMPLETE },
    { frames: [[KERNEL_FRAME, -1], [KERNEL_FRAME, -9]], end: FkStackEnd.FK_END_COMPLETE },
    { frames: [[ANONYMOUS_FRAME, 5], [UNMAPPED_FRAME, 6]], end: FkStackEnd.FK_END_READ_FAULT },
    { frames: [], end: FkStackEnd.FK_END_32BIT },
    { frames: [[KERNEL_FRAME, -1]], end: FkStackEnd.FK_END_DEPTH },
  ]);
  const writer = new FoldingWriter();
  const rows = [{ user: 0, kernel: 1 }, { user: 2, kernel: -1 }, { user: 3, kernel: 1 }, { user: 0, kernel: 4 }, { user: -1, kernel: 1 }];
  const count = nameFlush(flushOf(stacks, rows), symbolizer, writer);
  assert.deepEqual(writer.samples, [
    'f1;f2;[kernel+0x0];k 1',
    '[cut: stack memory not readable];[unknown];[anonymous] 2',
    '[cut: 32-bit process];[kernel+0x0];k 3',
    '[cut: deeper than 127 frames];f1;f2;k 4',
    '[kernel+0x0];k 5',
  ]);
  assert.deepEqual(writer.headers, [
    { captured: 1 },
    {
      'stacks.complete': 6,
      'stacks.cut.stack memory not readable': 2,
      'stacks.cut.32-bit process': 3,
      'stacks.cut.deeper than 127 frames': 4,
    },
  ]);
  const { stackEnds, ...frames } = count;
  assert.deepEqual(frames, { framesNamed: 8, framesTotal: 13, kernelFramesUnnamed: 3 });
  assert.deepEqual(stackEnds, [{ type: 'cpu', counters: writer.headers[1] }]);
});
