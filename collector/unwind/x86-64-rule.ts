// The x86-64 rule in 32 bits, as bpf/include/arch/x86_64_rule.h declares and draws it.

export const ruleKind = {
  none: 0,
  rsp: 1,
  rbp: 2,
  rspDeref: 3,
  rbpDeref: 4,
  register: 5,
  raRegister: 6,
  plt: 7,
  signal: 8,
  stop: 9,
  fp: 10,
  rspIndex: 11,
  bad: 12,
} as const;

export const rbpRule = { same: 0, cfa: 1, rbp: 2, lost: 3 } as const;

export interface Rule {
  /** One of `ruleKind`. */
  readonly kind: number;
  /** Bytes; of `rsp` and `rbp` 0 to 512 KB, else up to 16 KB either way. */
  readonly offset: number;
  /** What is added to a dereferenced CFA in bytes, a register's number, or the place
   *  in a PLT entry; 0 elsewhere. */
  readonly small: number;
  /** One of `rbpRule`. */
  readonly rbp: number;
  /** Bytes, up to 1 KB either way. */
  readonly rbpOffset: number;
}

/** undefined when a number does not fit, or is no multiple of 8 where it has to be. */
export function encodeRule({ kind, offset, small, rbp, rbpOffset }: Rule): number | undefined {
  const isWide = kind === ruleKind.rsp || kind === ruleKind.rbp;
  const [least, limit] = isWide ? [0, 1 << 19] : [-1 << 14, 1 << 14];
  if (offset % 8 !== 0 || offset < least || offset >= limit) return undefined;
  if (rbpOffset % 8 !== 0 || rbpOffset < -1024 || rbpOffset >= 1024) return undefined;
  const smallUnits = isDeref(kind) ? small / 8 : small;
  if (!Number.isInteger(smallUnits) || smallUnits < 0 || smallUnits > 15) return undefined;
  const operand = isWide ? (offset >> 3) << 16 : ((offset >> 3) << 20) | (smallUnits << 16);
  return (operand | (((rbpOffset >> 3) & 0xff) << 8) | (rbp << 4) | kind) >>> 0;
}

export function decodeRule(rule: number): Rule {
  const kind = rule & 15;
  const isWide = kind === ruleKind.rsp || kind === ruleKind.rbp;
  const small = (rule >>> 16) & 15;
  return {
    kind,
    offset: isWide ? (rule >>> 16) * 8 : (rule >> 20) * 8,
    small: isWide ? 0 : isDeref(kind) ? small * 8 : small,
    rbp: (rule >>> 4) & 3,
    rbpOffset: ((rule << 16) >> 24) * 8,
  };
}

function isDeref(kind: number): boolean {
  return kind === ruleKind.rspDeref || kind === ruleKind.rbpDeref;
}

const registerNames = [
  'rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
] as const;

/** For people: `CFA rsp+16, rbp at CFA-16`. */
export function ruleText(rule: Rule): string {
  const { offset, small } = rule;
  const register = registerNames[small];
  const at = signed(rule.rbpOffset);
  const saved = ['', `, rbp at CFA${at}`, `, rbp at rbp${at}`, ', rbp lost'][rule.rbp]!;
  switch (rule.kind) {
    case ruleKind.none: return 'nothing known';
    case ruleKind.rsp: return `CFA rsp${signed(offset)}${saved}`;
    case ruleKind.rbp: return `CFA rbp${signed(offset)}${saved}`;
    case ruleKind.rspDeref: return `CFA *(rsp${signed(offset)})+${small}${saved}`;
    case ruleKind.rbpDeref: return `CFA *(rbp${signed(offset)})+${small}${saved}`;
    case ruleKind.register: return `CFA ${register}${signed(offset)}${saved}`;
    case ruleKind.raRegister: return `CFA rsp${signed(offset)}${saved}, RA in ${register}`;
    case ruleKind.plt: return `CFA rsp+8, +16 from byte ${small} of a PLT entry`;
    case ruleKind.signal: return 'signal frame';
    case ruleKind.stop: return 'outermost frame';
    case ruleKind.fp: return 'frame pointer';
    case ruleKind.rspIndex: return `CFA *(rsp${signed(offset)}+${register}*8)+8${saved}`;
    default: return 'cannot be expressed';
  }
}

function signed(value: number): string {
  return value < 0 ? `${value}` : `+${value}`;
}
