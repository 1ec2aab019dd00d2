// Mapped files on their way to an unwind table. A stack that meets a file for the first time asks for
// it; the file is opened in the process that maps it, identified and built by the back thread, and
// loaded. Files of one build id share a table. (front)
//
//   requests ─▶ open ─▶ identify ─┬▶ its table is there ──────────────────────────┬▶ ready
//                 │     (back)    └▶ wait for the CPU budget ─▶ build (back) ─▶ load ┘   │ idle, or no room
//                 └ later: gone, over budget ─ next sweep ─▶ forgotten: asked for again ◀┘
//
// Until then, and where something failed that may be mended, the kernel's entry stays `requested`:
// its stacks say that there is no table yet. No ELF file, no unwind information: that is for good.

import { setTimeout as sleep } from 'node:timers/promises';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { MapFill } from '../../bpf/map.js';
import { RingReader } from '../../bpf/ring.js';
import type { UnwindOutput } from '../../bpf/descriptor.js';
import { CallError } from '../../ffi/errno.js';
import { closeFd } from '../../ffi/libc.js';
import type { NameReason } from '../../storage/model/frame.js';
import type { CodeSegment } from '../../elf/code-ranges.js';
import type { FileIdentified, FileQuestion, TableBuilt } from '../messages.js';
import type { Mapping } from '../process/address-space.js';
import type { TableReason, UnwindTable } from '../unwind/build-table.js';
import type { TableCacheFigures, TableCacheLimits } from '../unwind/table-cache.js';
import { TableCache, defaultTableLimits, tableKey } from '../unwind/table-cache.js';
import type { MappedFile } from './mapped-file.js';
import { openMappedFile } from './mapped-file.js';
import type { FileKey, PlacedTable } from './unwind-tables.js';
import { UnwindTables } from './unwind-tables.js';

/** Files opened and not built yet; more are asked for again after the next sweep. */
const MAX_OPEN = 256;
/** The kernel wakes us at most 20 times a second; what came meanwhile is read so much later. */
const READ_AGAIN_MS = 60;
/** So long building waits for files that are still being identified: many come at once, as at the
 *  start, and the small ones are to be built first. */
const GATHER_MS = 300;
/** Events of processes come a little after what they tell of. */
const LATE_MS = 20;
/** When the CPU budget is used up. */
const BUDGET_MS = 100;
/** Entries looked at by one sweep, and how long one may be unused: less when most places are taken. */
const SWEEP_FILES = 64;
const MAX_IDLE_MS = 3_600_000;
const MAX_IDLE_FULL_MS = 60_000;
/** Until what failed may be tried again; what was gone at the next sweep. */
const RETRY_MS = 60_000;

const { FkFileState } = wire;

export interface UnwindFilesOptions {
  readonly limits?: Partial<TableCacheLimits>;
  /** What is known of the place; undefined when nothing is (yet). */
  readonly findMapping: (image: wire.FkIncarnation, address: number) => Mapping | undefined;
  /** A stack met a file, or another content of it, for the first time. */
  readonly onMet?: (request: wire.FkFileRequest) => void;
  /** Answered by `answered`. */
  readonly ask: (question: FileQuestion) => void;
  /** Who is asked has no time for building. */
  readonly isBusy?: () => boolean;
}

export interface UnwindFigures extends TableCacheFigures {
  readonly files: number;
  /** What the kernel charges for the tables. */
  readonly kernelBytes: number;
  /** Since the start: files without a place in the kernel's map, requests without one in its ring. */
  readonly filesFull: number;
  readonly requestsDropped: number;
}

/** Filled in when the table is loaded. */
interface CachedTable {
  readonly key: string;
  placed: PlacedTable | undefined;
}

interface KnownFile {
  readonly id: number;
  readonly key: FileKey;
  state: 'opening' | 'waiting' | 'ready' | 'none';
  /** Open until it has a table or will not get one. */
  image: MappedFile | undefined;
  tableKey: string;
  segments: readonly CodeSegment[];
}

