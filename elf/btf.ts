// BTF, the type information of the kernel and of BPF objects: which structs, enums,
// variables and maps there are and how they lie in memory. One pass notes where each type
// begins; types are built when asked for.
// Source: kernel Documentation/bpf/btf.rst.
//
//   header | types: {u32 name, u32 info, u32 size or type} + per-kind tail ... | strings

import { readCString, viewOf } from './elf-file.js';

export type BtfType =
  | { readonly kind: 'int'; readonly sizeBytes: 1 | 2 | 4 | 8; readonly isSigned: boolean }
  /** char[N]: text. BTF has no char of its own, it is told from a signed byte by its name. */
  | { readonly kind: 'chars'; readonly sizeBytes: number }
  | {
      readonly kind: 'array';
      readonly sizeBytes: number;
      readonly length: number;
      readonly element: BtfType;
    }
  | { readonly kind: 'struct'; readonly sizeBytes: number; readonly struct: BtfStruct }
  /** What has no place in a wire struct: pointers, unions, bit fields,
   *  floats, broken references. */
  | { readonly kind: 'other'; readonly sizeBytes: number; readonly what: string };

export interface BtfMember {
  readonly name: string;
  readonly offsetBytes: number;
  readonly type: BtfType;
}

export interface BtfStruct {
  /** '' for an anonymous one. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly members: readonly BtfMember[];
}

export interface BtfEnum {
  readonly name: string;
  /** Exact as Numbers when 32 bits wide; wider ones beyond 2^53 are rounded. */
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface BtfMap {
  readonly name: string;
  /** Absent when declared by size alone, or not at all (rings). */
  readonly key?: BtfType;
  readonly value?: BtfType;
  /** Type of the inner maps of an array or hash of maps. */
  readonly inner?: BtfMap;
}

const magic = 0xeb9f;
const maxTypes = 1 << 20;
const maxDepth = 32;
const maxNameBytes = 512;
const kinds = {
  int: 1, pointer: 2, array: 3, struct: 4, union: 5, enum: 6, forward: 7, typedef: 8, restrict: 11,
  variable: 14, section: 15, float: 16, typeTag: 18, enum64: 19,
} as const;
/** Bytes behind the 12 of each kind: fixed, and per element counted in `info`. Index: kind. */
const tailFixed = [0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 4, 0, 0];
const tailEach = [0, 0, 0, 0, 12, 12, 8, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 0, 0, 12];
const kindNames = [
  'void',
  'int',
  'pointer',
  'array',
  'struct',
  'union',
  'enum',
  'forward',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'function',
  'function',
  'variable',
  'section',
  'float',
  'tag',
  'tag',
  'enum',
];

/** **Limits**: 2^20 types. **Errors**: a sentence when header or types are broken;
 *  broken references are `other`. */
export function parseBtf(bytes: Uint8Array): Btf | { readonly reason: string } {
  const view = viewOf(bytes);
  if (bytes.length < 24 || view.getUint16(0, true) !== magic) return { reason: 'not BTF' };
  const headerBytes = view.getUint32(4, true);
  const typesFrom = headerBytes + view.getUint32(8, true);
  const typesTo = typesFrom + view.getUint32(12, true);
  const stringsFrom = headerBytes + view.getUint32(16, true);
  const stringsTo = stringsFrom + view.getUint32(20, true);
  if (typesTo > bytes.length || stringsTo > bytes.length) return { reason: 'BTF is truncated' };
  const offsets = [0];
  for (let at = typesFrom; at < typesTo; ) {
    if (at + 12 > typesTo) return { reason: 'BTF is truncated inside a type' };
    const info = view.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    if (kind === 0 || kind >= tailFixed.length) return { reason: `BTF kind ${kind} is not known` };
    if (offsets.length > maxTypes) return { reason: `BTF has more than ${maxTypes} types` };
    offsets.push(at);
    at += 12 + tailFixed[kind]! + tailEach[kind]! * (info & 0xffff);
    if (at > typesTo) return { reason: 'BTF is truncated inside a type' };
  }
  return new Btf(view, Uint32Array.from(offsets), bytes.subarray(stringsFrom, stringsTo));
}

export class Btf {
  readonly #view: DataView;
  readonly #offsets: Uint32Array;
  readonly #strings: Uint8Array;
  readonly #structs = new Map<number, BtfStruct | undefined>();
  /** Kind -> name -> id. */
  readonly #idsByName = new Map<number, Map<string, number>>();

  /** Use `parseBtf`. */
  constructor(view: DataView, offsets: Uint32Array, strings: Uint8Array) {
    this.#view = view;
    this.#offsets = offsets;
    this.#strings = strings;
  }

  get typeCount(): number {
    return this.#offsets.length - 1;
  }

