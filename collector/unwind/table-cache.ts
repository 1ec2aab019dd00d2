// Which unwind tables there are, which one to build next and which to give up: bookkeeping only,
// with no file, map or clock of its own. Files that stacks meet are built as far as the CPU budget
// goes, those first that were asked for more often, longer ago, and are smaller; where bytes run out,
// the table that was hit longest ago goes, but none that is still in use: then the new one has to wait.
//
//   want ─▶ waiting ─ next ─▶ building ┬ built ──▶ ready ─ evicted ─▶ forgotten: wanted anew by a sample
//             ▲                        ├ built, no room ─▶ refused ─┐
//             └────────────────────────┼────────────── retryMs ─────┘
//                                      └ failed ─▶ failed, for good: the key stands for the file's content

export interface TableCacheLimits {
  /** Of all tables together. */
  readonly maxBytes: number;
  readonly maxTables: number;
  /** Files that are known of, with a table or without. */
  readonly maxFiles: number;
  /** CPU time for building over wall time, and how much of it may be saved up. */
  readonly cpuShare: number;
  readonly burstMs: number;
  /** A table hit within this time is in use. */
  readonly minIdleMs: number;
  /** After this time a refused one may be tried again. */
  readonly retryMs: number;
}

export const defaultTableLimits: TableCacheLimits = {
  maxBytes: 64 << 20,
  maxTables: 4096,
  maxFiles: 16_384,
  cpuShare: 0.05,
  burstMs: 5_000,
  minIdleMs: 30_000,
  retryMs: 60_000,
};

/** What the smallest file costs, in the same terms. */
const fixedCostBytes = 16_384;

export interface FileIdentity {
  /** Hash of all that its table is made from; '' when that is not known. */
  readonly content: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly mtimeNs: bigint;
  readonly sizeBytes: bigint;
}

/** The content, wherever it lies; else what changes when the file does. Not the build id: a file may
 *  say that it has another one's. */
export function tableKey({ content, device, inode, mtimeNs, sizeBytes }: FileIdentity): string {
  return content !== '' ? content : `${device}:${inode}:${mtimeNs}:${sizeBytes}`;
}

export type TableState<Table, Reason> =
  | { readonly kind: 'waiting' | 'building' | 'refused' }
  | { readonly kind: 'ready'; readonly table: Table; readonly bytes: number }
  | { readonly kind: 'failed'; readonly reason: Reason };

export interface BuiltTable<Table> {
  readonly table: Table;
  /** Of its blocks. */
  readonly bytes: number;
  /** What building it has cost. */
  readonly cpuMs: number;
  readonly nowMs: number;
}

interface Entry<Table, Reason> {
  state: TableState<Table, Reason>;
  lastUseMs: number;
  /** Since it waits. */
  hits: number;
  sinceMs: number;
  costBytes: number;
  refusedMs: number;
}

export interface TableCacheFigures {
  readonly tables: number;
  readonly bytes: number;
  readonly limitBytes: number;
  readonly waiting: number;
  readonly built: number;
  readonly failed: number;
  readonly refused: number;
  readonly evicted: number;
  /** Files that found no place among `maxFiles`. */
  readonly untracked: number;
  readonly cpuMs: number;
}

/** `Table` is what the owner needs to free a table, `Reason` why there can be none. Times
 *  are ms of one monotonic clock. */
export class TableCache<Table, Reason> {
  readonly #limits: TableCacheLimits;
  /** In order of their last use: a used one is put at the end. */
  readonly #entries = new Map<string, Entry<Table, Reason>>();
  readonly #counters = { built: 0, failed: 0, refused: 0, evicted: 0, untracked: 0, cpuMs: 0 };
  #bytes = 0;
  #tables = 0;
  #creditMs: number;
  #creditedMs: number;

  constructor(limits: TableCacheLimits, nowMs: number) {
    this.#limits = limits;
    this.#creditMs = limits.burstMs;
    this.#creditedMs = nowMs;
  }

  get figures(): TableCacheFigures {
    const states = [...this.#entries.values()].map(({ state }) => state.kind);
    return {
      ...this.#counters,
      bytes: this.#bytes,
      limitBytes: this.#limits.maxBytes,
      tables: this.#tables,
      waiting: states.filter((kind) => kind === 'waiting').length,
    };
  }

  /** A sample hit this file: what there is of its table; undefined when
   *  no more files can be tracked. `costBytes` is what will have to be read. */
  want(key: string, nowMs: number, costBytes = 0): TableState<Table, Reason> | undefined {
    const entry = this.#entries.get(key) ?? this.#newEntry();
    if (entry === undefined) return undefined;
    if (entry.state.kind === 'refused' && nowMs - entry.refusedMs >= this.#limits.retryMs) {
      entry.state = { kind: 'waiting' };
      entry.hits = 0;
    }
    if (entry.hits === 0) entry.sinceMs = nowMs;
    entry.hits++;
    entry.costBytes = costBytes;
    entry.lastUseMs = Math.max(entry.lastUseMs, nowMs);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.state;
  }

  /** Stacks went through this file at that time. Those used longest ago are to be told first. */
  used(key: string, atMs: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.lastUseMs > atMs) return;
    entry.lastUseMs = atMs;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }

