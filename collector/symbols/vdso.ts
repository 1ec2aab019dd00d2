// The vDSO has no file: its image is read from this process's own memory,
// where the kernel maps the same one.

import { openSync, readFileSync } from 'node:fs';
import type { Opened } from './module-image.js';

export function openVdso(): Opened {
  try {
    const lines = readFileSync('/proc/self/maps', 'latin1').split('\n');
    const line = lines.find((text) => text.endsWith('[vdso]'));
    const origin = Number.parseInt(line ?? '', 16);
    return Number.isNaN(origin)
      ? { reason: 'file-gone' }
      : { fd: openSync('/proc/self/mem', 'r'), origin };
  } catch {
    return { reason: 'no-permission' };
  }
}