  /** Names of the structs, in the file's order; anonymous ones are left out. */
  structNames(): string[] {
    return this.#named(kinds.struct).map((id) => this.#name(id));
  }

  enumNames(): string[] {
    return [...this.#named(kinds.enum), ...this.#named(kinds.enum64)].map((id) => this.#name(id));
  }

  /** The first struct of this name. */
  struct(name: string): BtfStruct | undefined {
    const id = this.#find(kinds.struct, name);
    return id === undefined ? undefined : this.#struct(id, 0);
  }

  enum(name: string): BtfEnum | undefined {
    const id = this.#find(kinds.enum, name) ?? this.#find(kinds.enum64, name);
    if (id === undefined) return undefined;
    const isWide = this.#kind(id) === kinds.enum64;
    const isSigned = this.#flag(id);
    const word = (at: number): number => (
      isSigned ? this.#view.getInt32(at, true) : this.#view.getUint32(at, true));
    const values = this.#elements(id).map((at) => {
      const value = isWide
        ? word(at + 8) * 2 ** 32 + this.#view.getUint32(at + 4, true)
        : word(at + 4);
      return { name: this.#string(this.#view.getUint32(at, true)), value };
    });
    return { name, values };
  }

  /** Variables of a section (`.rodata`, `.bss`, `.data`). Offsets are 0 in an object
   *  that no loader has opened yet. */
  variables(section: string): BtfMember[] {
    return this.#variables(section).map(({ id, offsetBytes }) => (
      { name: this.#name(id), offsetBytes, type: this.#type(this.#target(id), 0) }));
  }

  /** Maps declared in `.maps`, with the types of their keys and values. */
  maps(): BtfMap[] {
    return this.#variables('.maps').map(({ id }) => this.#map(this.#name(id), this.#target(id), 0));
  }

  #variables(section: string): { id: number; offsetBytes: number }[] {
    const sectionId = this.#find(kinds.section, section);
    if (sectionId === undefined) return [];
    return this.#elements(sectionId)
      .map((at) => ({
        id: this.#view.getUint32(at, true),
        offsetBytes: this.#view.getUint32(at + 4, true),
      }))
      .filter(({ id }) => this.#kind(id) === kinds.variable);
  }

  // struct { int (*type)[N]; struct key *key; struct value *value;
  // struct { inner map } *values[]; }
  #map(name: string, definition: number, depth: number): BtfMap {
    const map: { name: string; key?: BtfType; value?: BtfType; inner?: BtfMap } = { name };
    const id = this.#resolve(definition);
    if (this.#kind(id) !== kinds.struct || depth > 1) return map;
    for (const at of this.#elements(id)) {
      const member = this.#string(this.#view.getUint32(at, true));
      const type = this.#resolve(this.#view.getUint32(at + 4, true));
      const isPointer = this.#kind(type) === kinds.pointer;
      if (member === 'key' && isPointer) map.key = this.#type(this.#target(type), 0);
      if (member === 'value' && isPointer) map.value = this.#type(this.#target(type), 0);
      if (member === 'values' && this.#kind(type) === kinds.array) {
        const inner = this.#resolve(this.#view.getUint32(this.#offsets[type]! + 12, true));
        if (this.#kind(inner) === kinds.pointer) {
          map.inner = this.#map('', this.#target(inner), depth + 1);
        }
      }
    }
    return map;
  }

  #struct(id: number, depth: number): BtfStruct | undefined {
    if (this.#structs.has(id)) return this.#structs.get(id);
    this.#structs.set(id, undefined); // a struct that holds itself ends here
    const sizeBytes = this.#target(id);
    const hasBitSizes = this.#flag(id);
    const members = this.#elements(id).map((at): BtfMember => {
      const bits = this.#view.getUint32(at + 8, true);
      const offsetBits = hasBitSizes ? bits & 0xffffff : bits;
      const isBitField = (hasBitSizes && bits >>> 24 !== 0) || offsetBits % 8 !== 0;
      const offsetBytes = Math.floor(offsetBits / 8);
      let type = this.#type(this.#view.getUint32(at + 4, true), depth + 1);
      if (isBitField) type = other('bit field');
      else if (offsetBytes + type.sizeBytes > sizeBytes) type = other('member out of bounds');
      return { name: this.#string(this.#view.getUint32(at, true)), offsetBytes, type };
    });
    const struct = { name: this.#name(id), sizeBytes, members };
    this.#structs.set(id, struct);
    return struct;
  }

  #type(reference: number, depth: number): BtfType {
    const id = this.#resolve(reference);
    const kind = this.#kind(id);
    const size = kind === 0 ? 0 : this.#target(id);
    if (depth > maxDepth) return other('type nested too deep');
    if (kind === kinds.int) return this.#int(id, size);
    if ((kind === kinds.enum || kind === kinds.enum64) && isIntSize(size)) {
      return { kind: 'int', sizeBytes: size, isSigned: this.#flag(id) };
    }
    if (kind === kinds.array) return this.#array(id, depth);
    if (kind === kinds.struct) {
      const struct = this.#struct(id, depth);
      if (struct === undefined) return other('a struct that holds itself');
      return { kind: 'struct', sizeBytes: size, struct };
    }
    if (kind === kinds.forward) {
      // clang may emit only the name of a struct behind a pointer in a
      // struct; it may stand elsewhere.
      const full = this.#find(kinds.struct, this.#name(id));
      if (full !== undefined) return this.#type(full, depth + 1);
    }
    const hasSize = kind === kinds.union || kind === kinds.float;
    return other(kindNames[kind]!, kind === kinds.pointer ? 8 : hasSize ? size : 0);
  }

  // u32 behind the type: encoding:4 at bit 24 (1 = signed), bit offset:8 at bit 16, bits:8.
  #int(id: number, sizeBytes: number): BtfType {
    const data = this.#view.getUint32(this.#offsets[id]! + 12, true);
    const isWhole = (data & 0xff) === sizeBytes * 8 && ((data >>> 16) & 0xff) === 0;
    const isBool = ((data >>> 24) & 4) !== 0;
    if (!isIntSize(sizeBytes) || !(isWhole || isBool)) return other('odd integer', sizeBytes);
    return { kind: 'int', sizeBytes, isSigned: ((data >>> 24) & 1) !== 0 };
  }

  #array(id: number, depth: number): BtfType {
    const at = this.#offsets[id]! + 12;
    const elementId = this.#resolve(this.#view.getUint32(at, true));
    const length = this.#view.getUint32(at + 8, true);
    const element = this.#type(elementId, depth + 1);
    const sizeBytes = element.sizeBytes * length;
    const isChar =
      element.kind === 'int' && element.sizeBytes === 1 && this.#name(elementId) === 'char';
    if (isChar) return { kind: 'chars', sizeBytes };
    if (element.kind === 'other' || element.sizeBytes === 0) return other('array', sizeBytes);
    return { kind: 'array', sizeBytes, length, element };
  }

