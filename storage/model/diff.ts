// What differs between two profiles: the functions whose share of time grew most come first. Values
// are rates, so that sides of unequal length compare: 10 s of a spike against 10 minutes of quiet.

import type { Profile } from './profile.js';
import type { TopRow } from './top.js';
import { topOf } from './top.js';

/** A profile and how much time it covers. */
export interface TimedProfile {
  readonly profile: Profile;
  readonly seconds: number;
}

/** **Units**: of valueTypes[valueIndex] a second. */
export interface DiffRow {
  readonly label: string;
  readonly moduleName: string;
  readonly self: number;
  readonly selfBefore: number;
  readonly total: number;
  readonly totalBefore: number;
}

/** Functions merged by (module name, label) over both sides, by falling growth of self, then of
 *  total: what shrank most comes last. */
export function diffOf(now: TimedProfile, before: TimedProfile, valueIndex: number): DiffRow[] {
  const rows = new Map<string, DiffRow>();
  for (const row of ratesOf(now, valueIndex)) {
    rows.set(keyOf(row), { ...row, selfBefore: 0, totalBefore: 0 });
  }
  for (const { self, total, ...name } of ratesOf(before, valueIndex)) {
    const known = rows.get(keyOf(name)) ?? { ...name, self: 0, total: 0 };
    rows.set(keyOf(name), { ...known, selfBefore: self, totalBefore: total });
  }
  return [...rows.values()].sort(
    (a, b) =>
      b.self - b.selfBefore - (a.self - a.selfBefore) ||
      b.total - b.totalBefore - (a.total - a.totalBefore) ||
      (keyOf(a) < keyOf(b) ? -1 : 1),
  );
}

function ratesOf({ profile, seconds }: TimedProfile, valueIndex: number): TopRow[] {
  const { rows } = topOf(profile, { valueIndex, limit: Infinity, sortBy: 'self' });
  return rows.map((row) => ({
    ...row,
    self: row.self / seconds,
    total: row.total / seconds,
  }));
}

function keyOf({ moduleName, label }: Pick<TopRow, 'moduleName' | 'label'>): string {
  return `${moduleName}\0${label}`;
}