export class UnwindFiles {
  readonly tables: UnwindTables;
  readonly #ring: RingReader;
  readonly #probe: LoadedProbe;
  readonly #output: UnwindOutput;
  readonly #options: UnwindFilesOptions;
  readonly #cache: TableCache<CachedTable, TableReason>;
  readonly #files = new Map<string, KnownFile>();
  /** Those the back was asked about. */
  readonly #asked = new Map<number, KnownFile>();
  /** Those that may be asked for again, and when. */
  readonly #retries = new Map<KnownFile, number>();
  #isBuilding = false;
  #gatherUntilMs = 0;
  #nextId = 0;
  #openFiles = 0;
  #again: NodeJS.Timeout | undefined;
  #budget: NodeJS.Timeout | undefined;
  #sweeper: Iterator<KnownFile> | undefined;
  #isOpen = true;

  constructor(probe: LoadedProbe, output: UnwindOutput, options: UnwindFilesOptions) {
    this.#probe = probe;
    this.#output = output;
    this.#options = options;
    this.tables = new UnwindTables(probe, output);
    this.#ring = new RingReader(probe.map(output.requests));
    const limits = { ...defaultTableLimits, maxTables: this.tables.maxTables, ...options.limits };
    this.#cache = new TableCache(limits, nowMs());
  }

  /** Readable when files were asked for. */
  get fd(): number {
    return this.#ring.fd;
  }

  /** Files on their way to a table, or to the word that there is none. */
  get pending(): number {
    return [...this.#files.values()].filter(({ state }) => state === 'opening' || state === 'waiting')
      .length;
  }

  get figures(): UnwindFigures {
    const { filesFull, requestsDropped } = this.#losses();
    const { tables } = this;
    return {
      ...this.#cache.figures,
      files: this.#files.size,
      kernelBytes: tables.bytes,
      filesFull,
      requestsDropped,
    };
  }

  takeFills(): readonly MapFill[] {
    return [...this.tables.fills(this.#files.size), this.#ring.takeFill()];
  }

  /** Takes the requests that wait. */
  read(): void {
    const count = this.#ring.read((view, offset, sizeBytes) => {
      if (sizeBytes !== wire.FK_FILE_REQUEST_SIZE) return;
      const request = wire.decodeFkFileRequest(view, offset);
      this.#options.onMet?.(request);
      void this.#take(request);
    });
    if (count === 0 || this.#again !== undefined) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.read();
    }, READ_AGAIN_MS).unref();
  }

