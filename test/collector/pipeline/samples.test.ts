import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as wire from '../../../bpf/generated/wire.js';
import { ANONYMOUS_FRAME, KERNEL_FRAME, UNMAPPED_FRAME } from '../../../collector/messages.js';
import type { DrainedStacks, Naming, SampledImage } from '../../../collector/pipeline/samples.js';
import { normalizeSamples } from '../../../collector/pipeline/samples.js';
import { atOnce } from '../../../collector/pace.js';
import { FileContents } from '../../../collector/process/file-contents.js';
import type { ModuleRef } from '../../../collector/process/modules.js';

const program: ModuleRef = {
  id: 7,
  module: { name: 'app', path: '/bin/app', buildId: 'aa' },
  device: '',
  inode: 0n,
  kind: 'file',
  isDeleted: false,
  contents: new FileContents(() => 7),
};
const always = { addedNs: -Infinity, removedNs: Infinity };
const jit: ModuleRef = { ...program, id: 8, kind: 'anonymous' };

/** An image with the program at 0x1000-0x2000 (file offset 0x400) and JIT code at 0x8000-0x9000. */
function image(part: Partial<SampledImage> = {}): SampledImage {
  return {
    id: 1,
    tgid: 100,
    isFolded: false,
    startUnixMs: 5,
    comm: 'app',
    executable: '/bin/app',
    threadName: (tid) => `t${tid}`,
    findMapping(address) {
      const mappings = [
        { start: 0x1000, limit: 0x2000, fileOffset: 0x400, module: program, ...always },
        { start: 0x8000, limit: 0x9000, fileOffset: 0, module: jit, ...always },
      ];
      return mappings.find(({ start, limit }) => address >= start && address < limit);
    },
    contentOf: ({ module }) => module.contents.at(0, 0, 1),
    ...part,
  };
}

interface Row {
  readonly execId?: number;
  readonly tid?: number;
  readonly user?: bigint;
  readonly kernel?: bigint;
  readonly weight?: number;
  readonly type?: number;
}

function drainedOf(rows: readonly Row[], stacks: ReadonlyMap<bigint, { words: bigint[]; end: number }>): DrainedStacks {
  const keys = new Uint8Array(rows.length * wire.FK_SAMPLE_KEY_SIZE);
  rows.forEach(({ execId = 1, tid = 100, user = 0n, kernel = 0n, type = 0 }, i) => {
    const incarnation = { start_boot_ns: 9n, tgid: 100, exec_id: execId };
    const rest = { cgroup: 3n, kernel_stack: kernel, user_stack: user, tid, uid: 33, sample_type: type, pad: 0 };
    wire.encodeFkSampleKey(new DataView(keys.buffer), i * wire.FK_SAMPLE_KEY_SIZE, { incarnation, ...rest });
  });
  const bytes = new Uint8Array(stacks.size * wire.FK_STACK_SIZE);
  [...stacks.values()].forEach(({ words, end }, i) => {
    const padded = [...words, ...Array<bigint>(wire.FkLimit.FK_STACK_WORDS - words.length).fill(0xdeadn)];
    const value = { n_words: words.length, end, pad: [0, 0, 0, 0, 0], words: padded };
    wire.encodeFkStack(new DataView(bytes.buffer), i * wire.FK_STACK_SIZE, value);
  });
  return {
    count: rows.length,
    keys,
    weights: Float64Array.from(rows, ({ weight = 1 }) => weight),
    stackCount: stacks.size,
    stackHashes: BigUint64Array.from(stacks.keys()),
    stacks: bytes,
  };
}

const names = { cgroupPath: (id: bigint) => `/group${id}`, userName: (uid: number) => `user${uid}` };

function normalize(rows: readonly Row[], stacks: Map<bigint, { words: bigint[]; end: number }>, naming: Partial<Naming> = {}) {
  const all: Naming = { image: () => image(), ...names, ...naming };
  return atOnce(normalizeSamples(drainedOf(rows, stacks), all, { streamOfType: Uint8Array.of(4, 5), maxSeries: 100 }));
}

