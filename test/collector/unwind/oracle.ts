// Compares a table with what readelf says of the same file, at the first and last byte of each row.

import { closeSync, openSync } from 'node:fs';
import { fileReader } from '../../../collector/symbols/file-reader.js';
import { findRule } from '../../../collector/unwind/blocks.js';
import type { TableReason, UnwindTable } from '../../../collector/unwind/build-table.js';
import { buildTable } from '../../../collector/unwind/build-table.js';
import type { Rule } from '../../../collector/unwind/x86-64-rule.js';
import { decodeRule, rbpRule, ruleKind, ruleText } from '../../../collector/unwind/x86-64-rule.js';
import { codeRangeAt, codeRanges } from '../../../elf/code-ranges.js';
import type { ElfFile, ElfReason } from '../../../elf/elf-file.js';
import { readElf } from '../../../elf/elf-file.js';
import type { ReadelfRow } from './readelf-rows.js';
import { readelfRows } from './readelf-rows.js';

const maxTableBytes = 64 << 20;

export interface Comparison {
  /** readelf's rows of code that is loaded. */
  rows: number;
  identical: number;
  /** Of code that is not in an executable segment: functions that the linker has discarded. */
  unloaded: number;
  /** Sentences: place, readelf's row, ours. */
  readonly notEncoded: string[];
  readonly wrong: string[];
}

export interface LoadedTable {
  readonly file: ElfFile;
  readonly table: UnwindTable;
}

/** The table of a file, or why it has none. */
export function tableOf(path: string): LoadedTable | { readonly reason: TableReason | ElfReason } {
  const fd = openSync(path, 'r');
  try {
    const read = fileReader(fd);
    const file = readElf(read);
    if ('reason' in file) return file;
    const table = buildTable(read, file, { maxBytes: maxTableBytes });
    return 'reason' in table ? table : { file, table };
  } finally {
    closeSync(fd);
  }
}

export async function compareWithReadelf(path: string, { file, table }: LoadedTable): Promise<Comparison> {
  const code = codeRanges(file);
  const result: Comparison = { rows: 0, identical: 0, unloaded: 0, notEncoded: [], wrong: [] };
  for await (const row of readelfRows(path)) {
    if (codeRangeAt(code, row.start) === undefined) {
      result.unloaded++;
      continue;
    }
    result.rows++;
    const rules = [row.start, row.end - 1].map((address) =>
      decodeRule(findRule(table, address - table.base)),
    );
    const isEqual = rules.every((rule) => isSame(row, rule));
    if (isEqual) result.identical++;
    else {
      const sentence = `${path} 0x${row.start.toString(16)}: CFA ${row.cfa}, rbp ${row.rbp}, ra ${row.ra}`;
      if (rules.every(({ kind }) => kind === ruleKind.bad)) result.notEncoded.push(sentence);
      else result.wrong.push(`${sentence}; ours: ${rules.map(ruleText).join(' ... ')}`);
    }
  }
  return result;
}

const registers = [
  'rax',
  'rdx',
  'rcx',
  'rbx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

/** `u` of rbp is both undefined and never mentioned: readelf does not tell. */
function isSame(row: ReadelfRow, rule: Rule): boolean {
  if (row.isSignalFrame || rule.kind === ruleKind.signal)
    return row.isSignalFrame && rule.kind === ruleKind.signal;
  if (row.ra === 'u' || rule.kind === ruleKind.stop) return row.ra === 'u' && rule.kind === ruleKind.stop;
  if (row.cfa !== cfaText(rule)) return false;
  if (row.ra !== (rule.kind === ruleKind.raRegister ? registers[rule.small] : 'c-8')) return false;
  switch (rule.rbp) {
    case rbpRule.same:
      return row.rbp === 'u' || row.rbp === 's';
    case rbpRule.cfa:
      return row.rbp === `c${signed(rule.rbpOffset)}`;
    case rbpRule.rbp:
      return row.rbp === `DW_OP_breg6 (rbp): ${rule.rbpOffset}`;
    default:
      return row.rbp === 'u';
  }
}

function cfaText({ kind, offset, small }: Rule): string {
  const added = small === 0 ? '' : `; DW_OP_plus_uconst: ${small}`;
  switch (kind) {
    case ruleKind.rsp:
    case ruleKind.raRegister:
      return `rsp${signed(offset)}`;
    case ruleKind.rbp:
      return `rbp${signed(offset)}`;
    case ruleKind.register:
      return `${registers[small]}${signed(offset)}`;
    case ruleKind.rspDeref:
      return `DW_OP_breg7 (rsp): ${offset}; DW_OP_deref${added}`;
    case ruleKind.rbpDeref:
      return `DW_OP_breg6 (rbp): ${offset}; DW_OP_deref${added}`;
    case ruleKind.rspIndex:
      return (
        `DW_OP_breg7 (rsp): ${offset}; DW_OP_breg${small} (${registers[small]}): 0; DW_OP_lit8; ` +
        'DW_OP_mul; DW_OP_plus; DW_OP_deref; DW_OP_plus_uconst: 8'
      );
    case ruleKind.plt:
      return (
        'DW_OP_breg7 (rsp): 8; DW_OP_breg16 (rip): 0; DW_OP_lit15; DW_OP_and; ' +
        `DW_OP_lit${small}; DW_OP_ge; DW_OP_lit3; DW_OP_shl; DW_OP_plus`
      );
    default:
      return `(kind ${kind})`;
  }
}

function signed(value: number): string {
  return value < 0 ? `${value}` : `+${value}`;
}