  /** An answer of the back. */
  answered(answer: FileIdentified | TableBuilt): void {
    const file = this.#asked.get(answer.id);
    this.#asked.delete(answer.id);
    if (answer.kind === 'table-built') this.#isBuilding = false;
    if (!this.#isOpen || file === undefined) return;
    if (answer.kind === 'file-identified') this.#identified(file, answer.result);
    else this.#built(file.tableKey, answer);
    this.#buildNext();
  }

  /** To be called now and then, as at each flush: what failed may be tried again, files long unused
   *  are forgotten. Looks at a few files only. */
  sweep(): void {
    for (const [file, atMs] of this.#retries) if (atMs <= nowMs()) this.#forget(file);
    const isCrowded = this.#files.size > (this.tables.maxFiles * 3) / 4;
    const maxIdleMs = isCrowded ? MAX_IDLE_FULL_MS : MAX_IDLE_MS;
    for (let i = 0; i < SWEEP_FILES; i++) {
      this.#sweeper ??= this.#files.values();
      const next = this.#sweeper.next();
      if (next.done === true) {
        this.#sweeper = undefined;
        break;
      }
      const file = next.value;
      if (file.state === 'opening' || file.state === 'waiting') continue;
      const lastUseMs = this.#lastUseMs(file);
      if (file.state === 'ready') this.#cache.used(file.tableKey, lastUseMs);
      if (nowMs() - lastUseMs > maxIdleMs) this.#forget(file);
    }
  }

  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#again);
    clearTimeout(this.#budget);
    this.#ring.close();
    for (const file of this.#files.values()) this.#closeImage(file);
  }

  async #take(request: wire.FkFileRequest): Promise<void> {
    const name = fileName(request.file);
    const known = this.#files.get(name);
    if (known?.state === 'opening' || known?.state === 'waiting') return;
    const file: KnownFile = {
      id: this.#nextId++,
      key: request.file,
      state: 'opening',
      image: undefined,
      tableKey: '',
      segments: [],
    };
    this.#files.set(name, file);
    if (this.#openFiles >= MAX_OPEN) return this.#putOff(file, RETRY_MS);
    this.#openFiles++;
    const opened = await this.#open(request);
    if ('fd' in opened && this.#isOpen) {
      file.image = opened;
      return this.#ask('identify-file', file);
    }
    this.#openFiles--;
    if ('fd' in opened) closeFd(opened.fd);
    else if (this.#isOpen) this.#notOpened(file, opened.reason);
  }

  /** A short process may be gone before it is known here what it maps. */
  async #open(request: wire.FkFileRequest): ReturnType<typeof openMappedFile> {
    const find = () =>
      this.#options.findMapping(request.incarnation, Number(request.address));
    const mapping = find();
    const opened = await openMappedFile(request, mapping);
    const isLate = mapping === undefined && 'reason' in opened && opened.reason === 'file-gone';
    if (!isLate) return opened;
    await sleep(LATE_MS);
    const late = find();
    return late === undefined ? opened : openMappedFile(request, late);
  }

  #notOpened(file: KnownFile, reason: NameReason): void {
    if (reason === 'anonymous') this.#none(file, FkFileState.FK_FILE_JIT);
    else if (reason === 'not-elf') this.#none(file, FkFileState.FK_FILE_NO_TABLE);
    else this.#putOff(file, reason === 'file-gone' ? 0 : RETRY_MS);
  }

  #identified(file: KnownFile, result: FileIdentified['result']): void {
    const { isMemory, identity } = file.image!;
    if ('reason' in result) {
      const { FK_FILE_JIT, FK_FILE_NO_TABLE } = FkFileState;
      return this.#none(file, isMemory ? FK_FILE_JIT : FK_FILE_NO_TABLE);
    }
    file.segments = result.segments;
    file.tableKey = tableKey({ ...identity, content: result.content });
    file.state = 'waiting';
    const state = this.#cache.want(file.tableKey, nowMs(), result.costBytes);
    if (state?.kind === 'ready') this.#ready(file, state.table.placed!);
    else if (state?.kind === 'failed') this.#none(file, FkFileState.FK_FILE_NO_TABLE);
    else if (state === undefined || state.kind === 'refused') this.#putOff(file, RETRY_MS);
  }

  #buildNext(): void {
    if (this.#isBuilding) return;
    if (this.#asked.size > 0 && nowMs() < this.#gatherUntilMs) return;
    const isBusy = this.#options.isBusy?.() === true;
    const key = isBusy ? undefined : this.#cache.next(nowMs());
    const [file] = key === undefined ? [] : this.#waitingFor(key);
    if (file !== undefined) {
      this.#isBuilding = true;
      return this.#ask('build-table', file);
    }
    if (key !== undefined) this.#cache.forget(key);
    const hasMore = [...this.#files.values()].some(({ state }) => state === 'waiting');
    if (!hasMore || this.#budget !== undefined) return;
    this.#budget = setTimeout(() => {
      this.#budget = undefined;
      this.#buildNext();
    }, BUDGET_MS).unref();
  }

  #built(key: string, { result, cpuMs }: TableBuilt): void {
    if ('reason' in result) {
      this.#cache.failed(key, result.reason, cpuMs);
      for (const file of this.#waitingFor(key)) this.#none(file, FkFileState.FK_FILE_NO_TABLE);
      return;
    }
    const placed = this.#load(key, result, cpuMs);
    for (const file of this.#waitingFor(key)) {
      if (placed === undefined) this.#putOff(file, RETRY_MS);
      else this.#ready(file, placed);
    }
  }

  /** Makes room for the table, and puts it there. */
  #load(key: string, table: UnwindTable, cpuMs: number): PlacedTable | undefined {
    const bytes = table.blocks.length;
    if (this.#cache.isShortOf(bytes)) this.#refreshUses();
    const cached: CachedTable = { key, placed: undefined };
    for (const freed of this.#cache.built(key, { table: cached, bytes, cpuMs, nowMs: nowMs() })) {
      if (freed === cached) return undefined;
      this.#evict(freed);
    }
    try {
      cached.placed = this.tables.add(table);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
    }
    if (cached.placed === undefined) this.#cache.forget(key);
    return cached.placed;
  }

  #evict({ key, placed }: CachedTable): void {
    for (const file of this.#files.values()) {
      if (file.state === 'ready' && file.tableKey === key) this.#forget(file);
    }
    if (placed !== undefined) this.tables.remove(placed);
  }

  /** Which tables are idle is only asked when there is no room. */
  #refreshUses(): void {
    const uses = [...this.#files.values()]
      .filter(({ state }) => state === 'ready')
      .map((file) => ({ key: file.tableKey, atMs: this.#lastUseMs(file) }));
    for (const { key, atMs } of uses.sort((a, b) => a.atMs - b.atMs)) this.#cache.used(key, atMs);
  }

  #lastUseMs({ key }: KnownFile): number {
    return Number(this.tables.lastUseNs(key) ?? 0n) / 1e6;
  }

  #waitingFor(key: string): KnownFile[] {
    return [...this.#files.values()].filter((f) => f.state === 'waiting' && f.tableKey === key);
  }

  #ready(file: KnownFile, table: PlacedTable): void {
    this.#closeImage(file);
    file.state = 'ready';
    if (!this.tables.setTable(file.key, table, file.segments)) this.#forget(file);
  }

  /** There will be no table. */
  #none(file: KnownFile, state: number): void {
    this.#closeImage(file);
    file.state = 'none';
    if (!this.tables.setState(file.key, state)) this.#forget(file);
  }

  /** There is none now: the kernel's entry stays as it is, until it is forgotten and asked for. */
  #putOff(file: KnownFile, afterMs: number): void {
    this.#closeImage(file);
    file.state = 'none';
    this.#retries.set(file, nowMs() + afterMs);
  }

