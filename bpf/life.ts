// The life of a probe begins here: open, configure, load, attach. A hook that this kernel refuses,
// found out by loading and attaching the real thing, is left out for the next of its group.

import { CallError, LibraryError } from '../ffi/errno.js';
import { raiseMemlock } from '../ffi/libc.js';
import { OperatingError } from '../storage/model/errors.js';
import { HookPlan } from './hook-plan.js';
import { refuseFreezingKernel } from './kernel-gate.js';
import { LoadedProbe, probeError } from './loaded-probe.js';
import { tryHooks, type TrialOptions } from './trial.js';

export type LoadOptions = TrialOptions;

/** Loads and attaches a probe; its gate is still shut.
 *  **Errors**: `kernel-freezes`; `library-missing`; `no-privilege`, `kernel-unsupported` or
 *  `bpf-failed` when a required hook has nothing left, with the verifier's last line. What could be
 *  left out is told in `notes`. */
export function loadProbe(options: LoadOptions): LoadedProbe {
  refuseFreezingKernel();
  const { name, hooks } = options.descriptor;
  const plan = new HookPlan(hooks);
  const memlockNotes = raiseMemlockNotes();
  try {
    for (;;) {
      const result = tryHooks(options, plan.chosen());
      if ('object' in result) {
        return new LoadedProbe(name, result, [...memlockNotes, ...plan.notes()]);
      }
      for (const failure of result.failures) plan.fail(failure);
      const [fatal] = plan.fatal();
      if (fatal !== undefined) throw probeError(name, fatal);
    }
  } catch (error) {
    if (error instanceof LibraryError) throw new OperatingError('library-missing', error.message);
    if (!(error instanceof CallError)) throw error;
    throw probeError(name, { program: 'object', errno: error.errno, reason: error.operation });
  }
}

function raiseMemlockNotes(): string[] {
  const memlock = raiseMemlock();
  if (!('errno' in memlock)) return [];
  return [`RLIMIT_MEMLOCK stays (${memlock.errno}), which matters before kernel 5.11 only`];
}
