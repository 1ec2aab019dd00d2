// Names for 10,000 addresses of node's own binary: CPU time of a fresh process from opening the file to the
// last name, beside `nm` listing the same table in the same run. A new process each time, since a daemon's
// first look-ups are cold.

import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fileReader } from '../collector/symbols/file-reader.js';
import { Symbolizer } from '../collector/symbols/symbolizer.js';
import { readElf, segmentType } from '../elf/elf-file.js';
import { medianInterval, printFigure, printNote, printTitle } from './support.js';

const addresses = 10_000;
const rounds = 5;
const targetSeconds = 0.12;

interface Measured {
  readonly coldMs: number;
  readonly warmMs: number;
  readonly named: number;
  readonly keptBytes: number;
}

/** Spread evenly over the largest executable segment. */
function measure(): Measured {
  const path = process.execPath;
  const file = readElf(fileReader(openSync(path, 'r')));
  if ('reason' in file) throw new Error(file.reason);
  const code = file.segments
    .filter((s) => s.type === segmentType.load && s.isExecutable)
    .reduce((a, b) => (b.fileSizeBytes > a.fileSizeBytes ? b : a));
  const offsets = Float64Array.from(
    { length: addresses },
    (_, i) => code.offset + Math.floor((code.fileSizeBytes * i) / addresses),
  );
  const symbolizer = new Symbolizer();
  const module = { name: 'node', path, buildId: '' };
  let named = 0;
  const coldMs = cpuMs(() => {
    symbolizer.addModule({ id: 1, module, opened: { fd: openSync(path, 'r') } });
    for (const offset of offsets) if (symbolizer.user(1, offset).name !== '') named++;
  });
  const warmMs = cpuMs(() => {
    for (const offset of offsets) symbolizer.user(1, offset);
  });
  return { coldMs, warmMs, named, keptBytes: symbolizer.keptBytes };
}

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** CPU of `nm`, which reads, sorts and prints every symbol of both tables. */
function yardstickMs(): number {
  const script = 'nm "$0" > /dev/null; nm -D "$0" > /dev/null; times';
  const text = execFileSync('bash', ['-c', script, process.execPath], { encoding: 'utf8' });
  const [user, system] = text.trim().split('\n')[1]!.split(' ').map(secondsOf);
  return ((user ?? 0) + (system ?? 0)) * 1000;
}

/** `0m0.123s` of bash. */
function secondsOf(text: string): number {
  const match = /^(\d+)m([\d.]+)s$/.exec(text);
  return match === null ? NaN : Number(match[1]) * 60 + Number(match[2]);
}

const median = (values: readonly number[]) => medianInterval(values).median;

if (process.argv[2] === '--one') {
  console.log(JSON.stringify(measure()));
} else {
  const self = fileURLToPath(import.meta.url);
  const runs: Measured[] = [];
  const yardsticks: number[] = [];
  for (let round = 0; round < rounds; round++) {
    runs.push(JSON.parse(execFileSync(process.execPath, [self, '--one'], { encoding: 'utf8' })) as Measured);
    yardsticks.push(yardstickMs());
  }
  const cold = median(runs.map((r) => r.coldMs));
  const nm = median(yardsticks);
  const { named, keptBytes } = runs[0]!;
  printTitle('symbols');
  printFigure(`${addresses} addresses of node's binary, cold: CPU`, cold, 'ms', {
    atMost: targetSeconds * 2000,
  });
  printNote(`${rounds} rounds: ${runs.map((r) => r.coldMs.toFixed(0)).join(' ')}`);
  const warm = median(runs.map((r) => r.warmMs));
  printNote(`again, all known: ${warm.toFixed(1)} ms; named ${named}, kept ${keptBytes} bytes`);
  printNote(`nm and nm -D of the same file: ${nm.toFixed(0)} ms; ratio ${(cold / nm).toFixed(2)}`);
}
