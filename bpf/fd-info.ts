// /proc/self/fdinfo: what the kernel says about a descriptor of a map or a program
// (id, memory it is charged for).

import { readFileSync } from 'node:fs';

/** Name -> text of each line; empty when the descriptor is closed. */
export function readFdInfo(fd: number): Readonly<Record<string, string>> {
  try {
    return parseFdInfo(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  } catch {
    return {};
  }
}

export function parseFdInfo(text: string): Record<string, string> {
  const info: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) info[line.slice(0, colon)] = line.slice(colon + 1).trim();
  }
  return info;
}
