// Tables are enough to walk a stack: each kind of rule on a drawn one, then programs of this host that wait
// in a system call, whose stacks must reach their outermost frame.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { layOutBlocks } from '../../../collector/unwind/blocks.js';
import type { UnwindTable } from '../../../collector/unwind/build-table.js';
import type { Rule } from '../../../collector/unwind/x86-64-rule.js';
import { encodeRule, rbpRule, ruleKind } from '../../../collector/unwind/x86-64-rule.js';
import { fileOffsetToAddress, readSigned64, viewOf } from '../../../elf/elf-file.js';
import { tableOf } from './oracle.js';
import type { Mapping, Memory, Registers, StackEnd } from './step-model.js';
import { step, walk } from './step-model.js';

const rax = 0;
const rdi = 5;
const rbp = 6;
const rsp = 7;

/** One rule for all code at [0x1000, 0x2000). */
function mappingWith(rule: Partial<Rule>): Mapping {
  const encoded = encodeRule({ kind: 0, offset: 0, small: 0, rbp: 0, rbpOffset: 0, ...rule })!;
  const table: UnwindTable = {
    base: 0,
    rows: 1,
    ...layOutBlocks(Uint32Array.of(0), Uint32Array.of(encoded)),
  };
  return { start: 0x1000, end: 0x2000, bias: 0x1000, table };
}

function registersWith(values: Record<number, number>, pc = 0x1234): Registers {
  return { pc, values: Array.from({ length: 16 }, (_, i) => values[i]), isLeaf: true };
}

// memory  0x7000   0x7008  0x7010  0x7018  0x7020  0x7028
//         0x7020   0x1111  0x6000  0x1222  0x5000  0x1333
const words = [0x7020, 0x1111, 0x6000, 0x1222, 0x5000, 0x1333];
const memory: Memory = (address) => (address % 8 === 0 ? words[(address - 0x7000) / 8] : undefined);

const steps: readonly {
  rule: Partial<Rule>;
  from: Record<number, number>;
  to: { pc: number; rsp: number; rbp: number | undefined };
}[] = [
  {
    rule: { kind: ruleKind.rsp, offset: 16 },
    from: { [rsp]: 0x7000, [rbp]: 1 },
    to: { pc: 0x1111, rsp: 0x7010, rbp: 1 },
  },
  {
    rule: { kind: ruleKind.rsp, offset: 32, rbp: rbpRule.cfa, rbpOffset: -16 },
    from: { [rsp]: 0x7000 },
    to: { pc: 0x1222, rsp: 0x7020, rbp: 0x6000 },
  },
  {
    rule: { kind: ruleKind.rbp, offset: 16, rbp: rbpRule.cfa, rbpOffset: -16 },
    from: { [rbp]: 0x7010 },
    to: { pc: 0x1222, rsp: 0x7020, rbp: 0x6000 },
  },
  {
    rule: { kind: ruleKind.rspDeref, offset: 0, small: 16 },
    from: { [rsp]: 0x7000, [rbp]: 1 },
    to: { pc: 0x1333, rsp: 0x7030, rbp: 1 },
  },
  {
    rule: { kind: ruleKind.rbpDeref, offset: -16, rbp: rbpRule.rbp },
    from: { [rbp]: 0x7010 },
    to: { pc: 0x1222, rsp: 0x7020, rbp: 0x6000 },
  },
  {
    rule: { kind: ruleKind.register, offset: 8, small: rax, rbp: rbpRule.lost },
    from: { [rax]: 0x7018, [rbp]: 1 },
    to: { pc: 0x1222, rsp: 0x7020, rbp: undefined },
  },
  {
    rule: { kind: ruleKind.raRegister, offset: 0, small: rdi },
    from: { [rsp]: 0x7000, [rdi]: 0x1777, [rbp]: 1 },
    to: { pc: 0x1777, rsp: 0x7000, rbp: 1 },
  },
  {
    rule: { kind: ruleKind.rspIndex, offset: 8, small: rdi },
    from: { [rsp]: 0x6fe8, [rdi]: 2, [rbp]: 1 },
    to: { pc: 0x5000, rsp: 0x7028, rbp: 1 },
  },
  {
    rule: { kind: ruleKind.plt, small: 4 },
    from: { [rsp]: 0x7000, [rbp]: 1 },
    to: { pc: 0x1111, rsp: 0x7010, rbp: 1 },
  },
  {
    rule: { kind: ruleKind.plt, small: 5 },
    from: { [rsp]: 0x7008, [rbp]: 1 },
    to: { pc: 0x1111, rsp: 0x7010, rbp: 1 },
  },
  { rule: { kind: ruleKind.fp }, from: { [rbp]: 0x7010 }, to: { pc: 0x1222, rsp: 0x7020, rbp: 0x6000 } },
];

