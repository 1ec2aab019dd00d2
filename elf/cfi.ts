// The interpreter of call frame instructions: a program of DW_CFA_* becomes, address by address, the rules by
// which the caller's registers are found. Only the registers that unwinding needs are followed. A hot path:
// the state is one small Int32Array, nothing is allocated per row. Source: DWARF 5, 6.4; LSB, "DWARF
// Extensions" for the GNU opcodes.

import type { DwarfReader } from './dwarf-reader.js';

/** How the canonical frame address (CFA), the stack pointer before the call, is found. */
export const cfaKind = { broken: 0, register: 1, expression: 2 } as const;

/** How a caller's register is found. `unspecified` means same value for all but the return address. */
export const registerRule = {
  unspecified: 0,
  undefined: 1,
  /** In memory at CFA + operand. */
  offset: 2,
  /** CFA + operand itself. */
  valueOffset: 3,
  /** In the register `operand`. */
  register: 4,
  /** In memory at the address that an expression gives. */
  expression: 5,
  /** What an expression gives. */
  valueExpression: 6,
} as const;

/** **Shape**: [CFA kind, a, b], then per followed register [rule, a, b], in the order given to the
 *  interpreter. a and b are register and offset of the CFA, the operand of a rule, or place and length of an
 *  expression in the section's bytes. Numbers beyond 2^30 in magnitude are cut to it. */
export type CfiState = Int32Array;

export const cfiStateWords = (followedRegisters: number): number => 3 + 3 * followedRegisters;

export interface CfiVisitor {
  /** The state holds from this address on. The last of several calls for one address counts; addresses never
   *  fall. The state is used again: copy what has to stay. */
  row(address: number, state: CfiState): void;
}

export interface CfiProgram {
  readonly codeAlignment: number;
  readonly dataAlignment: number;
  /** Of DW_CFA_set_loc. */
  readonly pointerEncoding: number;
  /** The state after the CIE's own instructions, which DW_CFA_restore goes back to; undefined before. */
  readonly initial: CfiState | undefined;
}

/** DW_CFA_*. The first three hold an operand in their lower six bits. */
const opcode = {
  advanceLoc: 0x40,
  offset: 0x80,
  restore: 0xc0,
  nop: 0x00,
  setLoc: 0x01,
  advanceLoc1: 0x02,
  advanceLoc2: 0x03,
  advanceLoc4: 0x04,
  offsetExtended: 0x05,
  restoreExtended: 0x06,
  undefined: 0x07,
  sameValue: 0x08,
  register: 0x09,
  rememberState: 0x0a,
  restoreState: 0x0b,
  defCfa: 0x0c,
  defCfaRegister: 0x0d,
  defCfaOffset: 0x0e,
  defCfaExpression: 0x0f,
  expression: 0x10,
  offsetExtendedSf: 0x11,
  defCfaSf: 0x12,
  defCfaOffsetSf: 0x13,
  valOffset: 0x14,
  valOffsetSf: 0x15,
  valExpression: 0x16,
  gnuArgsSize: 0x2e,
  gnuNegativeOffsetExtended: 0x2f,
} as const;
const operandBits = 0x3f;

const maxRememberedStates = 64;
const maxNumber = 2 ** 30;

export class CfiInterpreter {
  readonly #reader: DwarfReader;
  /** Place of a register's rule in the state by DWARF number; 0 = not followed. */
  readonly #placeOf = new Uint8Array(256);
  readonly #state: CfiState;
  readonly #remembered: Int32Array;
  #depth = 0;

