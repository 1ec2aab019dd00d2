// Makes Go function tables from a description, in the layouts of Go 1.18, 1.20 and 1.26, so that no Go is
// needed.

import type { ElfFile, ElfSection } from '../../elf/elf-file.js';

export interface GoFunction {
  readonly name: string;
  readonly sizeBytes: number;
  readonly flags?: number;
  /** [bytes of code, stack bytes below the return address]. */
  readonly depths: readonly (readonly [number, number])[];
}

export type GoVersion = '1.18' | '1.20' | '1.26';

export const goTextStart = 0x401000;
const tableAddress = 0x500000;

/** A file that is nothing but the table, and the bytes that its offsets refer to. */
export function buildGoFile(
  version: GoVersion,
  functions: readonly GoFunction[],
): { file: ElfFile; bytes: Uint8Array } {
  const table = buildTable(version, functions);
  const module = Buffer.alloc(256);
  module.writeBigUInt64LE(BigInt(tableAddress), 0);
  module.writeBigUInt64LE(BigInt(goTextStart), 22 * 8);
  const textBytes = functions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const section = (name: string, offset: number, sizeBytes: number, address: number): ElfSection => ({
    name,
    type: 1,
    isExecutable: false,
    address,
    offset,
    sizeBytes,
    link: 0,
  });
  const file: ElfFile = {
    machine: 62,
    entryAddress: 0,
    segments: [
      {
        type: 1,
        isExecutable: true,
        offset: 0x1000,
        address: goTextStart,
        fileSizeBytes: textBytes,
        memorySizeBytes: textBytes,
        alignment: 4096,
      },
    ],
    sections: [
      section('.gopclntab', 0, table.length, tableAddress),
      ...(version === '1.26' ? [section('.go.module', table.length, module.length, 0x600000)] : []),
    ],
    buildId: '',
  };
  return { file, bytes: Buffer.concat([table, module]) };
}

function buildTable(version: GoVersion, functions: readonly GoFunction[]): Buffer {
  const names = functions.map(({ name }) => Buffer.from(`${name}\0`));
  const pcsp = functions.map(({ depths }) => encodeDepths(depths));
  const header = Buffer.alloc(72);
  const namesAt = header.length;
  const pctabAt = namesAt + sum(names);
  const functionsAt = pctabAt + 1 + sum(pcsp);
  header.writeUInt32LE(version === '1.18' ? 0xfffffff0 : 0xfffffff1, 0);
  header.writeUInt8(1, 6);
  header.writeUInt8(8, 7);
  const textStart = version === '1.26' ? 0 : goTextStart;
  [functions.length, 1, textStart, namesAt, 0, 0, pctabAt, functionsAt].forEach((value, i) =>
    header.writeBigUInt64LE(BigInt(value), 8 + i * 8),
  );
  const structBytes = version === '1.18' ? 40 : 44;
  const functab = Buffer.alloc((functions.length + 1) * 8);
  const structs = functions.map(({ flags, sizeBytes }, i) => {
    const entry = sum(functions.slice(0, i).map((f) => ({ length: f.sizeBytes })));
    functab.writeUInt32LE(entry, i * 8);
    functab.writeUInt32LE(functab.length + i * structBytes, i * 8 + 4);
    functab.writeUInt32LE(entry + sizeBytes, (i + 1) * 8);
    const struct = Buffer.alloc(structBytes);
    struct.writeUInt32LE(entry, 0);
    struct.writeUInt32LE(sum(names.slice(0, i)), 4);
    struct.writeUInt32LE(1 + sum(pcsp.slice(0, i)), 16);
    struct.writeUInt8(flags ?? 0, structBytes - 3);
    return struct;
  });
  return Buffer.concat([header, ...names, Buffer.alloc(1), ...pcsp, functab, ...structs]);
}

/** Pairs of varints: the change of the value, zigzag, from -1 on; then for how many bytes. */
function encodeDepths(depths: GoFunction['depths']): Buffer {
  let last = -1;
  const bytes: number[] = [];
  for (const [codeBytes, depth] of depths) {
    const change = depth - last;
    bytes.push(...varint(change < 0 ? -2 * change - 1 : 2 * change), ...varint(codeBytes));
    last = depth;
  }
  return Buffer.from([...bytes, 0]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

function sum(items: readonly { readonly length: number }[]): number {
  return items.reduce((total, { length }) => total + length, 0);
}
