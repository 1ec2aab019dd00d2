// Which unwind tables there are, which one to build next and which to give up: bookkeeping only,
// with no file, map or clock of its own. Files that are hit by samples are built hottest first, as
// far as the CPU budget goes; where bytes run out, the table that was hit longest ago goes, but
// none that is still in use: then the new one has to wait.
//
//   want ─▶ waiting ─ next ─▶ building ┬ built ──▶ ready ─ evicted ─▶ forgotten: wanted anew by a sample
//             ▲                        ├ built, no room ─▶ refused ─┐
//             └────────────────────────┼────────────── retryMs ─────┘
//                                      └ failed ─▶ failed, for good: the key stands for the file's content

export interface TableCacheLimits {
  /** Of all tables together. */
  readonly maxBytes: number;
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
  maxFiles: 16_384,
  cpuShare: 0.05,
  burstMs: 500,
  minIdleMs: 30_000,
  retryMs: 60_000,
};

/** What the kernel says of a file. */
export interface FileIdentity {
  /** '' for none. */
  readonly buildId: string;
  readonly device: number;
  readonly inode: number;
  readonly mtimeNs: bigint;
  readonly sizeBytes: number;
}

/** The build id, which stands for the content wherever it lies; else what
 *  changes when the file does. */
export function tableKey({ buildId, device, inode, mtimeNs, sizeBytes }: FileIdentity): string {
  return buildId !== '' ? buildId : `${device}:${inode}:${mtimeNs}:${sizeBytes}`;
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
  refusedMs: number;
}

export interface TableCacheFigures {
  readonly tables: number;
  readonly bytes: number;
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
      tables: states.filter((kind) => kind === 'ready').length,
      waiting: states.filter((kind) => kind === 'waiting').length,
    };
  }

  /** Samples hit this file: what there is of its table; undefined when
   *  no more files can be tracked. */
  want(key: string, nowMs: number, hits = 1): TableState<Table, Reason> | undefined {
    const entry = this.#entries.get(key) ?? this.#newEntry();
    if (entry === undefined) return undefined;
    if (entry.state.kind === 'refused' && nowMs - entry.refusedMs >= this.#limits.retryMs) {
      entry.state = { kind: 'waiting' };
      entry.hits = 0;
    }
    entry.hits += hits;
    entry.lastUseMs = Math.max(entry.lastUseMs, nowMs);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.state;
  }

  /** The file to build now, the hottest; undefined when none waits or the CPU budget is
   *  used up. It is then `building`. */
  next(nowMs: number): string | undefined {
    const { cpuShare, burstMs } = this.#limits;
    this.#creditMs = Math.min(
      burstMs,
      this.#creditMs + Math.max(0, nowMs - this.#creditedMs) * cpuShare,
    );
    this.#creditedMs = Math.max(this.#creditedMs, nowMs);
    if (this.#creditMs <= 0) return undefined;
    let best: [string, Entry<Table, Reason>] | undefined;
    for (const candidate of this.#entries) {
      const [, { state, hits }] = candidate;
      if (state.kind === 'waiting' && (best === undefined || hits > best[1].hits)) best = candidate;
    }
    if (best === undefined) return undefined;
    best[1].state = { kind: 'building' };
    return best[0];
  }

  /** A table is there. Gives the tables to free: others that were hit longest ago, or
   *  this one when there is no room. */
  built(key: string, { table, bytes, cpuMs, nowMs }: BuiltTable<Table>): Table[] {
    const entry = this.#finish(key, cpuMs);
    const victims = this.#victims(this.#bytes + bytes - this.#limits.maxBytes, nowMs);
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

  /** Idle tables, oldest first, that together hold so many bytes;
   *  undefined when there are not enough. */
  #victims(neededBytes: number, nowMs: number): string[] | undefined {
    const victims: string[] = [];
    let left = neededBytes;
    for (const [key, { state, lastUseMs }] of this.#entries) {
      if (left <= 0) break;
      if (state.kind !== 'ready' || nowMs - lastUseMs < this.#limits.minIdleMs) continue;
      victims.push(key);
      left -= state.bytes;
    }
    return left <= 0 ? victims : undefined;
  }

  #remove(key: string): Table | undefined {
    const state = this.#entries.get(key)?.state;
    this.#entries.delete(key);
    if (state?.kind !== 'ready') return undefined;
    this.#bytes -= state.bytes;
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
    return { state: { kind: 'waiting' }, lastUseMs: -Infinity, hits: 0, refusedMs: -Infinity };
  }
}
