// ELF headers, segments, sections and the build id: 64-bit, little-endian. The file is read in
// bounded pieces and believed in nothing: every length, count and offset has a limit, and what is
// broken is absent, not thrown. Source: System V gABI, chapters 4 and 5; elf(5).

/** Up to `length` bytes at `position`; fewer at the end of the file or after an error. Never
 *  throws. The bytes are valid until the next call: a reader may use one buffer again and again. */
export type ReadAt = (position: number, length: number) => Uint8Array;

export type ElfReason = 'not-elf' | 'not-64-bit-little-endian' | 'truncated';

export interface ElfSegment {
  /** PT_*, see `segmentType`. */
  readonly type: number;
  readonly isExecutable: boolean;
  readonly offset: number;
  /** Virtual address, signed: kernel addresses stay exact. */
  readonly address: number;
  readonly fileSizeBytes: number;
  readonly memorySizeBytes: number;
  readonly alignment: number;
}

export interface ElfSection {
  readonly name: string;
  /** SHT_*, see `sectionType`. */
  readonly type: number;
  readonly isExecutable: boolean;
  readonly address: number;
  readonly offset: number;
  readonly sizeBytes: number;
  /** Index of the section this one refers to: a symbol table's string table. */
  readonly link: number;
}

export interface ElfFile {
  /** EM_*: 62 x86-64, 183 AArch64, 247 BPF. */
  readonly machine: number;
  /** Virtual address at which a program, or the dynamic linker, is started; 0 for none. */
  readonly entryAddress: number;
  readonly segments: readonly ElfSegment[];
  /** Empty when there are none, or when they are broken. */
  readonly sections: readonly ElfSection[];
  /** Lower-case hex, '' for none. */
  readonly buildId: string;
}

export const segmentType = { load: 1, note: 4, ehFrame: 0x6474e550 } as const;
export const sectionType = { symbols: 2, note: 7, noBits: 8, dynamicSymbols: 11 } as const;

const maxSegments = 1024;
const maxSections = 8192;
const maxNameTableBytes = 1 << 20;
const maxNameBytes = 256;
const maxNoteBytes = 1 << 16;
const maxNotePieces = 64;
const pageBytes = 4096;
const headerBytes = 64;
const segmentBytes = 56;
const sectionBytes = 64;
const flagSegmentExecutable = 1;
const flagSectionExecutable = 4;

/** Reads the headers, at most 1024 segments and 8192 sections. **Errors**: a reason
 *  when it is no ELF file of ours. */
export function readElf(read: ReadAt): ElfFile | { readonly reason: ElfReason } {
  const bytes = read(0, headerBytes);
  if (
    bytes.length < 4 ||
    bytes[0] !== 0x7f ||
    bytes[1] !== 0x45 ||
    bytes[2] !== 0x4c ||
    bytes[3] !== 0x46
  ) {
    return { reason: 'not-elf' };
  }
  if (bytes.length < headerBytes) return { reason: 'truncated' };
  if (bytes[4] !== 2 || bytes[5] !== 1) return { reason: 'not-64-bit-little-endian' };
  const header = viewOf(new Uint8Array(bytes));
  const segments = readSegments(read, header);
  const sections = readSections(read, header);
  const buildId = readBuildId(read, segments, sections);
  const machine = header.getUint16(18, true);
  return { machine, entryAddress: readSigned64(header, 24), segments, sections, buildId };
}

/** A copy of the section's bytes; undefined when it has none in the file, or more than
 *  `maxBytes`, or is cut short. */
export function readSection(
  read: ReadAt,
  section: ElfSection,
  maxBytes: number,
): Uint8Array | undefined {
  if (section.type === sectionType.noBits || section.sizeBytes > maxBytes) return undefined;
  const bytes = read(section.offset, section.sizeBytes);
  return bytes.length === section.sizeBytes ? new Uint8Array(bytes) : undefined;
}

export function readerOf(bytes: Uint8Array): ReadAt {
  return (position, length) => bytes.subarray(position, position + length);
}

/** The virtual address of a place in the file, undefined when no loaded segment holds it.
 *  Executable ones come first: a linker may let two segments share a page of the file,
 *  and what was sampled is code. */
export function fileOffsetToAddress(
  segments: readonly ElfSegment[],
  offset: number,
): number | undefined {
  const segment =
    segments.find((s) => s.isExecutable && isInside(s, offset, 1)) ??
    segments.find((s) => s.isExecutable && isInside(s, offset, pageBytes)) ??
    segments.find((s) => isInside(s, offset, 1));
  return segment === undefined ? undefined : segment.address + (offset - segment.offset);
}

/** Mappings are made of whole pages: a segment is seen up to the borders
 *  of its first and last page. */
