// Names of block devices by their numbers. (front)

import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';

const MINOR_BITS = 20;

/** `sda`; its number in digits when it is gone. **Units**: major << 20 | minor. */
export function blockDeviceName(device: number): string {
  const number = `${device >>> MINOR_BITS}:${device & ((1 << MINOR_BITS) - 1)}`;
  try {
    return basename(readlinkSync(`/sys/dev/block/${number}`)).replaceAll('!', '/');
  } catch {
    return number;
  }
}
