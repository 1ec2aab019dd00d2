// Which hooks of a probe to try next. Of a group the first that works is used; a hook that fails
// is left out and noted; a probe whose required hook has nothing left cannot be. Pure: who
// tries, and how, stands in life.ts.

import type { Hook } from './descriptor.js';

export interface HookFailure {
  readonly program: string;
  /** errno by name. */
  readonly errno: string;
  /** One line: the verifier's last, or libbpf's. */
  readonly reason: string;
}

export class HookPlan {
  readonly #hooks: readonly Hook[];
  readonly #failures = new Map<string, HookFailure>();

  constructor(hooks: readonly Hook[]) {
    this.#hooks = hooks;
  }

  /** In the descriptor's order: hooks without a group, and the first of each
   *  group, that have not failed. */
  chosen(): Hook[] {
    const groups = new Set<string>();
    return this.#hooks.filter(({ program, group }) => {
      if (this.#failures.has(program)) return false;
      if (group === undefined) return true;
      if (groups.has(group)) return false;
      groups.add(group);
      return true;
    });
  }

  /** Takes a hook out of the plan. */
  fail(failure: HookFailure): void {
    this.#failures.set(failure.program, failure);
  }

  /** The failures that leave a required hook, or its whole group, with nothing to use;
   *  empty while the probe can be. */
  fatal(): HookFailure[] {
    const groups = new Set(this.chosen().map(({ group }) => group));
    return this.#hooks.flatMap(({ program, group, isRequired }) => {
      const failure = this.#failures.get(program);
      const isReplaced = group !== undefined && groups.has(group);
      return failure !== undefined && isRequired && !isReplaced ? [failure] : [];
    });
  }

  /** One line for each hook that was given up. */
  notes(): string[] {
    const failures = [...this.#failures.values()];
    return failures.map(({ program, errno, reason }) => `${program}: ${errno}, ${reason}`);
  }
}