for (const { rule, from, to } of steps) {
  test(`a step by rule ${JSON.stringify(rule)}`, () => {
    const caller = step(registersWith(from), memory, [mappingWith(rule)]) as Registers;
    assert.deepEqual({ pc: caller.pc, rsp: caller.values[rsp], rbp: caller.values[rbp] }, to);
    assert.equal(caller.isLeaf, false);
  });
}

test('steps that end a stack say why', () => {
  const end = (rule: Partial<Rule>, from: Registers): Registers | StackEnd =>
    step(from, memory, [mappingWith(rule)]);
  const at = registersWith({ [rsp]: 0x7000 });
  assert.equal(end({ kind: ruleKind.stop }, at), 'complete');
  assert.equal(end({ kind: ruleKind.none }, at), 'gap');
  assert.equal(end({ kind: ruleKind.bad }, at), 'bad-rule');
  assert.equal(end({ kind: ruleKind.rsp, offset: 4096 }, at), 'read-fault');
  assert.equal(end({ kind: ruleKind.rsp, offset: 16 }, { ...at, pc: 0x2000 }), 'no-mapping');
  assert.notEqual(
    end({ kind: ruleKind.rsp, offset: 16 }, { ...at, pc: 0x2000, isLeaf: false }),
    'no-mapping',
  );
});

test('behind a signal frame all registers are known again', () => {
  const frame: Memory = (address) => (address - 0x7000 - 40) / 8;
  const caller = step(registersWith({ [rsp]: 0x7000 }), frame, [
    mappingWith({ kind: ruleKind.signal }),
  ]) as Registers;
  assert.deepEqual(
    [caller.isLeaf, caller.pc, caller.values[rsp], caller.values[rbp], caller.values[rax]],
    [true, 16, 15, 10, 13],
  );
});

function mappingsOf(pid: number): Mapping[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n');
  return lines
    .filter((line) => / r-xp .*\//.test(line))
    .map((line) => {
      const [, from, to, offset, path] = /^(\w+)-(\w+) \S+ (\w+) \S+ \d+ +(.*)$/.exec(line)!;
      const [start, end, fileOffset] = [from, to, offset].map((hex) => Number.parseInt(hex!, 16)) as [
        number,
        number,
        number,
      ];
      const loaded = tableOf(path!);
      if ('reason' in loaded) return { start, end, bias: 0, table: undefined };
      return {
        start,
        end,
        bias: start - fileOffsetToAddress(loaded.file.segments, fileOffset)!,
        table: loaded.table,
      };
    });
}

/** Registers of a process that waits for its standard input, as far as the kernel tells them. */
async function waitingRegisters(pid: number): Promise<Registers> {
  for (let i = 0; i < 200; i++) {
    const fields = readFileSync(`/proc/${pid}/syscall`, 'utf8').trim().split(' ');
    // The number of `read`, then its arguments.
    if (fields[0] === '0' && fields[1] === '0x0') {
      const [sp, pc] = fields.slice(-2).map(Number) as [number, number];
      return registersWith({ [rsp]: sp }, pc);
    }
    await delay(50);
  }
  throw new Error(`process ${pid} does not read`);
}

const waiting: readonly (readonly [string, ...string[]])[] = [
  ['/bin/sh', '-c', 'read line'],
  ['/bin/cat'],
  ['/usr/bin/perl', '-e', 'sub f { my $n = shift; return $n ? f($n - 1) : <STDIN> } f(5)'],
  ['/usr/bin/python3', '-c', 'import os\ndef f(n): return f(n - 1) if n else os.read(0, 1)\nf(3)'],
];

for (const [command, ...args] of waiting.filter(([path]) => existsSync(path))) {
  test(`the stack of ${command} that waits for input reaches its outermost frame`, async () => {
    const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      const registers = await waitingRegisters(child.pid!);
      const mem = openSync(`/proc/${child.pid}/mem`, 'r');
      const word = new Uint8Array(8);
      const read: Memory = (address) => {
        if (!(address > 0)) return undefined;
        return readSync(mem, word, 0, 8, address) === 8 ? readSigned64(viewOf(word), 0) : undefined;
      };
      const { pcs, end } = walk(registers, read, mappingsOf(child.pid!));
      closeSync(mem);
      assert.equal(end, 'complete', pcs.map((pc) => pc.toString(16)).join(' '));
      assert.ok(pcs.length >= 4, `${pcs.length} frames`);
    } finally {
      child.kill('SIGKILL');
    }
  });
}
