// Executable mappings of a program image, by time. Fork shares one AddressSpace between parent and
// child until either maps something (copy on write, as the kernel does with memory), so a server
// with 1,000 children costs one array. The kernel does not report munmap: a mapping is there until
// another one covers its addresses.

import type { ModuleRef } from './modules.js';

/** [start, limit) of a process. **Units**: addresses and file offset in bytes, times
 *  in ns of the process table. */
export interface Mapping {
  readonly start: number;
  readonly limit: number;
  /** Of `start` in the module's file. */
  readonly fileOffset: number;
  readonly module: ModuleRef;
  readonly addedNs: number;
  /** Infinity while it is there. */
  readonly removedNs: number;
}

/** Entries of all address spaces together. `dropped` counts mappings that found no room. */
export interface MappingBudget {
  used: number;
  dropped: number;
  readonly limit: number;
  readonly limitPerSpace: number;
}

const MAX_REMOVED = 1024;

export class AddressSpace {
  /** Path of the program, as the process saw it; '' when not known
   *  (yet), and for kernel threads. */
  executable = '';
  /** Everything since the image began is in here, or as much as may be read;
   *  else /proc has to be asked. */
  isComplete: boolean;
  /** Incarnations that share it. */
  owners = 1;
  readonly #budget: MappingBudget;
  /** Sorted, without overlaps. */
  #live: Mapping[] = [];
  /** Replaced by others, oldest first; kept for samples from before. */
  #removed: Mapping[] = [];

  constructor(budget: MappingBudget, isComplete: boolean) {
    this.#budget = budget;
    this.isComplete = isComplete;
  }

  get live(): readonly Mapping[] {
    return this.#live;
  }

  get removed(): readonly Mapping[] {
    return this.#removed;
  }

  /** The mapping there now, else the one most recently there. */
  find(address: number): Mapping | undefined {
    const live = this.#live[firstEndingAfter(this.#live, address)];
    if (live !== undefined && live.start <= address) return live;
    return this.#removed.findLast((m) => m.start <= address && address < m.limit);
  }

  /** Adds a mapping; what it covers is removed. False: nothing changed (it was known
   *  already, or there was no room). */
  insert(mapping: Mapping): boolean {
    const first = firstEndingAfter(this.#live, mapping.start);
    let end = first;
    while (end < this.#live.length && this.#live[end]!.start < mapping.limit) end++;
    const covered = this.#live.slice(first, end);
    const head = covered[0];
    const tail = covered.at(-1);
    if (head !== undefined && isSameCode(head, mapping) && contains(head, mapping)) return false;
    const pieces = [mapping];
    const hasHead = head !== undefined && head.start < mapping.start;
    if (hasHead) pieces.unshift(clip(head, head.start, mapping.start));
    const hasTail = tail !== undefined && tail.limit > mapping.limit;
    if (hasTail) pieces.push(clip(tail, mapping.limit, tail.limit));
    if (pieces.length > covered.length && !this.#hasRoom()) {
      this.#budget.dropped++;
      return false;
    }
    this.#live.splice(first, covered.length, ...pieces);
    this.#budget.used += pieces.length - covered.length;
    for (const old of covered) {
      if (!isSameCode(old, mapping)) this.#remove(intersect(old, mapping), mapping.addedNs);
    }
    return true;
  }

  /** The mappings there now are these. */
  equals(mappings: readonly Mapping[]): boolean {
    if (mappings.length !== this.#live.length) return false;
    return mappings.every(
      (m, i) => spanKey(m) === spanKey(this.#live[i]!) && isSamePath(m, this.#live[i]!),
    );
  }

  /** Forgets what was mapped before: it may be another program's. */
  clear(beforeNs: number): void {
    this.#budget.used -= this.#live.length + this.#removed.length;
    this.#live = this.#live.filter((m) => m.addedNs >= beforeNs);
    this.#removed = [];
    this.#budget.used += this.#live.length;
  }

  /** Takes over the state read from /proc at `readNs`; what was mapped
   *  since then stays on top of it. */
  rebase(mappings: readonly Mapping[], readNs: number): void {
    const before = this.#live;
    this.#budget.used -= before.length;
    this.#live = [];
    const known = new Map(before.map((m) => [spanKey(m), m]));
    for (const mapping of mappings) {
      const same = known.get(spanKey(mapping));
      this.insert(same !== undefined && isSamePath(same, mapping) ? same : mapping);
    }
    for (const old of before) if (old.addedNs >= readNs) this.insert(old);
    const kept = new Set(this.#live);
    for (const old of before) if (!kept.has(old) && old.addedNs < readNs) this.#remove(old, readNs);
    this.isComplete = true;
  }

  /** An independent copy, for one owner of a shared space that is about to change it. */
  clone(): AddressSpace {
    const copy = new AddressSpace(this.#budget, this.isComplete);
    copy.executable = this.executable;
    copy.#live = this.#live.slice();
    copy.#removed = this.#removed.slice();
    this.#budget.used += copy.#live.length + copy.#removed.length;
    return copy;
  }

  /** Forgets what was removed before. */
  trim(beforeNs: number): void {
    const kept = this.#removed.filter((m) => m.removedNs >= beforeNs);
    this.#budget.used -= this.#removed.length - kept.length;
    this.#removed = kept;
  }

  /** One owner less; the last one gives the entries back to the budget. */
  release(): void {
    this.owners--;
    if (this.owners === 0) this.#budget.used -= this.#live.length + this.#removed.length;
  }

  #hasRoom(): boolean {
    return this.#budget.used < this.#budget.limit && this.#live.length < this.#budget.limitPerSpace;
  }

  #remove(mapping: Mapping, removedNs: number): void {
    if (this.#removed.length >= MAX_REMOVED) {
      this.#removed.shift();
      this.#budget.used--;
    }
    this.#removed.push({ ...mapping, removedNs });
    this.#budget.used++;
  }
}

/** Index of the first mapping whose limit lies above the address. */
function firstEndingAfter(mappings: readonly Mapping[], address: number): number {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (mappings[middle]!.limit > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Both give an address the same place in the same file. */
function isSameCode(a: Mapping, b: Mapping): boolean {
  if (a.module !== b.module) return false;
  return a.module.kind === 'anonymous' || a.start - a.fileOffset === b.start - b.fileOffset;
}

function contains(outer: Mapping, inner: Mapping): boolean {
  return outer.start <= inner.start && inner.limit <= outer.limit;
}

function isSamePath(a: Mapping, b: Mapping): boolean {
  return a.module.module.path === b.module.module.path && a.module.isDeleted === b.module.isDeleted;
}

function clip(mapping: Mapping, start: number, limit: number): Mapping {
  return { ...mapping, start, limit, fileOffset: mapping.fileOffset + (start - mapping.start) };
}

function intersect(mapping: Mapping, other: Mapping): Mapping {
  return clip(mapping, Math.max(mapping.start, other.start), Math.min(mapping.limit, other.limit));
}

function spanKey(m: Mapping): string {
  return `${m.start} ${m.limit} ${m.fileOffset}`;
}
