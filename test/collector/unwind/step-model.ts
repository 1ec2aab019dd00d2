// A model of the kernel's step() on registers and memory: what a rule does, in plain words, so that tables
// can be walked without a kernel. Addresses are Numbers, exact below 2^53.

import { findRule } from '../../../collector/unwind/blocks.js';
import type { UnwindTable } from '../../../collector/unwind/build-table.js';
import { decodeRule, rbpRule, ruleKind } from '../../../collector/unwind/x86-64-rule.js';

export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** Run-time address minus virtual address. */
  readonly bias: number;
  readonly table: UnwindTable | undefined;
}

export interface Registers {
  readonly pc: number;
  /** By DWARF number (rbp 6, rsp 7). What is not known is undefined; in a leaf all are known. */
  readonly values: readonly (number | undefined)[];
  /** pc is an instruction that was interrupted, not a return address. */
  readonly isLeaf: boolean;
}

/** The 8 bytes at an address, undefined when they cannot be read. */
export type Memory = (address: number) => number | undefined;

export type StackEnd = 'complete' | 'no-mapping' | 'gap' | 'bad-rule' | 'read-fault' | 'depth';

const rbp = 6;
const rsp = 7;
const maxFrames = 127;
/** Of ucontext_t: gregs, in the order r8 .. r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
const gregsOffset = 40;
const gregsRegisters = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7];

/** pcs, leaf first, and why the stack ends. */
export function walk(
  start: Registers,
  memory: Memory,
  mappings: readonly Mapping[],
): { pcs: number[]; end: StackEnd } {
  const pcs: number[] = [];
  let registers = start;
  while (pcs.length < maxFrames) {
    pcs.push(registers.pc);
    const caller = step(registers, memory, mappings);
    if (typeof caller === 'string') return { pcs, end: caller };
    registers = caller;
  }
  return { pcs, end: 'depth' };
}

/** The caller's registers, or why there are none. */
export function step(
  registers: Registers,
  memory: Memory,
  mappings: readonly Mapping[],
): Registers | StackEnd {
  const { pc, values, isLeaf } = registers;
  const key = isLeaf ? pc : pc - 1;
  const mapping = mappings.find(({ start, end }) => key >= start && key < end);
  if (mapping?.table === undefined) return 'no-mapping';
  const rule = decodeRule(findRule(mapping.table, key - mapping.bias - mapping.table.base));
  const at = (register: number): number => values[register] ?? NaN;
  const load = (address: number): number => memory(address) ?? NaN;
  let cfa: number;
  switch (rule.kind) {
    case ruleKind.none:
      return 'gap';
    case ruleKind.bad:
      return 'bad-rule';
    case ruleKind.stop:
      return 'complete';
    case ruleKind.signal:
      return afterSignal(at(rsp), memory);
    case ruleKind.rsp:
    case ruleKind.raRegister:
      cfa = at(rsp) + rule.offset;
      break;
    case ruleKind.rbp:
      cfa = at(rbp) + rule.offset;
      break;
    case ruleKind.rspDeref:
      cfa = load(at(rsp) + rule.offset) + rule.small;
      break;
    case ruleKind.rbpDeref:
      cfa = load(at(rbp) + rule.offset) + rule.small;
      break;
    case ruleKind.register:
      cfa = at(rule.small) + rule.offset;
      break;
    case ruleKind.rspIndex:
      cfa = load(at(rsp) + rule.offset + at(rule.small) * 8) + 8;
      break;
    case ruleKind.plt:
      cfa = at(rsp) + 8 + (key % 16 >= rule.small ? 8 : 0);
      break;
    default:
      cfa = at(rbp) + 16;
  }
  const nextPc = rule.kind === ruleKind.raRegister ? at(rule.small) : load(cfa - 8);
  if (Number.isNaN(nextPc)) return 'read-fault';
  const next: (number | undefined)[] = [];
  next[rsp] = cfa;
  if (rule.kind === ruleKind.fp) next[rbp] = memory(at(rbp));
  else if (rule.rbp === rbpRule.same) next[rbp] = values[rbp];
  else if (rule.rbp === rbpRule.cfa) next[rbp] = memory(cfa + rule.rbpOffset);
  else if (rule.rbp === rbpRule.rbp) next[rbp] = memory(at(rbp) + rule.rbpOffset);
  return { pc: nextPc, values: next, isLeaf: false };
}

function afterSignal(ucontext: number, memory: Memory): Registers | StackEnd {
  const values: (number | undefined)[] = [];
  gregsRegisters.forEach((register, i) => {
    values[register] = memory(ucontext + gregsOffset + i * 8);
  });
  const pc = memory(ucontext + gregsOffset + gregsRegisters.length * 8);
  return pc === undefined ? 'read-fault' : { pc, values, isLeaf: true };
}