  constructor(reader: DwarfReader, followedRegisters: readonly number[]) {
    this.#reader = reader;
    followedRegisters.forEach((register, i) => { this.#placeOf[register] = 3 + 3 * i; });
    this.#state = new Int32Array(cfiStateWords(followedRegisters.length));
    this.#remembered = new Int32Array(maxRememberedStates * this.#state.length);
  }

  /** Runs the program that the reader stands at, up to its limit, for code at [start, end). What cannot be
   *  understood makes the rest of it `broken`. Returns the last state, valid until the next run. */
  run(program: CfiProgram, start: number, end: number, visitor: CfiVisitor): CfiState {
    const reader = this.#reader;
    const state = this.#state;
    this.#depth = 0;
    if (program.initial === undefined) state.fill(0);
    else state.set(program.initial);
    let address = start;
    while (reader.at < reader.limit && !reader.isBroken) {
      const code = reader.u8();
      const next = this.#nextAddress(code, address, program);
      if (next === undefined) {
        this.#execute(code, program);
        continue;
      }
      if (reader.isBroken || !(next >= address)) break;
      if (next > address) visitor.row(address, state);
      address = next;
      if (address >= end) return state;
    }
    if (reader.isBroken || reader.at < reader.limit) state[0] = cfaKind.broken;
    visitor.row(address, state);
    return state;
  }

  /** Where an instruction that advances leads to; undefined for all others. */
  #nextAddress(code: number, address: number, program: CfiProgram): number | undefined {
    const scale = program.codeAlignment;
    if ((code & ~operandBits) === opcode.advanceLoc) return address + (code & operandBits) * scale;
    switch (code) {
      case opcode.setLoc: return this.#reader.pointer(program.pointerEncoding);
      case opcode.advanceLoc1: return address + this.#reader.u8() * scale;
      case opcode.advanceLoc2: return address + this.#reader.u16() * scale;
      case opcode.advanceLoc4: return address + this.#reader.u32() * scale;
      default: return undefined;
    }
  }

  #execute(code: number, program: CfiProgram): void {
    const reader = this.#reader;
    const scale = program.dataAlignment;
    const rule = registerRule;
    const operand = code & operandBits;
    switch (code > operandBits ? code - operand : code) {
      case opcode.offset: return this.#setOffset(operand, reader.uleb() * scale);
      case opcode.restore: return this.#restore(operand, program);
      case opcode.nop: return;
      case opcode.offsetExtended: return this.#setOffset(reader.uleb(), reader.uleb() * scale);
      case opcode.restoreExtended: return this.#restore(reader.uleb(), program);
      case opcode.undefined: return this.#setRule(reader.uleb(), rule.undefined, 0);
      case opcode.sameValue: return this.#setRule(reader.uleb(), rule.unspecified, 0);
      case opcode.register: return this.#setRule(reader.uleb(), rule.register, reader.uleb());
      case opcode.rememberState: return this.#remember();
      case opcode.restoreState: return this.#recall();
      case opcode.defCfa: return this.#setCfa(reader.uleb(), reader.uleb());
      case opcode.defCfaRegister: return this.#changeCfa(1, reader.uleb());
      case opcode.defCfaOffset: return this.#changeCfa(2, reader.uleb());
      case opcode.defCfaExpression: return this.#setExpression(0, cfaKind.expression);
      case opcode.expression: return this.#setRegisterExpression(rule.expression);
      case opcode.offsetExtendedSf: return this.#setOffset(reader.uleb(), reader.sleb() * scale);
      case opcode.defCfaSf: return this.#setCfa(reader.uleb(), reader.sleb() * scale);
      case opcode.defCfaOffsetSf: return this.#changeCfa(2, reader.sleb() * scale);
      case opcode.valOffset: return this.#setRule(reader.uleb(), rule.valueOffset, reader.uleb() * scale);
      case opcode.valOffsetSf: return this.#setRule(reader.uleb(), rule.valueOffset, reader.sleb() * scale);
      case opcode.valExpression: return this.#setRegisterExpression(rule.valueExpression);
      case opcode.gnuArgsSize: return void reader.uleb();
      case opcode.gnuNegativeOffsetExtended: return this.#setOffset(reader.uleb(), -reader.uleb() * scale);
      default: reader.isBroken = true;
    }
  }

  #setCfa(register: number, offset: number): void {
    this.#state[0] = cfaKind.register;
    this.#state[1] = cut(register);
    this.#state[2] = cut(offset);
  }

  /** Register (1) or offset (2) alone: allowed only where the CFA is of that form. */
  #changeCfa(part: 1 | 2, value: number): void {
    if (this.#state[0] === cfaKind.register) this.#state[part] = cut(value);
    else this.#reader.isBroken = true;
  }

  /** In memory at CFA + offset. */
  #setOffset(register: number, offset: number): void {
    this.#setRule(register, registerRule.offset, offset);
  }

  #setRule(register: number, rule: number, operand: number): void {
    const place = this.#placeOf[register] ?? 0;
    if (place === 0) return;
    const state = this.#state;
    state[place] = rule;
    state[place + 1] = cut(operand);
    state[place + 2] = 0;
  }

  #setRegisterExpression(rule: number): void {
    this.#setExpression(this.#placeOf[this.#reader.uleb()] ?? 0, rule, true);
  }

  /** Reads a length and the expression. Place 0 is the CFA's, or that of a register which is not followed. */
  #setExpression(place: number, kind: number, isRegister = false): void {
    const reader = this.#reader;
    const length = reader.uleb();
    const at = reader.at;
    reader.skip(length);
    if (reader.isBroken || (isRegister && place === 0)) return;
    this.#state[place] = kind;
    this.#state[place + 1] = at;
    this.#state[place + 2] = length;
  }

  #restore(register: number, program: CfiProgram): void {
    const place = this.#placeOf[register] ?? 0;
    if (place === 0) return;
    for (let i = place; i < place + 3; i++) this.#state[i] = program.initial?.[i] ?? 0;
  }

  #remember(): void {
    if (this.#depth === maxRememberedStates) {
      this.#reader.isBroken = true;
      return;
    }
    this.#remembered.set(this.#state, this.#depth++ * this.#state.length);
  }

  #recall(): void {
    if (this.#depth === 0) {
      this.#reader.isBroken = true;
      return;
    }
    const from = --this.#depth * this.#state.length;
    for (let i = 0; i < this.#state.length; i++) this.#state[i] = this.#remembered[from + i]!;
  }
}

function cut(value: number): number {
  return Math.max(-maxNumber, Math.min(maxNumber, value));
}
