// Waiting for what has to come, however slow the machine is.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatingError } from '../../storage/model/errors.js';

/** Returns once it holds. **Errors**: it does not within two minutes; what the condition throws, but for a
 *  daemon that has stored nothing yet. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const giveUpMs = performance.now() + 120_000;
  const holds = async () => condition();
  while (!(await holds().catch(notYet))) {
    assert.ok(performance.now() < giveUpMs, what);
    await sleep(20);
  }
}

function notYet(error: unknown): boolean {
  if (error instanceof OperatingError && error.code === 'no-data') return false;
  throw error;
}
