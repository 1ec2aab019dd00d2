// Where the data lies when nobody says so: in `data` of the checkout when this code runs from one,
// so that trying flamekeeper leaves nothing behind elsewhere; else in /var/lib/flamekeeper.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const systemDataDir = '/var/lib/flamekeeper';

/** Absolute path. `startDir` is where the look for the package's root begins; this file's
 *  folder unless told otherwise. */
export function defaultDataDir(startDir: string = dirname(fileURLToPath(import.meta.url))): string {
  const root = packageRoot(startDir);
  if (root === undefined) return systemDataDir;
  const isCheckout =
    existsSync(join(root, '.git')) ||
    (existsSync(join(root, 'scripts')) && existsSync(join(root, 'tsconfig.json')));
  return isCheckout ? join(root, 'data') : systemDataDir;
}

function packageRoot(startDir: string): string | undefined {
  for (let dir = startDir; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'package.json'))) return dir;
    if (dir === dirname(dir)) return undefined;
  }
}
