// Which exec id the images of a family of processes have. The kernel counts execs in
// task->self_exec_id and hands the count down at fork, but tells it only in sample keys and exec
// records. So images carry an offset relative to the first process that is known of the family, and
// each key narrows down what offset 0 is:
//
//   bash (read from /proc)   offset 0 ──fork──▶ child, offset 0 ──exec──▶ offset 1
//   a key of bash with exec id 7: offset 0 is 7, so the child's second image has exec id 8

/** **Limits**: exec ids are taken as plain numbers; a family's count
 *  is not expected to pass 2^32. */
export class ExecLineage {
  /** Keys from before say nothing. */
  readonly sinceNs: number;
  #low = -Infinity;
  #high = Infinity;

  constructor(sinceNs = -Infinity) {
    this.sinceNs = sinceNs;
  }

  /** A process with images of offsets [lowOffset, highOffset] showed this exec id. Gives the offset
   *  that it belongs to, the latest one where several are possible. A result above highOffset means
   *  an exec that was not seen, one below lowOffset an image that is no longer kept. */
  offsetOf(execId: number, lowOffset: number, highOffset: number): number {
    const low = Math.max(this.#low, execId - highOffset);
    const high = Math.min(this.#high, execId - lowOffset);
    const offset = this.peek(execId, lowOffset, highOffset);
    if (low <= high) {
      this.#low = low;
      this.#high = high;
    }
    return offset;
  }

  /** The same by what is known so far, and nothing is taken to be known by it: for a process of which
   *  an exec may have happened that has not been told of yet. */
  peek(execId: number, lowOffset: number, highOffset: number): number {
    const low = Math.max(this.#low, execId - highOffset);
    const high = Math.min(this.#high, execId - lowOffset);
    if (low <= high) return execId - low;
    return execId - (this.#high < low ? this.#high : this.#low);
  }
}
