// Makes small ELF files from a description, so that a test shows exactly which symbols there are.

export interface SymbolSpec {
  readonly name: string;
  readonly value: number;
  readonly sizeBytes: number;
  /** Default: global function in `.text`. */
  readonly binding?: 'local' | 'global' | 'weak';
  readonly type?: number;
  readonly section?: number;
}

export interface ElfSpec {
  readonly symbols?: readonly SymbolSpec[];
  readonly dynamicSymbols?: readonly SymbolSpec[];
  readonly buildId?: string;
}

/** `.text` is file offset 0x1000 to 0x3000, loaded 4 KB higher. */
export const textOffset = 0x1000;
export const textAddress = 0x2000;
export const textBytes = 0x2000;

const bindings = { local: 0, global: 1, weak: 2 };

/** Sections: 0 none, 1 .text, 2 .symtab, 3 .strtab, 4 .dynsym, 5 .dynstr, 6
 *  .note.gnu.build-id, 7 .shstrtab.
 *  */
export function buildElf(spec: ElfSpec): Uint8Array {
  const staticTable = symbolTable(spec.symbols ?? []);
  const dynamicTable = symbolTable(spec.dynamicSymbols ?? []);
  const names = stringTable([
    '.text', '.symtab', '.strtab', '.dynsym', '.dynstr', '.note.gnu.build-id', '.shstrtab']);
  const note = buildIdNote(spec.buildId ?? '');
  const contents: { type: number; link: number; bytes: Buffer }[] = [
    { type: 2, link: 3, bytes: staticTable.entries },
    { type: 3, link: 0, bytes: staticTable.strings },
    { type: 11, link: 5, bytes: dynamicTable.entries },
    { type: 3, link: 0, bytes: dynamicTable.strings },
    { type: 7, link: 0, bytes: note },
    { type: 3, link: 0, bytes: names.bytes },
  ];
  const pieces: Buffer[] = [];
  const text = {
    type: 1,
    flags: 6,
    address: textAddress,
    offset: textOffset,
    sizeBytes: textBytes,
  };
  const sections = [sectionHeader({}), sectionHeader({ name: names.offsets[0]!, ...text })];
  let offset = textOffset + textBytes;
  let noteOffset = 0;
  contents.forEach(({ type, link, bytes }, i) => {
    if (type === 7) noteOffset = offset;
    const name = names.offsets[i + 1]!;
    sections.push(sectionHeader({ name, type, link, offset, sizeBytes: bytes.length }));
    pieces.push(bytes);
    offset += bytes.length;
  });
  const segments = [
    programHeader({
      type: 1,
      flags: 5,
      offset: textOffset,
      address: textAddress,
      sizeBytes: textBytes,
    }),
    programHeader({ type: 4, flags: 4, offset: noteOffset, address: 0, sizeBytes: note.length }),
  ];
  const head = Buffer.alloc(textOffset + textBytes);
  Buffer.concat([fileHeader(offset, segments.length, sections.length), ...segments]).copy(head);
  return Buffer.concat([head, ...pieces, ...sections]);
}

function symbolTable(symbols: readonly SymbolSpec[]): { entries: Buffer; strings: Buffer } {
  const strings = stringTable(symbols.map((s) => s.name));
  const entries = symbols.map(({ binding, type, section, value, sizeBytes }, i) => {
    const entry = Buffer.alloc(24);
    entry.writeUInt32LE(strings.offsets[i]!, 0);
    entry.writeUInt8((bindings[binding ?? 'global'] << 4) | (type ?? 2), 4);
    entry.writeUInt16LE(section ?? 1, 6);
    entry.writeBigUInt64LE(BigInt(value), 8);
    entry.writeBigUInt64LE(BigInt(sizeBytes), 16);
    return entry;
  });
  return { entries: Buffer.concat([Buffer.alloc(24), ...entries]), strings: strings.bytes };
}

function stringTable(strings: readonly string[]): { bytes: Buffer; offsets: number[] } {
  const offsets: number[] = [];
  let text = '\0';
  for (const string of strings) {
    offsets.push(string === '' ? 0 : Buffer.byteLength(text));
    if (string !== '') text += `${string}\0`;
  }
  return { bytes: Buffer.from(text), offsets };
}

function buildIdNote(hex: string): Buffer {
  if (hex === '') return Buffer.alloc(0);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(4, 0);
  head.writeUInt32LE(hex.length / 2, 4);
  head.writeUInt32LE(3, 8);
  head.write('GNU\0', 12);
  return Buffer.concat([head, Buffer.from(hex, 'hex')]);
}

function fileHeader(sectionsOffset: number, segments: number, sections: number): Buffer {
  const header = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  header.writeUInt16LE(3, 16);
  header.writeUInt16LE(62, 18);
  header.writeBigUInt64LE(64n, 32);
  header.writeBigUInt64LE(BigInt(sectionsOffset), 40);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(segments, 56);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(sections, 60);
  header.writeUInt16LE(sections - 1, 62);
  return header;
}

function programHeader(fields: {
  type: number; flags: number; offset: number; address: number; sizeBytes: number;
}): Buffer {
  const { type, flags, offset, address, sizeBytes } = fields;
  const header = Buffer.alloc(56);
  header.writeUInt32LE(type, 0);
  header.writeUInt32LE(flags, 4);
  header.writeBigUInt64LE(BigInt(offset), 8);
  header.writeBigUInt64LE(BigInt(address), 16);
  header.writeBigUInt64LE(BigInt(sizeBytes), 32);
  header.writeBigUInt64LE(BigInt(sizeBytes), 40);
  header.writeBigUInt64LE(4n, 48);
  return header;
}

function sectionHeader(fields: {
  name?: number; type?: number; flags?: number; address?: number;
  offset?: number; sizeBytes?: number; link?: number;
}): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(fields.name ?? 0, 0);
  header.writeUInt32LE(fields.type ?? 0, 4);
  header.writeBigUInt64LE(BigInt(fields.flags ?? 0), 8);
  header.writeBigUInt64LE(BigInt(fields.address ?? 0), 16);
  header.writeBigUInt64LE(BigInt(fields.offset ?? 0), 24);
  header.writeBigUInt64LE(BigInt(fields.sizeBytes ?? 0), 32);
  header.writeUInt32LE(fields.link ?? 0, 40);
  return header;
}
