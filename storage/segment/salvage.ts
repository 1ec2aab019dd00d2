// Reading rows of a table whose pages may be damaged. The fast way is one statement; when SQLite
// stumbles, the ids are listed from both ends up to the damage, and rows are read one by one.

import type { Db } from './schema.js';
import { isBroken } from './schema.js';

export interface RowRange {
  readonly table: 'live' | 'dict';
  readonly first: number;
  readonly last: number;
  /** Further condition: `kind = 5`. */
  readonly where?: string;
}

/** Rows by ascending id, and how many were seen to be there but could not be read. */
export interface Salvaged<Row> {
  readonly rows: Row[];
  readonly broken: number;
}

export function readRows<Row>(db: Db, columns: string, range: RowRange): Salvaged<Row> {
  const where = `id BETWEEN ? AND ? AND ${range.where ?? 'TRUE'}`;
  const select = `SELECT ${columns} FROM ${range.table} WHERE ${where}`;
  try {
    return {
      rows: db.prepare(`${select} ORDER BY id`).all(range.first, range.last) as Row[],
      broken: 0,
    };
  } catch (error) {
    if (!isBroken(error)) throw error;
  }
  const { ids, isCutShort } = listIds(db, range);
  const selectOne = db.prepare(select);
  const rows: Row[] = [];
  let broken = isCutShort ? 1 : 0;
  for (const id of ids) {
    try {
      const row = selectOne.get(id, id) as Row | undefined;
      if (row !== undefined) rows.push(row);
    } catch (error) {
      if (!isBroken(error)) throw error;
      broken++;
    }
  }
  return { rows, broken };
}

/** The highest id of a range, as far as it can be read; not certain when damage may hide a higher
 *  one. */
export function lastId(db: Db, range: RowRange): { id: number | undefined; isCertain: boolean } {
  const { table, first, last } = range;
  try {
    const select = db.prepare(`SELECT max(id) FROM ${table} WHERE id BETWEEN ? AND ?`).pluck();
    return { id: (select.get(first, last) as number | null) ?? undefined, isCertain: true };
  } catch (error) {
    if (!isBroken(error)) throw error;
  }
  return { id: listIds(db, range).ids.at(-1), isCertain: false };
}

function listIds(db: Db, { table, first, last }: RowRange): { ids: number[]; isCutShort: boolean } {
  const ids = new Set<number>();
  let isCutShort = false;
  for (const order of ['ASC', 'DESC']) {
    try {
      const list = db.prepare(
        `SELECT id FROM ${table} WHERE id BETWEEN ? AND ? ORDER BY id ${order}`,
      );
      for (const id of list.pluck().iterate(first, last)) ids.add(id as number);
    } catch (error) {
      if (!isBroken(error)) throw error;
      isCutShort = true;
    }
  }
  return { ids: [...ids].sort((a, b) => a - b), isCutShort };
}
