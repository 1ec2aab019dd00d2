// tid -> thread of one program image. Most images have a single thread: it stands here itself,
// since a Map for each image would be a fifth of what a storm of short processes keeps in memory.

/** A thread's name, and until when it bore it. */
export interface Thread {
  comm: string;
  /** When the name was learned. */
  namedNs: number;
  /** Infinity while it runs. */
  endedNs: number;
}

/** It has ended, then or later. False for one that runs, and for one whose id is in use again. */
export function isEndedSince(thread: Thread | undefined, ns: number): boolean {
  return thread !== undefined && thread.endedNs !== Infinity && thread.endedNs >= ns;
}

export class ThreadMap {
  #firstTid = 0;
  #first: Thread | undefined;
  #others: Map<number, Thread> | undefined;

  get size(): number {
    return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0);
  }

  get(tid: number): Thread | undefined {
    return tid === this.#firstTid ? this.#first : this.#others?.get(tid);
  }

  has(tid: number): boolean {
    return this.get(tid) !== undefined;
  }

  set(tid: number, thread: Thread): void {
    const isFirst =
      tid === this.#firstTid || (this.#first === undefined && this.#others?.has(tid) !== true);
    if (isFirst) {
      this.#firstTid = tid;
      this.#first = thread;
    } else {
      (this.#others ??= new Map()).set(tid, thread);
    }
  }

  /** False: it was not there. */
  delete(tid: number): boolean {
    if (tid !== this.#firstTid) return this.#others?.delete(tid) ?? false;
    const isThere = this.#first !== undefined;
    this.#firstTid = 0;
    this.#first = undefined;
    return isThere;
  }

  clear(): void {
    this.delete(this.#firstTid);
    this.#others = undefined;
  }

  forEach(visit: (thread: Thread, tid: number) => void): void {
    if (this.#first !== undefined) visit(this.#first, this.#firstTid);
    this.#others?.forEach(visit);
  }
}