test('user frames become file offsets, callers moved into their call, kernel frames stay addresses', () => {
  const stacks = new Map([
    [1000n, { words: [0x1234n, 0x1300n, 0x8010n, 0x7f00n], end: wire.FkStackEnd.FK_END_COMPLETE }],
    [2000n, { words: [0xffffffff81000010n, 0xffffffff82000000n], end: wire.FkStackEnd.FK_END_COMPLETE }],
  ]);
  const { rows, modules } = normalize([{ user: 1000n, kernel: 2000n, weight: 3 }], stacks);
  assert.deepEqual([...rows.rowWeight], [3]);
  assert.deepEqual([...rows.stacks.starts], [0, 4, 6]);
  assert.deepEqual([...rows.stacks.frameModules], [7, 7, ANONYMOUS_FRAME, UNMAPPED_FRAME, KERNEL_FRAME, KERNEL_FRAME]);
  assert.deepEqual(
    [...rows.stacks.frameOffsets].map((offset) => offset.toString(16)),
    ['634', '6ff', '800f', '7eff', '-7efffff0', '-7e000001'],
  );
  const content = program.contents.at(0, 0, 1);
  assert.deepEqual([...modules.values()], [{ content, module: program, tgid: 100, start: 0x1000, limit: 0x2000 }]);
});

test('rows of one thread share a series; a stack is normalized once per image', () => {
  const stacks = new Map([[1000n, { words: [0x1234n], end: wire.FkStackEnd.FK_END_FP_IMPLAUSIBLE }]]);
  const rows = [{ user: 1000n }, { user: 1000n, type: 1, weight: 9 }, { user: 1000n, tid: 101 }, { user: 1000n, execId: 2 }];
  const byExec = (_tgid: number, _start: number, execId: number) => image({ id: execId });
  const result = normalize(rows, stacks, { image: byExec });
  assert.deepEqual([...result.rows.rowStream], [4, 5, 4, 4]);
  assert.deepEqual([...result.rows.rowSeries], [0, 0, 1, 0]);
  assert.deepEqual([...result.rows.rowUser], [0, 0, 0, 1]);
  assert.deepEqual([...result.rows.stacks.ends], Array(2).fill(wire.FkStackEnd.FK_END_FP_IMPLAUSIBLE));
  assert.deepEqual([...result.weightByType], [3, 9]);
  const { pid, thread, user, cgroup, exe } = result.rows.series[1]!;
  assert.deepEqual([pid, thread, user, cgroup, exe], [100, 't101', 'user33', '/group3', '/bin/app']);
});

test('ids below FK_STACK_FIRST are ends without frames, hashes that did not arrive are said to be lost', () => {
  const { rows } = normalize([{ user: BigInt(1 + wire.FkStackEnd.FK_END_32BIT) }, { user: 999_999n }, {}], new Map());
  const ends = [wire.FkStackEnd.FK_END_32BIT, wire.FkStackEnd.FK_END_STACK_MAP_FULL];
  assert.deepEqual([...rows.rowUser], [0, 1, -1]);
  assert.deepEqual([...rows.stacks.ends], ends);
  assert.deepEqual([...rows.stacks.starts], [0, 0, 0]);
});

test('short-lived processes are kept by executable, unknown ones by pid', () => {
  const folded = normalize([{}], new Map(), { image: () => image({ isFolded: true }) }).rows.series[0]!;
  assert.deepEqual([folded.pid, folded.startUnixMs, folded.comm, folded.thread], [0, 0, 'app', 'app']);
  const unknown = normalize([{}], new Map(), { image: () => undefined }).rows.series[0]!;
  assert.deepEqual([unknown.pid, unknown.comm, unknown.exe], [100, '', '']);
});

test('beyond the limit of series processes are folded, and counted', () => {
  const rows = Array.from({ length: 5 }, (_, i) => ({ tid: 100 + i }));
  const naming: Naming = { image: () => image(), ...names };
  const options = { streamOfType: Uint8Array.of(0), maxSeries: 2 };
  const result = atOnce(normalizeSamples(drainedOf(rows, new Map()), naming, options));
  assert.equal(result.rows.series.length, 3);
  assert.equal(result.foldedSeries, 3);
  assert.equal(result.rows.series[2]!.pid, 0);
});
