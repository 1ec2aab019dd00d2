// What a person reads for enum fk_stack_end.

import * as wire from '../../bpf/generated/wire.js';

const { FkStackEnd } = wire;

const texts: Readonly<Record<number, string>> = {
  [FkStackEnd.FK_END_COMPLETE]: 'complete',
  [FkStackEnd.FK_END_FP_IMPLAUSIBLE]: 'no frame pointer',
  [FkStackEnd.FK_END_READ_FAULT]: 'stack memory not readable',
  [FkStackEnd.FK_END_DEPTH]: 'deeper than 127 frames',
  [FkStackEnd.FK_END_32BIT]: '32-bit process',
  [FkStackEnd.FK_END_NO_REGISTERS]: 'no user registers',
  [FkStackEnd.FK_END_STACK_MAP_FULL]: 'stack map full',
  [FkStackEnd.FK_END_NO_TABLE]: 'no unwind table yet',
  [FkStackEnd.FK_END_NO_UNWIND_INFO]: 'no unwind information',
  [FkStackEnd.FK_END_GAP]: 'gap in unwind information',
  [FkStackEnd.FK_END_BAD_RULE]: 'unwind rule not usable',
  [FkStackEnd.FK_END_NO_MAPPING]: 'return address outside code',
  [FkStackEnd.FK_END_JIT_NO_FP]: 'JIT without frame pointer',
};

export function stackEndText(end: number): string {
  return texts[end] ?? `reason ${end}`;
}
