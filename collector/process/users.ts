// uid -> user name, from /etc/passwd. Users of other sources (LDAP) show as
// digits: asking for them could block.

import { readFileSync, statSync } from 'node:fs';

const MAX_BYTES = 4 << 20;
const PASSWD = '/etc/passwd';

/** The first name of each uid. */
export function parsePasswd(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , uid] = line.split(':');
    if (name === undefined || name === '' || uid === undefined || !/^\d{1,10}$/.test(uid)) continue;
    if (!names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}

export class UserNames {
  #names = new Map<number, string>();
  #version = '';

  constructor() {
    this.refresh();
  }

  /** Reads the file again if it was written since; without it the names known stay. */
  refresh(): void {
    try {
      const { mtimeMs, ino, size } = statSync(PASSWD);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (version === this.#version || size > MAX_BYTES) return;
      this.#names = parsePasswd(readFileSync(PASSWD, 'utf8'));
      this.#version = version;
    } catch {
      this.#version = '';
    }
  }

  /** The uid in digits when it has no name. */
  name(uid: number): string {
    return this.#names.get(uid) ?? String(uid);
  }
}
