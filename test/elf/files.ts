// Files of this host that tests look at, found the way the system finds them.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The library of this name that this process has loaded; '' when it has none. */
export function loadedFile(name: string): string {
  const line = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .find((l) => l.includes(`/${name}`));
  return line === undefined ? '' : line.slice(line.indexOf('/'));
}

export interface ReadelfSymbol {
  readonly value: number;
  readonly sizeBytes: number;
  /** Without the version. */
  readonly name: string;
}

/** Function symbols as readelf lists them: defined, with a value, from both tables. */
export function readelfFunctions(path: string): ReadelfSymbol[] {
  const text = execFileSync('readelf', ['-sW', path], {
    encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
  const symbols: ReadelfSymbol[] = [];
  for (const line of text.split('\n')) {
    // Num: Value Size Type Bind Vis Ndx Name
    const match =
      /^ *\d+: ([0-9a-f]{16}) +(\S+) I?FUNC +\S+ +\S+ +(?:\[[^\]]*\] +)?(\S+) (\S+)/.exec(line);
    if (match === null || match[3] === 'UND') continue;
    const value = Number.parseInt(match[1]!, 16);
    if (value !== 0) {
      symbols.push({ value, sizeBytes: Number(match[2]), name: match[4]!.split('@')[0]! });
    }
  }
  return symbols;
}