  #forget(file: KnownFile): void {
    this.tables.forget(file.key);
    this.#retries.delete(file);
    this.#files.delete(fileName(file.key));
  }

  #ask(kind: FileQuestion['kind'], file: KnownFile): void {
    if (this.#asked.size === 0) this.#gatherUntilMs = nowMs() + GATHER_MS;
    this.#asked.set(file.id, file);
    const { fd, origin } = file.image!;
    this.#options.ask({ kind, id: file.id, fd, origin });
  }

  #closeImage(file: KnownFile): void {
    if (file.image === undefined) return;
    closeFd(file.image.fd);
    file.image = undefined;
    this.#openFiles--;
  }

  #losses(): { filesFull: number; requestsDropped: number } {
    const perCpu = this.#probe.map(this.#output.stats).lookup(new Uint8Array(4));
    const losses = { filesFull: 0, requestsDropped: 0 };
    if (perCpu === undefined) return losses;
    const view = new DataView(perCpu.buffer);
    for (let at = 0; at < view.byteLength; at += wire.FK_UNWIND_STATS_SIZE) {
      const stats = wire.decodeFkUnwindStats(view, at);
      losses.filesFull += Number(stats.files_full);
      losses.requestsDropped += Number(stats.request_drops);
    }
    return losses;
  }
}

function fileName({ device, inode, generation }: FileKey): string {
  return `${device}:${inode}:${generation}`;
}

/** CLOCK_MONOTONIC, as the kernel's times of use. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
