// Stacks of programs whose calls are known by construction, for those that no debugger can walk:
// `bench/programs/chain*` call one function after the other, so that a frame left out or made up
// shows.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Name of the function that an address lies in, '' when none is known. */
export type NameOf = (address: number) => string;

export interface Shape {
  /** From the root: each is called by the one before it, and by nothing else. */
  readonly chain: readonly string[];
  /** Members of the chain that may be missing: code that gives its frame up. */
  readonly optional?: readonly string[];
  /** What may have called the first of the chain. */
  readonly root: RegExp;
  /** `f g`: g may stand above f of the chain although f is not the last one. */
  readonly interrupts: RegExp;
}

/** What is wrong with a stack; undefined when nothing is. `names` are leaf first. A stack without
 *  any function of the chain is another thread's: nothing is known of it. */
export function shapeProblem(names: readonly string[], shape: Shape): string | undefined {
  const fromRoot = names.toReversed();
  const first = fromRoot.findIndex((name) => shape.chain.includes(name));
  if (first < 0) return undefined;
  if (first > 0 && !shape.root.test(fromRoot[first - 1]!)) return `root ${fromRoot[first - 1]}`;
  let at = first;
  for (const member of shape.chain) {
    if (fromRoot[at] === member) at++;
    else if (shape.optional?.includes(member) !== true) break;
  }
  const isWhole = fromRoot[at - 1] === shape.chain.at(-1);
  const above = fromRoot.slice(at);
  const again = above.find((name) => shape.chain.includes(name));
  if (again !== undefined) return `${again} above ${fromRoot[at - 1] ?? 'the root'}`;
  const pair = `${fromRoot[at - 1] ?? 'the root'} ${above[0]}`;
  if (isWhole || above.length === 0 || shape.interrupts.test(pair)) return undefined;
  return `${above[0] || 'an unknown function'} above ${fromRoot[at - 1] ?? 'the root'}`;
}

/** A shape knows something of this stack. */
export function isOfShape(names: readonly string[], { chain }: Shape): boolean {
  return names.some((name) => chain.includes(name));
}

export function namesOf(pcs: readonly number[], nameOf: NameOf): string[] {
  return pcs.map((pc, i) => nameOf(i === 0 ? pc : pc - 1));
}

/** Functions of a program that is not moved when it is loaded, by nm. */
export function symbolTableNames(path: string): NameOf {
  const text = execFileSync('nm', ['-n', path], { encoding: 'utf8', maxBuffer: 256 << 20 });
  const symbols = [...text.matchAll(/^([0-9a-f]+) [tTwW] (\S+)$/gm)].map(([, address, name]) => ({
    start: Number(`0x${address}`),
    name: name!.replace(/\.abi\w+$/, ''),
  }));
  const end = symbols.at(-1)!.start;
  return (address) => (address > end ? '' : (findLast(symbols, address)?.name ?? ''));
}

/** Functions of a perf map: `JS:*f1 file:///...` is called f1. */
export function perfMapNames(path: string): NameOf {
  const entries = [...readFileSync(path, 'utf8').matchAll(/^([0-9a-f]+) ([0-9a-f]+) (.+)$/gm)].map(
    ([, start, size, name]) => ({
      start: Number(`0x${start}`),
      end: Number(`0x${start}`) + Number(`0x${size}`),
      name: /^JS:[*^~+]?(\S+)/.exec(name!)?.[1] ?? name!,
    }),
  );
  // Of entries at one place the last one told counts: sorting keeps their order.
  entries.sort((a, b) => a.start - b.start);
  return (address) => {
    const entry = findLast(entries, address);
    return entry !== undefined && address < entry.end ? entry.name : '';
  };
}

function findLast<T extends { readonly start: number }>(sorted: readonly T[], address: number) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