  /** Nothing is kept of this file any more, nor of its table, which is the caller's to free. */
  forget(key: string): void {
    this.#remove(key);
  }

  /** What `built` needs to make room: it then looks for tables to give up. */
  isShortOf(bytes: number): boolean {
    const { maxBytes, maxTables } = this.#limits;
    return this.#bytes + bytes > maxBytes || this.#tables >= maxTables;
  }

  /** The file to build now; undefined when none waits or the CPU budget is
   *  used up. It is then `building`. */
  next(nowMs: number): string | undefined {
    const { cpuShare, burstMs } = this.#limits;
    this.#creditMs = Math.min(
      burstMs,
      this.#creditMs + Math.max(0, nowMs - this.#creditedMs) * cpuShare,
    );
    this.#creditedMs = Math.max(this.#creditedMs, nowMs);
    if (this.#creditMs <= 0) return undefined;
    let best: Entry<Table, Reason> | undefined;
    let bestKey: string | undefined;
    for (const [key, entry] of this.#entries) {
      if (entry.state.kind !== 'waiting') continue;
      if (best !== undefined && urgency(entry, nowMs) <= urgency(best, nowMs)) continue;
      best = entry;
      bestKey = key;
    }
    if (best !== undefined) best.state = { kind: 'building' };
    return bestKey;
  }

  /** A table is there. Gives the tables to free: others that were hit longest ago, or
   *  this one when there is no room. */
  built(key: string, { table, bytes, cpuMs, nowMs }: BuiltTable<Table>): Table[] {
    const entry = this.#finish(key, cpuMs);
    const victims = this.#victims(bytes, nowMs);
    if (victims === undefined) {
      this.#counters.refused++;
      entry.state = { kind: 'refused' };
      entry.refusedMs = nowMs;
      return [table];
    }
    const freed = victims.map((victim) => this.#remove(victim)!);
    this.#counters.built++;
    this.#counters.evicted += freed.length;
    this.#bytes += bytes;
    this.#tables++;
    entry.state = { kind: 'ready', table, bytes };
    return freed;
  }

  /** There can be no table for this file. */
  failed(key: string, reason: Reason, cpuMs: number): void {
    this.#finish(key, cpuMs).state = { kind: 'failed', reason };
    this.#counters.failed++;
  }

  #finish(key: string, cpuMs: number): Entry<Table, Reason> {
    const entry = this.#entries.get(key);
    if (entry?.state.kind !== 'building') throw new Error(`table ${key} was not being built`);
    this.#creditMs -= cpuMs;
    this.#counters.cpuMs += cpuMs;
    return entry;
  }

  /** Idle tables, oldest first, that make room for one of so many bytes;
   *  undefined when there are not enough. */
  #victims(bytes: number, nowMs: number): string[] | undefined {
    const { maxBytes, maxTables, minIdleMs } = this.#limits;
    const victims: string[] = [];
    let bytesOver = this.#bytes + bytes - maxBytes;
    const isOver = () => bytesOver > 0 || this.#tables - victims.length >= maxTables;
    for (const [key, { state, lastUseMs }] of this.#entries) {
      if (!isOver()) break;
      if (state.kind !== 'ready' || nowMs - lastUseMs < minIdleMs) continue;
      victims.push(key);
      bytesOver -= state.bytes;
    }
    return isOver() ? undefined : victims;
  }

  #remove(key: string): Table | undefined {
    const state = this.#entries.get(key)?.state;
    this.#entries.delete(key);
    if (state?.kind !== 'ready') return undefined;
    this.#bytes -= state.bytes;
    this.#tables--;
    return state.table;
  }

  /** Where all places are taken, the file without a table that was
   *  used longest ago is forgotten. */
  #newEntry(): Entry<Table, Reason> | undefined {
    if (this.#entries.size >= this.#limits.maxFiles) {
      const oldest = [...this.#entries].find(
        ([, { state }]) => !['ready', 'building'].includes(state.kind),
      );
      if (oldest === undefined) {
        this.#counters.untracked++;
        return undefined;
      }
      this.#entries.delete(oldest[0]);
    }
    return {
      state: { kind: 'waiting' },
      lastUseMs: -Infinity,
      hits: 0,
      sinceMs: 0,
      costBytes: 0,
      refusedMs: -Infinity,
    };
  }
}

/** Hits for the work, more the longer it has waited. */
function urgency<Table, Reason>(entry: Entry<Table, Reason>, nowMs: number): number {
  const waitedS = (nowMs - entry.sinceMs) / 1000;
  return (entry.hits * (1 + waitedS)) / (fixedCostBytes + entry.costBytes);
}