  /** Through typedefs and qualifiers to what they stand for; 0 (void) when that does not end. */
  #resolve(reference: number): number {
    let id = reference;
    for (let step = 0; step < maxDepth; step++) {
      const kind = this.#kind(id);
      const isAlias = (kind >= kinds.typedef && kind <= kinds.restrict) || kind === kinds.typeTag;
      if (!isAlias) return kind === 0 ? 0 : id;
      id = this.#target(id);
    }
    return 0;
  }

  #named(kind: number): number[] {
    const ids: number[] = [];
    for (let id = 1; id < this.#offsets.length; id++) {
      if (this.#kind(id) === kind && this.#view.getUint32(this.#offsets[id]!, true) !== 0) {
        ids.push(id);
      }
    }
    return ids;
  }

  /** The first of this kind and name. Kept by name: hostile BTF may ask for it once a member. */
  #find(kind: number, name: string): number | undefined {
    let ids = this.#idsByName.get(kind);
    if (ids === undefined) {
      ids = new Map(this.#named(kind).reverse().map((id) => [this.#name(id), id]));
      this.#idsByName.set(kind, ids);
    }
    return ids.get(name);
  }

  /** 0 for void and for ids that do not exist. */
  #kind(id: number): number {
    if (id === 0 || id >= this.#offsets.length) return 0;
    return (this.#view.getUint32(this.#offsets[id]! + 4, true) >>> 24) & 0x1f;
  }

  #flag(id: number): boolean {
    return this.#view.getUint32(this.#offsets[id]! + 4, true) >>> 31 === 1;
  }

  /** The third word: size in bytes, or the type referred to. */
  #target(id: number): number {
    return this.#view.getUint32(this.#offsets[id]! + 8, true);
  }

  /** Where each member, value or variable of this type stands. */
  #elements(id: number): number[] {
    const at = this.#offsets[id]!;
    const count = this.#view.getUint32(at + 4, true) & 0xffff;
    const each = tailEach[this.#kind(id)]!;
    return Array.from({ length: count }, (_, i) => at + 12 + i * each);
  }

  #name(id: number): string {
    return this.#kind(id) === 0 ? '' : this.#string(this.#view.getUint32(this.#offsets[id]!, true));
  }

  #string(offset: number): string {
    return readCString(this.#strings, offset, maxNameBytes);
  }
}

function other(what: string, sizeBytes = 0): BtfType {
  return { kind: 'other', sizeBytes, what };
}

function isIntSize(size: number): size is 1 | 2 | 4 | 8 {
  return size === 1 || size === 2 || size === 4 || size === 8;
}
