// Node decides on heap sizes and thread pools before any of our code runs, and glibc on its arenas:
// the daemon starts itself again, in the same process, with the settings that keep it small and
// cheap. Both heaps are a few MB, so that V8's collection at each pause (every flush looks like
// one) and its helpers cost more than they save. Most of our code runs six times a minute: to
// optimize what is called so seldom took a third of an idle daemon's CPU time for its first hours,
// so a function must have run eight times as long as V8 would wait for.

import { execve } from '../../ffi/libc.js';

/** V8's and node's, and the environment's; for benches of the daemon's parts, too. */
export const settingsFlags = [
  '--max-semi-space-size=4',
  '--heap-growing-percent=150',
  '--interrupt-budget=540672',
  '--v8-pool-size=1',
  '--max-old-space-size=96',
  '--no-memory-reducer',
  '--single-threaded-gc',
  '--no-flush-bytecode',
];
export const settingsEnvironment = { MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '2' };

/** Returns only when the settings are in force already, or cannot be had (`problem` says why). */
export function relaunchWithSettings(): { readonly problem?: string } {
  const hasFlags = settingsFlags.every((flag) =>
    process.execArgv.some((arg) => arg.split('=')[0] === flag.split('=')[0]),
  );
  const hasEnvironment = Object.keys(settingsEnvironment).every((name) => process.env[name] !== undefined);
  if (hasFlags && hasEnvironment) return {};
  if (process.env['FLAMEKEEPER_RELAUNCHED'] !== undefined) {
    return { problem: 'node did not take its memory settings' };
  }
  const missing = settingsFlags.filter(
    (flag) => !process.execArgv.some((arg) => arg.split('=')[0] === flag.split('=')[0]),
  );
  const args = [process.execPath, ...process.execArgv, ...missing, ...process.argv.slice(1)];
  const errno = execve(process.execPath, args, {
    ...settingsEnvironment,
    ...process.env,
    FLAMEKEEPER_RELAUNCHED: '1',
  });
  return { problem: `execve of ${process.execPath} failed: ${String(errno)}` };
}
