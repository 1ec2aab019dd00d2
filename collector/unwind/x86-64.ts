// Call frame information to x86-64 rules: which of the many things that
// DWARF can say occur in real files.

import type { CfiState } from '../../elf/cfi.js';
import { cfaKind, registerRule } from '../../elf/cfi.js';
import { DwarfReader } from '../../elf/dwarf-reader.js';
import type { UnwindArch } from './arch.js';
import type { Rule } from './x86-64-rule.js';
import { encodeRule, rbpRule, ruleKind } from './x86-64-rule.js';

/** DWARF numbers. */
const rbpRegister = 6;
const rspRegister = 7;
const returnAddress = 16;
/** Places in CfiState: after the CFA's three words come those of rbp and of the return address. */
const rbpAt = 3;
const returnAt = 6;

/** `push` of a lazy PLT entry (`jmp *GOT; push number; jmp PLT0`) is done 11 bytes into it. */
const lazyPltPushed = 11;

const noOperands: Rule = {
  kind: ruleKind.none,
  offset: 0,
  small: 0,
  rbp: rbpRule.same,
  rbpOffset: 0,
};
const bad = encodeRule({ ...noOperands, kind: ruleKind.bad })!;

export const x8664: UnwindArch = {
  machine: 62,
  registers: [rbpRegister, returnAddress],
  bad,
  outermost: encodeRule({ ...noOperands, kind: ruleKind.stop })!,
  signalFrame: encodeRule({ ...noOperands, kind: ruleKind.signal })!,
  framePointer: encodeRule({ ...noOperands, kind: ruleKind.fp })!,
  called: encodeRule({ ...noOperands, kind: ruleKind.rsp, offset: 8 })!,
  lazyPlt: encodeRule({ ...noOperands, kind: ruleKind.plt, small: lazyPltPushed })!,
  ruleOf: (state, section) => ruleOf(state, section) ?? bad,
  /** `push rbp` is the first thing that a Go function with a frame does. */
  goRule: (stackBytes) => {
    const saved = stackBytes < 8 ? sameRbp : { rbp: rbpRule.cfa, rbpOffset: -16 };
    return encode(ruleKind.rsp, stackBytes + 8, 0, saved) ?? bad;
  },
};

/** undefined for what has no encoding. */
function ruleOf(state: CfiState, section: Uint8Array): number | undefined {
  const returnRule = state[returnAt]!;
  const isOnStack = returnRule === registerRule.offset && state[returnAt + 1] === -8;
  const [a, b] = [state[1]!, state[2]!];
  if (state[0] === cfaKind.broken) return undefined;
  if (returnRule === registerRule.undefined) return x8664.outermost;
  const saved = savedRbp(state, section);
  if (saved === undefined) return undefined;
  if (returnRule === registerRule.register && state[0] === cfaKind.register && a === rspRegister) {
    return encode(ruleKind.raRegister, b, state[returnAt + 1]!, saved);
  }
  if (!isOnStack) return undefined;
  if (state[0] === cfaKind.expression) return expressionRule(section, a, b, saved);
  if (a === rspRegister) return encode(ruleKind.rsp, b, 0, saved);
  if (a === rbpRegister) return encode(ruleKind.rbp, b, 0, saved);
  return encode(ruleKind.register, b, a, saved);
}

function encode(kind: number, offset: number, small: number, saved: SavedRbp): number | undefined {
  return encodeRule({ kind, offset, small, rbp: saved.rbp, rbpOffset: saved.rbpOffset });
}

type SavedRbp = Pick<Rule, 'rbp' | 'rbpOffset'>;

const sameRbp: SavedRbp = { rbp: rbpRule.same, rbpOffset: 0 };
const lostRbp: SavedRbp = { rbp: rbpRule.lost, rbpOffset: 0 };

function savedRbp(state: CfiState, section: Uint8Array): SavedRbp | undefined {
  const operand = state[rbpAt + 1]!;
  switch (state[rbpAt]) {
    case registerRule.unspecified:
      return sameRbp;
    case registerRule.undefined:
      return lostRbp;
    case registerRule.offset:
      return { rbp: rbpRule.cfa, rbpOffset: operand };
    case registerRule.expression: {
      const base = readBase(section, operand, state[rbpAt + 2]!);
      if (base === undefined || base.register !== rbpRegister || base.rest !== 0) return undefined;
      return { rbp: rbpRule.rbp, rbpOffset: base.offset };
    }
    default:
      return undefined;
  }
}

/** DW_OP_breg7 8, breg16 0, lit15, and, litN, ge, lit3, shl, plus: rsp
 *  + 8 + ((rip & 15) >= N) * 8. */
const pltExpression = [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, -1, 0x2a, 0x33, 0x24, 0x22];
/** DW_OP_breg7 offset, bregN 0, lit8, mul, plus, deref, plus_uconst 8: OpenSSL's Montgomery
 *  multiplication, whose frame has as many words as its numbers. */
const indexed = [0x00, 0x38, 0x1e, 0x22, 0x06, 0x23, 0x08];
const literal0 = 0x30;
const opBaseRegister = 0x70;
const opDeref = 0x06;
const opPlusConstant = 0x23;

/** What gcc writes for a realigned stack, assembly for a saved rsp, and linkers for `.plt`. */
function expressionRule(
  section: Uint8Array, at: number, length: number, saved: SavedRbp,
): number | undefined {
  const isPlt = pltExpression.every((byte, i) => byte < 0 || byte === section[at + i]);
  if (isPlt && length === pltExpression.length) {
    return encode(ruleKind.plt, 0, section[at + 6]! - literal0, saved);
  }
  const base = readBase(section, at, length);
  if (base?.register !== rspRegister && base?.register !== rbpRegister) return undefined;
  const restAt = at + length - base.rest;
  const index = section[restAt]! - opBaseRegister;
  const isIndexed = indexed.every((byte, i) => byte === section[restAt + 1 + i]);
  if (isIndexed && base.rest === indexed.length + 1 && base.register === rspRegister) {
    return encode(ruleKind.rspIndex, base.offset, index, saved);
  }
  const reader = new DwarfReader(section, 0);
  reader.seek(restAt, at + length);
  if (reader.u8() !== opDeref) return undefined;
  const added =
    reader.at === reader.limit ? 0 : reader.u8() === opPlusConstant ? reader.uleb() : -1;
  if (reader.isBroken || reader.at !== reader.limit) return undefined;
  const kind = base.register === rspRegister ? ruleKind.rspDeref : ruleKind.rbpDeref;
  return encode(kind, base.offset, added, saved);
}


/** DW_OP_breg0 to 15 with its offset, at the start of an expression; `rest` bytes follow. */
function readBase(
  section: Uint8Array, at: number, length: number,
): { register: number; offset: number; rest: number } | undefined {
  const reader = new DwarfReader(section, 0);
  reader.seek(at, at + length);
  const register = reader.u8() - opBaseRegister;
  const offset = reader.sleb();
  if (reader.isBroken || register < 0 || register > 15) return undefined;
  return { register, offset, rest: reader.limit - reader.at };
}
