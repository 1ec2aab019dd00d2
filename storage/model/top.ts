// The table of functions: self is the value at the leaf, total the value anywhere on
// the stack, once under recursion.

import { functionLabel } from './frame.js';
import { internInto } from './intern.js';
import type { Profile } from './profile.js';
import { nodeSums } from './profile.js';
import { linkChildren, noFramesLabel, nodeDepths, preorder } from './stacks.js';

export interface TopRow {
  readonly label: string;
  readonly moduleName: string;
  readonly self: number;
  readonly total: number;
}

export interface TopOptions {
  readonly valueIndex: number;
  /** Rows at most. */
  readonly limit: number;
  readonly sortBy: 'self' | 'total';
}

/** Functions merged by (module name, label), the largest first;
 *  `total` is that of the whole profile.
 *  **Units**: of valueTypes[valueIndex]. Cut markers are no rows;
 *  stacks without any frame are one. */
export function topOf(profile: Profile, options: TopOptions): { rows: TopRow[]; total: number } {
  const { groups, groupOf } = groupFunctions(profile);
  const sums = nodeSums(profile, options.valueIndex);
  const depths = nodeDepths(profile.parents);
  const path: number[] = [];
  const timesOnPath = new Uint32Array(groups.length);
  for (const node of preorder(linkChildren(profile.parents))) {
    while (path.length > depths[node]!) timesOnPath[path.pop()!]!--;
    const group = node === 0 ? 0 : groupOf[profile.nodeFunctions[node]!]!;
    groups[group]!.self += sums.self[node]!;
    if (group !== 0 && timesOnPath[group] === 0) groups[group]!.total += sums.total[node]!;
    path.push(group);
    timesOnPath[group]!++;
  }
  groups[0]!.total = groups[0]!.self;
  const { sortBy } = options;
  const other = sortBy === 'self' ? 'total' : 'self';
  const rows = groups
    .filter((row) => row.total > 0)
    .sort((a, b) => b[sortBy] - a[sortBy] || b[other] - a[other] || compareNames(a, b));
  return { rows: rows.slice(0, options.limit), total: sums.total[0]! };
}

type Group = { -readonly [K in keyof TopRow]: TopRow[K] };

/** Group 0 takes stacks without a frame: those that end at the root or at a cut. */
function groupFunctions(profile: Profile): { groups: Group[]; groupOf: Uint32Array } {
  const groups: Group[] = [{ label: noFramesLabel, moduleName: '', self: 0, total: 0 }];
  const ids = new Map<string, number>();
  const groupOf = Uint32Array.from(profile.functions, (fn) => {
    if (fn.frameType === 'cut') return 0;
    const label = functionLabel(fn);
    const group = { label, moduleName: fn.module.name, self: 0, total: 0 };
    return internInto(ids, groups, `${fn.module.name}\0${label}`, group);
  });
  return { groups, groupOf };
}

function compareNames(a: TopRow, b: TopRow): number {
  if (a.label !== b.label) return a.label < b.label ? -1 : 1;
  if (a.moduleName !== b.moduleName) return a.moduleName < b.moduleName ? -1 : 1;
  return 0;
}
