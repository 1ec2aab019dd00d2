// A probe's self-checks: at each flip the kernel's own files are read, and what they grew by is
// compared with what the probe counted, as the descriptor says. Both sides go into the header of
// the probe's first stream. (front)
//
//   flip 0 ──── rows 0 ──── flip 1 ──── flip 2
//               wanted      before      after      compared with rows 2

import { readdirSync, readFileSync } from 'node:fs';
import type { CheckedInterval, FileTexts, SelfCheck } from '../../bpf/descriptor.js';
import type { Counters } from '../../storage/model/completeness.js';

/** Files that one check reads at a flip. */
const MAX_FILES = 256;

interface RunningCheck {
  readonly check: SelfCheck;
  /** What the interval began with; undefined: nothing was wanted. */
  before: { readonly patterns: readonly string[]; readonly texts: FileTexts } | undefined;
  wanted: readonly string[];
  texts: FileTexts;
}

export class SelfChecks {
  readonly #running: readonly RunningCheck[];
  #turn = 0;

  constructor(checks: readonly SelfCheck[]) {
    this.#running = checks.map((check) => {
      return { check, before: undefined, wanted: [], texts: new Map() };
    });
  }

  /** As close to the flip as can be: what happens between the two is a difference. */
  read(): void {
    for (const running of this.#running) {
      const { before, wanted } = running;
      running.texts = readAll(new Set([...(before?.patterns ?? []), ...wanted].flatMap(expand)));
    }
  }

  /** check.NAME.kernel and check.NAME.ours of the interval that ended with the last `read`. */
  compare(interval: CheckedInterval): Counters {
    const counters: Record<string, number> = {};
    for (const running of this.#running) {
      const { check, before, wanted, texts } = running;
      const result = before && check.compare(before.texts, texts, interval);
      if (result !== undefined) {
        counters[`check.${check.name}.kernel`] = Math.round(result.kernel);
        counters[`check.${check.name}.ours`] = Math.round(result.ours);
        Object.assign(counters, result.more);
      }
      running.before = wanted.length === 0 ? undefined : { patterns: wanted, texts };
      running.wanted = check.files(interval, this.#turn);
    }
    this.#turn++;
    return counters;
  }
}

/** Files that cannot be read are left out. */
function readAll(paths: ReadonlySet<string>): FileTexts {
  const texts = new Map<string, string>();
  for (const path of paths) {
    if (texts.size >= MAX_FILES) break;
    try {
      texts.set(path, readFileSync(path, 'latin1'));
    } catch {
      // It is gone, or may not be read: it takes no part.
    }
  }
  return texts;
}

/** The files that a path with one `*` stands for. */
function expand(pattern: string): string[] {
  const [before, after] = pattern.split('*');
  if (after === undefined) return [pattern];
  try {
    return readdirSync(before!).map((name) => `${before}${name}${after}`);
  } catch {
    return [];
  }
}
