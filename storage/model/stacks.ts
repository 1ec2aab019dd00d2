// Stacks as a trie: walking it, and how complete its stacks are. Everything runs in loops, not
// recursion: a stack is as deep as a store's file says.

import type { StackEnds } from './completeness.js';
import type { Profile } from './profile.js';
import { nodeSums } from './profile.js';

/** What stands for a stack of no frames wherever a frame is asked for. */
export const noFramesLabel = '[no frames]';

/** **Units**: all of values[0]; a frame counts once for each stack it is on. */
export interface StackCompleteness extends StackEnds {
  readonly framesNamed: number;
  /** By NameReason. */
  readonly framesUnnamed: Readonly<Record<string, number>>;
}

export function stackCompleteness(profile: Profile): StackCompleteness {
  const { parents, nodeFunctions, functions } = profile;
  const { total } = nodeSums(profile);
  const cut = new Map<string, number>();
  const framesUnnamed = new Map<string, number>();
  let complete = total[0]!;
  let framesNamed = 0;
  for (let i = 1; i < parents.length; i++) {
    const weight = total[i]!;
    const fn = functions[nodeFunctions[i]!]!;
    if (weight === 0) continue;
    if (fn.frameType === 'cut') {
      addTo(cut, fn.name, weight);
      complete -= weight;
    } else if (fn.name !== '') {
      framesNamed += weight;
    } else {
      addTo(framesUnnamed, fn.reason ?? 'no-match', weight);
    }
  }
  return {
    complete,
    cut: Object.fromEntries(cut),
    framesNamed,
    framesUnnamed: Object.fromEntries(framesUnnamed),
  };
}

/** How complete the stacks of one process are. */
export interface ProcessStacks extends StackEnds {
  /** 0 where short-lived processes were folded together. */
  readonly pid: number;
  readonly comm: string;
  readonly exe: string;
}

/** Processes with cut stacks, the one that most were cut of first.
 *  **Units**: of values[0]. */
export function cutByProcess(profile: Profile, limit: number): ProcessStacks[] {
  const { parents, nodeFunctions, functions, series, rowSeries, rowNodes } = profile;
  const cutOf = new Uint32Array(parents.length);
  for (let i = 1; i < parents.length; i++) {
    const isCut = parents[i] === 0 && functions[nodeFunctions[i]!]!.frameType === 'cut';
    cutOf[i] = isCut ? i : cutOf[parents[i]!]!;
  }
  const processes = new Map<string, { process: ProcessStacks; cut: Map<string, number> }>();
  const complete = new Map<string, number>();
  for (let row = 0; row < rowNodes.length; row++) {
    const { pid, startUnixMs, comm, exe } = series[rowSeries[row]!]!;
    const key = `${pid}\0${startUnixMs}\0${comm}\0${exe}`;
    const weight = profile.values[0]![row]!;
    const cutNode = cutOf[rowNodes[row]!]!;
    if (cutNode === 0) {
      addTo(complete, key, weight);
      continue;
    }
    let known = processes.get(key);
    if (known === undefined) {
      known = { process: { pid, comm, exe, complete: 0, cut: {} }, cut: new Map() };
      processes.set(key, known);
    }
    addTo(known.cut, functions[nodeFunctions[cutNode]!]!.name, weight);
  }
  const sumOf = (cut: Map<string, number>) => [...cut.values()].reduce((sum, v) => sum + v, 0);
  return [...processes]
    .sort(([, a], [, b]) => sumOf(b.cut) - sumOf(a.cut) || a.process.pid - b.process.pid)
    .slice(0, limit)
    .map(([key, { process, cut }]) => ({
      ...process,
      complete: complete.get(key) ?? 0,
      cut: Object.fromEntries(cut),
    }));
}

function addTo(sums: Map<string, number>, name: string, weight: number): void {
  sums.set(name, (sums.get(name) ?? 0) + weight);
}

/** Children of each node as linked lists; 0 ends a list. */
export interface ChildLinks {
  readonly parents: Uint32Array;
  readonly firstChild: Uint32Array;
  readonly nextSibling: Uint32Array;
}

/** Siblings stand by rising `rank` of their node (small integers), then by node. */
export function linkChildren(parents: Uint32Array, rank?: Uint32Array): ChildLinks {
  const firstChild = new Uint32Array(parents.length);
  const nextSibling = new Uint32Array(parents.length);
  const order = rank === undefined ? undefined : nodesByRank(rank);
  for (let k = parents.length - 1; k >= 0; k--) {
    const node = order === undefined ? k : order[k]!;
    if (node === 0) continue;
    const parent = parents[node]!;
    nextSibling[node] = firstChild[parent]!;
    firstChild[parent] = node;
  }
  return { parents, firstChild, nextSibling };
}

/** Nodes by rising rank: a counting sort, stable. */
function nodesByRank(rank: Uint32Array): Uint32Array {
  const ranks = rank.reduce((most, r) => Math.max(most, r), 0) + 1;
  const starts = new Uint32Array(ranks + 1);
  for (const r of rank) starts[r + 1]!++;
  for (let r = 1; r <= ranks; r++) starts[r]! += starts[r - 1]!;
  const order = new Uint32Array(rank.length);
  for (let node = 0; node < rank.length; node++) order[starts[rank[node]!]!++] = node;
  return order;
}

/** Every node, the root first, each before its children and those before its next sibling. */
export function* preorder({ parents, firstChild, nextSibling }: ChildLinks): Generator<number> {
  let node = 0;
  for (;;) {
    yield node;
    let next = firstChild[node]!;
    while (next === 0 && node !== 0) {
      next = nextSibling[node]!;
      node = parents[node]!;
    }
    if (next === 0) return;
    node = next;
  }
}

/** Frames between the root and each node, the node's own included; the root has 0. */
export function nodeDepths(parents: Uint32Array): Uint32Array {
  const depths = new Uint32Array(parents.length);
  for (let i = 1; i < parents.length; i++) depths[i] = depths[parents[i]!]! + 1;
  return depths;
}
