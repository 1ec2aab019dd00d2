// One try to load and attach a set of hooks. When the kernel refuses the set, each
// program is loaded alone with a verifier log, so that the culprits, and what was wrong
// with them, come out of the real thing.

import { CallError } from '../ffi/errno.js';
import {
  attachProgram,
  closeObject,
  destroyLink,
  loadObject,
  setLog,
  setVerifierLog,
  type LinkHandle,
  type LogLevel,
} from '../ffi/libbpf.js';
import type { Hook, ProbeDescriptor } from './descriptor.js';
import type { HookFailure } from './hook-plan.js';
import {
  openConfigured,
  type ConfiguredObject,
  type ObjectOptions,
  type ObjectParts,
} from './object.js';

const VERIFIER_LOG_BYTES = 1 << 22;
const KEPT_WARNINGS = 16;

export interface TrialOptions extends ObjectOptions {
  readonly descriptor: ProbeDescriptor;
  /** 0: nothing of libbpf's own log; 1: warnings, information and the
   *  verifier's log; 2: everything. */
  readonly verbosity: number;
  readonly log: (level: LogLevel, line: string) => void;
}

export interface AttachedObject {
  readonly object: ConfiguredObject;
  readonly links: readonly LinkHandle[];
  /** Those of the links that are iterators. */
  readonly iterators: readonly LinkHandle[];
}

export type TrialResult = AttachedObject | { readonly failures: readonly HookFailure[] };

/** Leaves nothing behind when it fails.
 *  **Errors**: throws CallError when the object cannot be loaded although
 *  each of its programs alone can. */
export function tryHooks(options: TrialOptions, hooks: readonly Hook[]): TrialResult {
  const warnings = listenToLibbpf(options);
  const object = openConfigured(options, partsOf(options.descriptor, hooks));
  try {
    loadObject(object.handle);
  } catch (error) {
    closeObject(object.handle);
    const failures = hooks.flatMap((hook) => loadAlone(options, hook) ?? []);
    if (failures.length > 0 || !(error instanceof CallError)) return { failures };
    throw new CallError(warnings.at(-1) ?? error.operation, error.errno);
  }
  const links: LinkHandle[] = [];
  const iterators: LinkHandle[] = [];
  const failures: HookFailure[] = [];
  for (const { program, attach } of hooks) {
    const handle = object.programs.get(program);
    if (attach === 'perf_event' || handle === undefined) continue;
    try {
      const link = attachProgram(handle);
      links.push(link);
      if (attach === 'iter') iterators.push(link);
    } catch (error) {
      failures.push({
        program,
        errno: errnoOf(error),
        reason: warnings.at(-1) ?? 'cannot be attached',
      });
    }
  }
  if (failures.length === 0) return { object, links, iterators };
  for (const link of links) destroyLink(link);
  closeObject(object.handle);
  return { failures };
}

/** What of the object these of its hooks need. */
export function partsOf({ hooks }: ProbeDescriptor, chosen: readonly Hook[]): ObjectParts {
  const needed = chosen.flatMap(({ maps = [] }) => maps);
  const known = new Set(hooks.flatMap(({ maps = [] }) => maps));
  return {
    programs: chosen.map(({ program }) => program),
    unneededMaps: [...known].filter((map) => !needed.includes(map)),
  };
}

/** Undefined when it loads. */
function loadAlone(options: TrialOptions, hook: Hook): HookFailure | undefined {
  const { program } = hook;
  const warnings = listenToLibbpf(options);
  const text = Buffer.alloc(VERIFIER_LOG_BYTES);
  const object = openConfigured(options, partsOf(options.descriptor, [hook]));
  try {
    const handle = object.programs.get(program);
    if (handle !== undefined) setVerifierLog(handle, text);
    loadObject(object.handle);
    return undefined;
  } catch (error) {
    const end = text.indexOf(0);
    const lines = text.toString('utf8', 0, end < 0 ? text.length : end).split('\n');
    if (options.verbosity > 0) {
      for (const line of lines) if (line !== '') options.log('debug', line);
    }
    const reason =
      lastVerifierLine(lines) ?? firstWarningOf(program, warnings) ?? 'cannot be loaded';
    return { program, errno: errnoOf(error), reason };
  } finally {
    closeObject(object.handle);
  }
}

/** The line of a verifier log that says what was wrong: the last that is no statistics. */
export function lastVerifierLine(lines: readonly string[]): string | undefined {
  const statistics = /^(\s*$|processed |verification time |stack depth )/;
  return lines.findLast((line) => !statistics.test(line))?.trim();
}

/** The first warning of a chain names the cause; those after it, what could not go on. */
function firstWarningOf(program: string, warnings: readonly string[]): string | undefined {
  return warnings.find((line) => line.includes(`'${program}'`)) ?? warnings[0];
}

/** Collects libbpf's latest warnings, and passes its log on as far as the verbosity goes. */
function listenToLibbpf({ verbosity, log }: TrialOptions): readonly string[] {
  const warnings: string[] = [];
  setLog(verbosity >= 2 ? 'debug' : verbosity === 1 ? 'info' : 'warn', (level, line) => {
    if (level === 'warn' && warnings.push(line) > KEPT_WARNINGS) warnings.shift();
    if (verbosity > 0) log(level, line);
  });
  return warnings;
}

function errnoOf(error: unknown): string {
  if (error instanceof CallError) return error.errno;
  throw error;
}
