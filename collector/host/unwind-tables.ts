// The kernel's side of unwind tables: which file has which table, in the maps of a loaded sampler. A
// file's entry names a place in the array of tables; a table goes after the last entry that names it.
//
//   files   {inode, device, generation} ──▶ state, place, code segments, last use
//   tables  place ──▶ array of 4 KB blocks (bpf/include/unwind_table.h)

import type { UnwindOutput } from '../../bpf/descriptor.js';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { BpfMap, MapFill } from '../../bpf/map.js';
import { u32Bytes } from '../../bpf/map.js';
import { CallError } from '../../ffi/errno.js';
import { assert } from '../../storage/model/errors.js';
import type { CodeSegment } from '../../elf/code-ranges.js';
import type { Blocks } from '../unwind/blocks.js';

/** A program that read a place before its table went has long ended by then. */
const reuseAfterMs = 1000;

export type FileKey = wire.FkFile;

/** A table in the kernel. */
export interface PlacedTable {
  readonly place: number;
  readonly levels: number;
  /** What the kernel charges for it. */
  readonly bytes: number;
}

export class UnwindTables {
  readonly #files: BpfMap;
  readonly #tables: BpfMap;
  /** Places that no table is in, the one that has been free longest first. */
  readonly #free: { readonly place: number; readonly freedMs: number }[];
  #bytes = 0;

  constructor(probe: LoadedProbe, output: UnwindOutput) {
    this.#files = probe.map(output.files);
    this.#tables = probe.map(output.tables);
    assert(
      this.#files.keySize === wire.FK_FILE_SIZE &&
        this.#files.valueSize === wire.FK_UNWIND_FILE_SIZE,
      'the map of files is as declared',
    );
    this.#free = Array.from({ length: this.#tables.maxEntries }, (_, place) => {
      return { place, freedMs: -Infinity };
    });
  }

  /** Files that the kernel can keep. */
  get maxFiles(): number {
    return this.#files.maxEntries;
  }

  get maxTables(): number {
    return this.#tables.maxEntries;
  }

  /** `files`: those the kernel was told of. */
  fills(files: number): readonly MapFill[] {
    const taken = this.maxTables - this.#free.length;
    return [
      { map: this.#files.name, share: files / this.maxFiles },
      { map: this.#tables.name, share: taken / this.maxTables },
    ];
  }

  /** What all tables together are charged for. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Loads a table; undefined when all places are taken. **Errors**: throws CallError (`ENOMEM`). */
  add({ blocks, levels }: Blocks): PlacedTable | undefined {
    const first = this.#free[0];
    if (first === undefined || performance.now() - first.freedMs < reuseAfterMs) return undefined;
    const bytes = this.#tables.putInner(first.place, blocks);
    this.#free.shift();
    this.#bytes += bytes;
    return { place: first.place, levels, bytes };
  }

  /** No entry of a file may name it any more. */
  remove({ place, bytes }: PlacedTable): void {
    this.#tables.delete(u32Bytes(place));
    this.#free.push({ place, freedMs: performance.now() });
    this.#bytes -= bytes;
  }

  /** From now on stacks go through the file by this table. False: no room for one more file. */
  setTable(file: FileKey, table: PlacedTable, segments: readonly CodeSegment[]): boolean {
    return this.#set(file, wire.FkFileState.FK_FILE_READY, { table, segments });
  }

  /** Why the file has no table, or none yet. False: no room for one more file. */
  setState(file: FileKey, state: number): boolean {
    return this.#set(file, state, undefined);
  }

  /** The next stack that meets the file asks for it again. */
  forget(file: FileKey): void {
    this.#files.delete(keyBytes(file));
  }

  /** When a stack last went through the file, to a second. **Units**: ktime, ns; undefined when the
   *  kernel does not know the file. */
  lastUseNs(file: FileKey): bigint | undefined {
    return this.#entry(file)?.last_use_ns;
  }

  /** What the kernel knows of the file now: one of FkFileState; undefined when nothing. */
  state(file: FileKey): number | undefined {
    return this.#entry(file)?.state;
  }

  #entry(file: FileKey): wire.FkUnwindFile | undefined {
    const value = this.#files.lookup(keyBytes(file));
    return value && wire.decodeFkUnwindFile(new DataView(value.buffer), 0);
  }

  #set(
    file: FileKey,
    state: number,
    code: { table: PlacedTable; segments: readonly CodeSegment[] } | undefined,
  ): boolean {
    const value = new Uint8Array(wire.FK_UNWIND_FILE_SIZE);
    const segments = (code?.segments ?? []).slice(0, wire.FkLimit.FK_CODE_SEGMENTS);
    const unused = { offset: 0n, limit: 0n, pc_minus_offset: 0n };
    wire.encodeFkUnwindFile(new DataView(value.buffer), 0, {
      state,
      table: code?.table.place ?? 0,
      levels: code?.table.levels ?? 0,
      n_segments: segments.length,
      segments: Array.from({ length: wire.FkLimit.FK_CODE_SEGMENTS }, (_, i) => {
        const segment = segments[i];
        return segment === undefined ? unused : wireSegment(segment);
      }),
      last_use_ns: process.hrtime.bigint(),
    });
    try {
      this.#files.update(keyBytes(file), value);
      return true;
    } catch (error) {
      if (error instanceof CallError && error.errno === 'E2BIG') return false;
      throw error;
    }
  }
}

function wireSegment({ offset, limit, pcMinusOffset }: CodeSegment): wire.FkCodeSegment {
  return {
    offset: BigInt(offset),
    limit: BigInt(limit),
    pc_minus_offset: BigInt(pcMinusOffset),
  };
}

function keyBytes(file: FileKey): Uint8Array {
  const key = new Uint8Array(wire.FK_FILE_SIZE);
  wire.encodeFkFile(new DataView(key.buffer), 0, file);
  return key;
}
