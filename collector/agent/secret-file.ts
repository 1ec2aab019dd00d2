// Small files that options name: tokens, certificates, keys, headers.

import { readFileSync, statSync } from 'node:fs';
import { OperatingError } from '../../storage/model/errors.js';

const MAX_BYTES = 65_536;

/** **Limits**: 64 KiB. **Errors**: `bad-config`, with the option's name. */
export function readSecretFile(option: string, path: string): Buffer {
  try {
    const status = statSync(path);
    if (!status.isFile() || status.size > MAX_BYTES) throw new Error('it is no small file');
    return readFileSync(path);
  } catch (error) {
    const sentence = `${option}: cannot read ${path}: ${(error as Error).message}`;
    throw new OperatingError('bad-config', sentence);
  }
}
