// What the building of unwind tables has to know of a CPU architecture. A rule is 32
// bits that only the architecture's own code, here and in the kernel, understands; 0
// always means that nothing is known.

import type { CfiState } from '../../elf/cfi.js';

export interface UnwindArch {
  /** EM_* of its files. */
  readonly machine: number;
  /** DWARF numbers of the registers to follow, the return address last: the order in `CfiState`. */
  readonly registers: readonly number[];
  /** There is information, but it is broken or does not fit. */
  readonly bad: number;
  readonly outermost: number;
  readonly signalFrame: number;
  readonly framePointer: number;
  /** Code that has pushed nothing since it was called. */
  readonly called: number;
  /** An entry of a lazy `.plt`. */
  readonly lazyPlt: number;
  /** `section` holds the expressions. */
  ruleOf(state: CfiState, section: Uint8Array): number;
  /** Of a Go function that has put so many bytes below its return address. */
  goRule(stackBytes: number): number;
}
