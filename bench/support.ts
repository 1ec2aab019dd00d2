// What bench programs share: options, cleaning up however they end, a line per figure, medians.

import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';

/** Every option of every bench, so that one command line serves all of them; each takes a number. */
const optionNames = [
  'seconds', 'warmup', 'rounds', 'kills', 'minutes', 'stacks', 'flushes', 'stops', 'samples',
  'keys',
] as const;
export type BenchOptions = Partial<Record<(typeof optionNames)[number], number>>;

const cleanups: (() => void)[] = [];

/** Runs at the end of the process, whether it is done, fails or is told to stop; the last one registered
 *  first. */
export function atEnd(cleanup: () => void): void {
  if (cleanups.length === 0) {
    process.once('exit', () => {
      for (const each of cleanups.reverse()) each();
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => process.exit(130));
  }
  cleanups.push(cleanup);
}

/** Defaults, the smaller ones of `--quick`, and what the command line says. **Errors**: an unknown option,
 *  no number. */
export function readOptions<T extends BenchOptions>(
  defaults: T,
  quick: Partial<T>,
  args = process.argv.slice(2),
): T {
  const { values } = parse(args);
  const given = Object.entries(values).flatMap(([name, text]) => {
    if (name === 'quick' || !(name in defaults)) return [];
    const value = Number(text);
    if (!(value > 0)) throw new Error(`--${name} ${text} is no number above 0`);
    return [[name, value]];
  });
  return { ...defaults, ...(values['quick'] === true ? quick : {}), ...Object.fromEntries(given) } as T;
}

/** The parts of a bench that the command line names: all if it names none. **Errors**: an unknown one. */
export function readParts<T extends string>(all: readonly T[], args = process.argv.slice(2)): readonly T[] {
  const { positionals } = parse(args);
  const unknown = positionals.filter((name) => !all.some((part) => part === name));
  if (unknown.length > 0) throw new Error(`there is no part ${unknown.join(', ')}; there are ${all.join(', ')}`);
  return positionals.length === 0 ? all : all.filter((part) => positionals.includes(part));
}

function parse(args: readonly string[]) {
  const options = Object.fromEntries(optionNames.map((name) => [name, { type: 'string' as const }]));
  return parseArgs({
    args: [...args],
    options: { ...options, quick: { type: 'boolean' } },
    allowPositionals: true,
  });
}

/** Date, machine, kernel: a figure without them is none. */
export function printTitle(bench: string, options: BenchOptions = {}): void {
  const machine = `${cpus()[0]?.model} x ${cpus().length}, Linux ${release()}, node ${process.version}`;
  const given = Object.entries(options)
    .map(([name, value]) => ` --${name} ${value}`)
    .join('');
  console.log(`\n${bench}${given}: ${new Date().toISOString().slice(0, 16)}Z, ${machine}`);
}

export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** One line: name, value, target, ok or MISSED. **Units**: of both value and target, `unit`. */
export function printFigure(name: string, value: number, unit: string, target?: Target): void {
  const line = `  ${name.padEnd(62)} ${`${round(value)} ${unit}`.padStart(20)}`;
  if (target === undefined) return console.log(line);
  const isMet = 'atMost' in target ? value <= target.atMost : value >= target.atLeast;
  const limit = 'atMost' in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
  console.log(`${line}  ${limit.padEnd(10)} ${isMet ? 'ok' : 'MISSED'}`);
}

/** What a figure rests on. */
export function printNote(text: string): void {
  console.log(`    ${text}`);
}

export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** The median with an interval that holds the true one with 95 % probability or more, whatever the
 *  distribution: between the k-th smallest and the k-th largest value, k the largest with P(Binomial(n,
 *  1/2) < k) <= 2.5 %. Below 6 values it is their whole range, and holds less. */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let k = 0;
  let term = 0.5 ** n;
  for (let below = term; below <= 0.025; below += term) {
    k++;
    term *= (n - k + 1) / k;
  }
  const rank = Math.max(0, k - 1);
  const median = (sorted[Math.floor((n - 1) / 2)]! + sorted[Math.floor(n / 2)]!) / 2;
  return { median, low: sorted[rank]!, high: sorted[n - 1 - rank]! };
}

export function round(value: number): string {
  const digits = Number.isInteger(value) ? 0 : Math.abs(value) >= 100 ? 1 : 3;
  return value.toFixed(digits);
}
