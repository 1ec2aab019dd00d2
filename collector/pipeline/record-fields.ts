// Where the members of a struct lie that the kernel wrote, by its BTF, and integers read from
// there. Pure.

import type { BtfMember, BtfStruct, BtfType } from '../../elf/btf.js';
import { assert } from '../../storage/model/errors.js';

const TWO32 = 2 ** 32;

/** The member at a dotted path and its offset from the struct's start. Throws
 *  when the descriptor names none. */
export function memberAt(
  struct: BtfStruct,
  path: string,
): { readonly offset: number; readonly type: BtfType } {
  let offset = 0;
  let type: BtfType = { kind: 'struct', sizeBytes: struct.sizeBytes, struct };
  for (const name of path.split('.')) {
    const member: BtfMember | undefined =
      type.kind === 'struct' ? type.struct.members.find((each) => each.name === name) : undefined;
    assert(member !== undefined, `struct ${struct.name} has a member ${path}`);
    offset += member.offsetBytes;
    type = member.type;
  }
  return { offset, type };
}

/** Reads the integer at `offset` of a struct that begins at `at`. */
export function numberReader(
  offset: number,
  type: BtfType,
): (view: DataView, at: number) => number {
  assert(type.kind === 'int', 'a number is read from an integer');
  const { sizeBytes, isSigned } = type;
  if (sizeBytes === 8) return (view, at) => readU64(view, at + offset, isSigned);
  if (sizeBytes === 4)
    return (view, at) =>
      isSigned ? view.getInt32(at + offset, true) : view.getUint32(at + offset, true);
  if (sizeBytes === 2)
    return (view, at) =>
      isSigned ? view.getInt16(at + offset, true) : view.getUint16(at + offset, true);
  return (view, at) => (isSigned ? view.getInt8(at + offset) : view.getUint8(at + offset));
}

/** Exact below 2^53. */
export function readU64(view: DataView, at: number, isSigned = false): number {
  const high = isSigned ? view.getInt32(at + 4, true) : view.getUint32(at + 4, true);
  return high * TWO32 + view.getUint32(at, true);
}
