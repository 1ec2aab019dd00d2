// Decoders made at run time from BTF, for records whose struct is not known when this is
// compiled (a user's own probe). The same layout as the decoders that code generation writes:
// one field a member, by its C name.

import type { Btf, BtfStruct, BtfType } from './btf.js';

/** 1 to 4 byte integers are numbers, 8 byte ones bigint, char[N] the text before its NUL,
 *  arrays lists, structs objects. */
export type BtfValue = number | bigint | string | readonly BtfValue[] | BtfRecord;
export interface BtfRecord {
  readonly [member: string]: BtfValue;
}

export interface BtfDecoder {
  readonly struct: BtfStruct;
  readonly sizeBytes: number;
  /** **Errors**: throws a RangeError when fewer than `sizeBytes` lie at the offset; the
   *  caller checks lengths first. */
  decode(view: DataView, offset: number): BtfRecord;
}

type Read = (view: DataView, offset: number) => BtfValue;

/** A record of more values than this is refused: hostile BTF could nest them without end. */
const maxValues = 65_536;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** **Errors**: a sentence when there is no such struct, or it holds what has no wire
 *  form (pointers, bit fields). */
export function buildDecoder(
  btf: Btf,
  structName: string,
): BtfDecoder | { readonly reason: string } {
  const struct = btf.struct(structName);
  if (struct === undefined) return { reason: `there is no struct ${structName}` };
  const problem = checkStruct(struct, structName, { left: maxValues });
  if (problem !== undefined) return { reason: problem };
  return { struct, sizeBytes: struct.sizeBytes, decode: structReader(struct) };
}

function checkStruct(
  struct: BtfStruct,
  path: string,
  budget: { left: number },
): string | undefined {
  for (const { name, type } of struct.members) {
    const problem = checkType(type, `${path}.${name}`, budget);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function checkType(type: BtfType, path: string, budget: { left: number }): string | undefined {
  if (--budget.left < 0) return `${path}: more than ${maxValues} values`;
  if (type.kind === 'other') return `${path}: ${type.what} cannot be decoded`;
  if (type.kind === 'struct') return checkStruct(type.struct, path, budget);
  if (type.kind !== 'array' || type.length === 0) return undefined;
  const before = budget.left;
  const problem = checkType(type.element, `${path}[]`, budget);
  budget.left -= (before - budget.left) * (type.length - 1);
  return problem ?? (budget.left < 0 ? `${path}: more than ${maxValues} values` : undefined);
}

function structReader(struct: BtfStruct): (view: DataView, offset: number) => BtfRecord {
  const members = struct.members.map((m) => ({ ...m, read: typeReader(m.type) }));
  // fromEntries makes own properties whatever the name: a member may be called __proto__.
  return (view, offset) => (
    Object.fromEntries(members.map((m) => [m.name, m.read(view, offset + m.offsetBytes)])));
}

function typeReader(type: BtfType): Read {
  switch (type.kind) {
    case 'int':
      return intReaders[type.isSigned ? 'signed' : 'unsigned'][type.sizeBytes];
    case 'chars':
      return (view, offset) => textAt(view, offset, type.sizeBytes);
    case 'array': {
      const read = typeReader(type.element);
      const { length, element } = type;
      return (view, offset) =>
        Array.from({ length }, (_, i) => read(view, offset + i * element.sizeBytes));
    }
    case 'struct':
      return structReader(type.struct);
    case 'other':
      throw new Error(`assertion failed: ${type.what} was refused before`);
  }
}

const intReaders: Record<'signed' | 'unsigned', Record<1 | 2 | 4 | 8, Read>> = {
  signed: {
    1: (view, offset) => view.getInt8(offset),
    2: (view, offset) => view.getInt16(offset, true),
    4: (view, offset) => view.getInt32(offset, true),
    8: (view, offset) => view.getBigInt64(offset, true),
  },
  unsigned: {
    1: (view, offset) => view.getUint8(offset),
    2: (view, offset) => view.getUint16(offset, true),
    4: (view, offset) => view.getUint32(offset, true),
    8: (view, offset) => view.getBigUint64(offset, true),
  },
};

function textAt(view: DataView, offset: number, sizeBytes: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
  const nul = bytes.indexOf(0);
  return utf8.decode(nul < 0 ? bytes : bytes.subarray(0, nul));
}
