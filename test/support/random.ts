// Random tests that can be run again: the seed is printed before, FC_SEED sets it.

import fc from 'fast-check';

/** Call once at the top of a file that has random tests. */
export function seedRandomTests(file: string): void {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
  fc.configureGlobal({ seed, endOnFailure: true });
  console.log(`${file}: FC_SEED=${seed}`);
}
