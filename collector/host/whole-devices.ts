// Which block devices are whole ones: they have a folder in /sys/block, partitions have none.

import { readdirSync } from 'node:fs';

export class WholeDevices {
  readonly #folder: string;
  #whole: ReadonlySet<string> = new Set();
  readonly #partitions = new Set<string>();

  constructor(sys = '/sys') {
    this.#folder = `${sys}/block`;
  }

  /** Looks at the folder again only for a name that is new. */
  has(device: string): boolean {
    if (this.#whole.has(device)) return true;
    if (this.#partitions.has(device)) return false;
    this.#whole = new Set(this.#names());
    const isWhole = this.#whole.has(device);
    if (!isWhole) this.#partitions.add(device);
    return isWhole;
  }

  /** `!` stands for a slash: cciss/c0d0. */
  #names(): string[] {
    try {
      return readdirSync(this.#folder).map((name) => name.replaceAll('!', '/'));
    } catch {
      return [];
    }
  }
}
