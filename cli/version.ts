// The version of this flamekeeper, from its package.json.

import { readFileSync } from 'node:fs';

/** package.json stands above the compiled and above the source folder alike. */
export function packageVersion(): string {
  for (let url = new URL('..', import.meta.url); ; url = new URL('..', url)) {
    try {
      return (JSON.parse(readFileSync(new URL('package.json', url), 'utf8')) as { version: string })
        .version;
    } catch (error) {
      if (url.pathname === '/') throw error;
    }
  }
}
