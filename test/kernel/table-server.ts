// Answers the unwinder's requests for tables, for tests of the unwinder alone: reads the ring, builds
// at once, without cache or limits.

import { fstatSync, openSync } from 'node:fs';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import { u32Bytes, type BpfMap } from '../../bpf/map.js';
import { RingReader } from '../../bpf/ring.js';
import { closeFile, fileReader } from '../../collector/symbols/file-reader.js';
import { openVdso } from '../../collector/symbols/vdso.js';
import { buildTable, type UnwindTable } from '../../collector/unwind/build-table.js';
import { readElf, segmentType, type ElfFile } from '../../elf/elf-file.js';

const pollMs = 10;
const { FkFileState } = wire;
const noTable = { table: 0, levels: 0, n_segments: 0, segments: [], last_use_ns: 0n };

export interface Served {
  readonly request: wire.FkFileRequest;
  readonly entry: wire.FkUnwindFile;
}

export class TableServer {
  readonly served: Served[] = [];
  readonly #files: BpfMap;
  readonly #tables: BpfMap;
  readonly #ring: RingReader;
  readonly #timer: NodeJS.Timeout;
  /** The next place in `tables`. */
  #next = 0;

  constructor(probe: LoadedProbe) {
    this.#files = probe.map('files');
    this.#tables = probe.map('tables');
    this.#ring = new RingReader(probe.map('requests'));
    this.#timer = setInterval(() => this.#answer(), pollMs);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#ring.close();
  }

  /** Takes a table away, as an eviction does: it is asked for again. */
  evict({ request, entry }: Served): void {
    this.#files.delete(keyOf(request.file));
    this.#tables.delete(u32Bytes(entry.table));
  }

  entryOf(file: wire.FkFile): wire.FkUnwindFile | undefined {
    const value = this.#files.lookup(keyOf(file));
    return value && wire.decodeFkUnwindFile(new DataView(value.buffer), 0);
  }

  #answer(): void {
    const requests: wire.FkFileRequest[] = [];
    this.#ring.read((view, offset) => requests.push(wire.decodeFkFileRequest(view, offset)));
    for (const request of requests) {
      const entry = this.#entryFor(request);
      if (entry === undefined) {
        this.#files.delete(keyOf(request.file));
        continue;
      }
      const value = new Uint8Array(wire.FK_UNWIND_FILE_SIZE);
      wire.encodeFkUnwindFile(new DataView(value.buffer), 0, entry);
      this.#files.update(keyOf(request.file), value);
      this.served.push({ request, entry });
    }
  }

  /** Undefined when the file is not there any more: the next one asks again. */
  #entryFor(request: wire.FkFileRequest): wire.FkUnwindFile | undefined {
    const built = build(request);
    if (built === undefined) return undefined;
    if (built === 'no-elf') return padded({ ...noTable, state: FkFileState.FK_FILE_JIT });
    if (built === 'no-table') return padded({ ...noTable, state: FkFileState.FK_FILE_NO_TABLE });
    const { file, table } = built;
    const index = this.#next++;
    this.#tables.putInner(index, table.blocks);
    const segments = file.segments
      .filter((s) => s.type === segmentType.load && s.isExecutable)
      .map(({ offset, fileSizeBytes, address }) => ({
        offset: BigInt(offset),
        limit: BigInt(offset + fileSizeBytes),
        pc_minus_offset: BigInt(address - offset - table.base),
      }));
    return padded({
      state: FkFileState.FK_FILE_READY,
      table: index,
      levels: table.levels,
      n_segments: segments.length,
      segments,
      last_use_ns: 0n,
    });
  }
}

function padded(entry: wire.FkUnwindFile): wire.FkUnwindFile {
  const none = { offset: 0n, limit: 0n, pc_minus_offset: 0n };
  const missing = wire.FkLimit.FK_CODE_SEGMENTS - entry.segments.length;
  return { ...entry, segments: [...entry.segments, ...Array.from({ length: missing }, () => none)] };
}

function build(
  request: wire.FkFileRequest,
): { file: ElfFile; table: UnwindTable } | 'no-elf' | 'no-table' | undefined {
  const opened = open(request);
  if (opened === undefined) return undefined;
  const { fd, origin } = opened;
  try {
    const read = fileReader(fd, origin);
    const file = readElf(read);
    if ('reason' in file) return 'no-elf';
    const table = buildTable(read, file, { maxBytes: 64 << 20 });
    return 'reason' in table ? 'no-table' : { file, table };
  } finally {
    closeFile(fd);
  }
}

/** Undefined when the process is gone, or has something else there by now. */
function open(request: wire.FkFileRequest): { fd: number; origin: number } | undefined {
  if (request.file.device === 0 && request.file.inode === BigInt(wire.FkFileless.FK_INODE_VDSO)) {
    const vdso = openVdso();
    return 'reason' in vdso ? undefined : { fd: vdso.fd, origin: vdso.origin ?? 0 };
  }
  const range = `${request.vm_start.toString(16)}-${request.vm_limit.toString(16)}`;
  try {
    const fd = openSync(`/proc/${request.incarnation.tgid}/map_files/${range}`, 'r');
    if (fstatSync(fd, { bigint: true }).ino === request.file.inode) return { fd, origin: 0 };
    closeFile(fd);
  } catch {
    // Gone.
  }
  return undefined;
}

function keyOf(file: wire.FkFile): Uint8Array {
  const key = new Uint8Array(wire.FK_FILE_SIZE);
  wire.encodeFkFile(new DataView(key.buffer), 0, file);
  return key;
}