function isInside(segment: ElfSegment, offset: number, granuleBytes: number): boolean {
  if (segment.type !== segmentType.load) return false;
  const from = Math.floor(segment.offset / granuleBytes) * granuleBytes;
  const to = Math.ceil((segment.offset + segment.fileSizeBytes) / granuleBytes) * granuleBytes;
  return offset >= from && offset < to;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit field as a signed Number, exact below 2^53 in magnitude: all file offsets and canonical
 *  addresses. */
export function readSigned64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

/** UTF-8 up to the NUL, or up to `maxBytes`; '' outside of the bytes. Wrong bytes become U+FFFD. */
export function readCString(bytes: Uint8Array, at: number, maxBytes: number): string {
  const limit = Math.min(bytes.length, at + maxBytes);
  if (at >= limit) return '';
  const nul = bytes.subarray(at, limit).indexOf(0);
  return utf8.decode(bytes.subarray(at, nul < 0 ? limit : at + nul));
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function readSegments(read: ReadAt, header: DataView): ElfSegment[] {
  const offset = readSigned64(header, 32);
  const count = header.getUint16(56, true);
  if (header.getUint16(54, true) !== segmentBytes || count > maxSegments) return [];
  if (!isFilePosition(offset)) return [];
  const bytes = read(offset, count * segmentBytes);
  const view = viewOf(bytes);
  const segments: ElfSegment[] = [];
  for (let at = 0; at + segmentBytes <= bytes.length; at += segmentBytes) {
    const segment = {
      type: view.getUint32(at, true),
      isExecutable: (view.getUint32(at + 4, true) & flagSegmentExecutable) !== 0,
      offset: readSigned64(view, at + 8),
      address: readSigned64(view, at + 16),
      fileSizeBytes: readSigned64(view, at + 32),
      memorySizeBytes: readSigned64(view, at + 40),
      alignment: readSigned64(view, at + 48),
    };
    if (isFilePosition(segment.offset) && isFilePosition(segment.fileSizeBytes)) {
      segments.push(segment);
    }
  }
  return segments;
}

function readSections(read: ReadAt, header: DataView): ElfSection[] {
  const offset = readSigned64(header, 40);
  if (header.getUint16(58, true) !== sectionBytes || offset === 0 || !isFilePosition(offset)) {
    return [];
  }
  let count = header.getUint16(60, true);
  let namesIndex = header.getUint16(62, true);
  if (count === 0 || namesIndex === 0xffff) {
    // Counts that do not fit into 16 bits stand in the first section header.
    const first = read(offset, sectionBytes);
    if (first.length < sectionBytes) return [];
    const view = viewOf(first);
    if (count === 0) count = readSigned64(view, 32);
    if (namesIndex === 0xffff) namesIndex = view.getUint32(40, true);
  }
  if (count <= 0 || count > maxSections) return [];
  const table = new Uint8Array(read(offset, count * sectionBytes));
  const sections: (ElfSection & { nameOffset: number })[] = [];
  const view = viewOf(table);
  for (let at = 0; at + sectionBytes <= table.length; at += sectionBytes) {
    sections.push(sectionAt(view, at));
  }
  const namesSection = sections[namesIndex];
  const names = namesSection && readSection(read, namesSection, maxNameTableBytes);
  return sections.map(({ nameOffset, ...section }) => (
    { ...section, name: names ? readCString(names, nameOffset, maxNameBytes) : '' }));
}

/** A section whose place is impossible stays in the list, so that indices hold, but is empty. */
function sectionAt(view: DataView, at: number): ElfSection & { nameOffset: number } {
  const offset = readSigned64(view, at + 24);
  const sizeBytes = readSigned64(view, at + 32);
  const isPlaced = isFilePosition(offset) && isFilePosition(sizeBytes);
  return {
    name: '',
    nameOffset: view.getUint32(at, true),
    type: view.getUint32(at + 4, true),
    isExecutable: (view.getUint32(at + 8, true) & flagSectionExecutable) !== 0,
    address: readSigned64(view, at + 16),
    offset: isPlaced ? offset : 0,
    sizeBytes: isPlaced ? sizeBytes : 0,
    link: view.getUint32(at + 40, true),
  };
}

function isFilePosition(value: number): boolean {
  return value >= 0 && value < 2 ** 52;
}

/** Segments first, as the kernel does; files without them (objects, stripped headers)
 *  are told by their sections. */
function readBuildId(
  read: ReadAt,
  segments: readonly ElfSegment[],
  sections: readonly ElfSection[],
): string {
  const pieces = [
    ...segments.filter((s) => s.type === segmentType.note)
      .map((s) => ({ offset: s.offset, sizeBytes: s.fileSizeBytes, alignment: s.alignment })),
    ...sections.filter((s) => s.type === sectionType.note)
      .map((s) => ({ offset: s.offset, sizeBytes: s.sizeBytes, alignment: 4 })),
  ];
  for (const { offset, sizeBytes, alignment } of pieces.slice(0, maxNotePieces)) {
    const id = buildIdIn(read(offset, Math.min(sizeBytes, maxNoteBytes)), alignment === 8 ? 8 : 4);
    if (id !== '') return id;
  }
  return '';
}

// A note: u32 name size, u32 descriptor size, u32 type, name, descriptor,
// both padded. Ours: "GNU", type 3.
function buildIdIn(bytes: Uint8Array, alignment: number): string {
  const view = viewOf(bytes);
  let at = 0;
  while (at + 12 <= bytes.length) {
    const nameSize = view.getUint32(at, true);
    const sizeBytes = view.getUint32(at + 4, true);
    const descriptor = alignUp(at + 12 + nameSize, alignment);
    const isGnu =
      nameSize === 4 && at + 16 <= bytes.length && view.getUint32(at + 12, true) === 0x00554e47;
    const isWhole = sizeBytes > 0 && sizeBytes <= 64 && descriptor + sizeBytes <= bytes.length;
    if (isGnu && isWhole && view.getUint32(at + 8, true) === 3) {
      const id = bytes.subarray(descriptor, descriptor + sizeBytes);
      return Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('');
    }
    at = alignUp(descriptor + sizeBytes, alignment);
  }
  return '';
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
