// Selections on a profile that the store's filter cannot make, since they ask
// for frames and not for series.

import type { FunctionInfo } from './frame.js';
import { functionLabel } from './frame.js';
import type { Profile } from './profile.js';

export interface Selection {
  /** Keeps samples with a frame (not a cut) whose label or module name matches. Flags g and y mean
   *  nothing here. */
  readonly functionPattern?: RegExp;
  /** true keeps samples whose leaf is kernel code, false the others. */
  readonly kernel?: boolean;
}

/** What is left holds only the nodes, functions and series it needs, in their old order. */
export function selectProfile(profile: Profile, selection: Selection): Profile {
  const keepsNode = selectNodes(profile, selection);
  const { parents, nodeFunctions, rowNodes, rowSeries } = profile;
  const rows = rowNodes.map((_, row) => row).filter((row) => keepsNode[rowNodes[row]!] === 1);

  const usedNodes = new Uint8Array(parents.length);
  const usedSeries = new Uint8Array(profile.series.length);
  for (const row of rows) {
    usedNodes[rowNodes[row]!] = 1;
    usedSeries[rowSeries[row]!] = 1;
  }
  for (let i = parents.length - 1; i > 0; i--) if (usedNodes[i] === 1) usedNodes[parents[i]!] = 1;
  usedNodes[0] = 1;
  const usedFunctions = new Uint8Array(profile.functions.length);
  for (let i = 1; i < parents.length; i++) {
    if (usedNodes[i] === 1) usedFunctions[nodeFunctions[i]!] = 1;
  }

  const newNodes = numberUsed(usedNodes);
  const newFunctions = numberUsed(usedFunctions);
  const newSeries = numberUsed(usedSeries);
  return {
    ...profile,
    functions: profile.functions.filter((_, i) => usedFunctions[i] === 1),
    parents: parents.filter((_, i) => usedNodes[i] === 1).map((parent) => newNodes[parent]!),
    nodeFunctions: nodeFunctions
      .filter((_, i) => usedNodes[i] === 1)
      .map((fn, i) => (i === 0 ? 0 : newFunctions[fn]!)),
    series: profile.series.filter((_, i) => usedSeries[i] === 1),
    rowSeries: rows.map((row) => newSeries[rowSeries[row]!]!),
    rowNodes: rows.map((row) => newNodes[rowNodes[row]!]!),
    values: profile.values.map((column) => Float64Array.from(rows, (row) => column[row]!)),
  };
}

/** 1 for each node at which a stack may end to be kept. */
function selectNodes(profile: Profile, { functionPattern, kernel }: Selection): Uint8Array {
  const { parents, nodeFunctions, functions } = profile;
  const pattern = functionPattern && withoutMemory(functionPattern);
  const functionMatches = Uint8Array.from(functions, (fn) => (matches(fn, pattern) ? 1 : 0));
  const functionIsKernel = Uint8Array.from(functions, (fn) => (fn.frameType === 'kernel' ? 1 : 0));
  const hasMatch = new Uint8Array(parents.length);
  hasMatch[0] = pattern === undefined ? 1 : 0;
  const isKernel = new Uint8Array(parents.length);
  for (let i = 1; i < parents.length; i++) {
    hasMatch[i] = hasMatch[parents[i]!]! | functionMatches[nodeFunctions[i]!]!;
    isKernel[i] = functionIsKernel[nodeFunctions[i]!]!;
  }
  if (kernel === undefined) return hasMatch;
  return hasMatch.map((has, i) => (has === 1 && (isKernel[i] === 1) === kernel ? 1 : 0));
}

/** `test` of a pattern with flag g or y goes on from where it was. */
function withoutMemory(pattern: RegExp): RegExp {
  return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
}

function matches(fn: FunctionInfo, pattern: RegExp | undefined): boolean {
  if (pattern === undefined || fn.frameType === 'cut') return false;
  return pattern.test(functionLabel(fn)) || pattern.test(fn.module.name);
}

/** Old index -> new index, for those that are used. */
function numberUsed(used: Uint8Array): Uint32Array {
  const numbers = new Uint32Array(used.length);
  let next = 0;
  for (let i = 0; i < used.length; i++) if (used[i] === 1) numbers[i] = next++;
  return numbers;
}
