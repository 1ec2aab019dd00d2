// The symbols of one file: read when first asked for, kept while the budget lasts. A file whose
// names are small is closed as soon as it is read, since an open descriptor keeps its file system
// from being unmounted; larger ones stay open and give their names one by one.

import type { ElfSegment, ReadAt } from '../../elf/elf-file.js';
import { fileOffsetToAddress, readElf, segmentType } from '../../elf/elf-file.js';
import type { SymbolTable } from '../../elf/symbols.js';
import { readSymbols } from '../../elf/symbols.js';
import type { NameReason } from '../../storage/model/frame.js';
import { closeFile, fileReader, fileStamp } from './file-reader.js';

/** `origin` is where the image begins in what the descriptor reads, `stamp` what the file must hold as
 *  long as it is read (see contentStamp). */
export type Opened =
  | { readonly fd: number; readonly origin?: number; readonly stamp?: string }
  | { readonly reason: NameReason };

const maxKeptNameBytes = 512 << 10;
const noBytes: ReadAt = () => new Uint8Array(0);
const noFile = { fd: undefined, origin: 0, stamp: undefined };

interface Unread {
  readonly kind: 'unread';
  readonly fd: number;
  readonly origin: number;
  readonly stamp: string | undefined;
}

interface Loaded {
  readonly kind: 'loaded';
  /** undefined once closed. */
  readonly fd: number | undefined;
  readonly origin: number;
  readonly stamp: string | undefined;
  readonly table: SymbolTable;
}

interface Failed {
  readonly kind: 'failed';
  readonly fd: undefined;
  readonly reason: NameReason;
}

export class ModuleImage {
  /** Modules that share it. */
  users = 0;
  /** Of the symbolizer's clock. */
  lastUse = 0;
  #buildId = '';
  #segments: readonly ElfSegment[] = [];
  readonly #expectedBuildId: string;
  #state: Unread | Loaded | Failed;

  /** Owns the descriptor. A build id that is expected must be the file's own, else all look-ups say
   *  `file-changed`. */
  constructor(opened: Opened, expectedBuildId: string) {
    this.#expectedBuildId = expectedBuildId;
    this.#state = stateOf(opened);
  }

  /** Another file of this build id: taken where the one before failed, else closed. */
  offer(opened: Opened): void {
    if (this.#state.kind === 'failed') this.#state = stateOf(opened);
    else if ('fd' in opened) closeFile(opened.fd);
  }

  get isOpen(): boolean {
    return this.#state.fd !== undefined;
  }

  get isRead(): boolean {
    return this.#state.kind !== 'unread';
  }

  get isFailed(): boolean {
    return this.#state.kind === 'failed';
  }

  /** As the file itself gives it, once read; '' before, or when it has none. */
  get buildId(): string {
    return this.#buildId;
  }

  get keptBytes(): number {
    return this.#state.kind === 'loaded' ? this.#state.table.keptBytes : 0;
  }

  /** The table, read now if it was not yet, or why there is none. */
  table(): SymbolTable | { readonly reason: NameReason } {
    const state = this.#state.kind === 'unread' ? this.#load(this.#state) : this.#state;
    this.#state = state;
    return state.kind === 'loaded' ? state.table : { reason: state.reason };
  }

  /** The virtual address of a place in the file; undefined when the file does not say. */
  addressOf(fileOffset: number): number | undefined {
    return fileOffsetToAddress(this.#segments, fileOffset);
  }

  /** Name of a range of the table, or why it cannot be read any more. */
  nameOf(table: SymbolTable, index: number): { readonly name: string } | { readonly reason: NameReason } {
    const { fd, origin = 0, stamp } = this.#state.kind === 'loaded' ? this.#state : noFile;
    const name = table.name(index, fd === undefined ? noBytes : fileReader(fd, origin));
    if (fd !== undefined && isChanged(fd, stamp)) return { reason: 'file-changed' };
    if (name !== '') return { name };
    return { reason: fd === undefined ? 'over-budget' : 'no-match' };
  }

  /** Frees the table. It is read again when the file is still open; else the symbols are gone. */
  forget(): void {
    if (this.#state.kind !== 'loaded') return;
    const { fd, origin, stamp } = this.#state;
    this.#state = fd === undefined ? failed('over-budget') : { kind: 'unread', fd, origin, stamp };
  }

  /** Gives up the descriptor: the table is read before, and its names if they are
   *  small. Others get none any more. */
  closeFile(): void {
    this.table();
    if (this.#state.kind !== 'loaded' || this.#state.fd === undefined) return;
    closeFile(this.#state.fd);
    this.#state = { ...this.#state, fd: undefined };
  }

  close(): void {
    if (this.#state.fd !== undefined) closeFile(this.#state.fd);
    this.#state = failed('over-budget');
  }

  #load({ fd, origin, stamp }: Unread): Loaded | Failed {
    const read = fileReader(fd, origin);
    const table = this.#readTable(read);
    const isSmall =
      !('reason' in table) && table.nameBytes <= maxKeptNameBytes && table.keepNames(read);
    const reason = isChanged(fd, stamp) ? 'file-changed' : 'reason' in table && table.reason;
    if (isSmall || reason) closeFile(fd);
    if (reason || 'reason' in table) return failed(reason || 'file-changed');
    return { kind: 'loaded', fd: isSmall ? undefined : fd, origin, stamp, table };
  }

  #readTable(read: ReadAt): SymbolTable | { readonly reason: NameReason } {
    const file = readElf(read);
    if ('reason' in file) return { reason: 'not-elf' };
    this.#buildId = file.buildId;
    const isExpected = this.#expectedBuildId === '' || file.buildId === this.#expectedBuildId;
    if (!isExpected) return { reason: 'file-changed' };
    this.#segments = file.segments.filter((s) => s.type === segmentType.load);
    return readSymbols(read, file);
  }
}

function stateOf(opened: Opened): Unread | Failed {
  if ('reason' in opened) return failed(opened.reason);
  const { fd, origin = 0, stamp } = opened;
  return { kind: 'unread', fd, origin, stamp };
}

/** What was read of it so far may be of either content. */
function isChanged(fd: number, stamp: string | undefined): boolean {
  return stamp !== undefined && fileStamp(fd) !== stamp;
}

function failed(reason: NameReason): Failed {
  return { kind: 'failed', fd: undefined, reason };
}
