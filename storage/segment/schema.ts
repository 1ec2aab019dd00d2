// The SQLite side of a segment: its tables, its marks in the file header, and
// what SQLite's errors mean for us.

import Database from 'better-sqlite3';

export type Db = Database.Database;

/** "FKPR" */
export const applicationId = 0x464b5052;
export const schemaVersion = 1;

/** `live.id` and later `block.id` = stream * 2^32 + bucket since the segment's start. */
export const idRange = 2 ** 32;

export const schema = `
CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE dict(
  id INTEGER PRIMARY KEY, kind INT NOT NULL, first INT NOT NULL, n INT NOT NULL,
  data BLOB NOT NULL);
CREATE TABLE live(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE block(
  id INTEGER PRIMARY KEY, rows INT NOT NULL, samples INT NOT NULL, data BLOB NOT NULL);
`;

/** What an SQLite file is to us. */
export type FileClass = 'ours' | 'newer' | 'foreign' | 'broken';

/** Reads the marks of an open file; `foreign` also for an SQLite file without any mark. */
export function classify(db: Db): FileClass {
  try {
    if (db.pragma('application_id', { simple: true }) !== applicationId) return 'foreign';
    const version = db.pragma('user_version', { simple: true }) as number;
    return version === schemaVersion ? 'ours' : version > schemaVersion ? 'newer' : 'broken';
  } catch (error) {
    if (isBroken(error)) return 'broken';
    throw error;
  }
}

/** Code of an SQLite or file system error: `SQLITE_FULL`, `ENOSPC`; '' for anything else. */
export function errorCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** The file itself is damaged, or no SQLite file. */
export function isBroken(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT');
}

/** SQLite's or the system's complaint about the world outside, as opposed to a mistake of ours. */
export function isOutside(error: unknown): boolean {
  const ofSqlite =
    /^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|BUSY|CORRUPT|NOTADB|PERM|AUTH|NOLFS|PROTOCOL)/;
  const ofSystem = /^E[A-Z0-9]+$/;
  const code = errorCode(error);
  return ofSqlite.test(code) || ofSystem.test(code);
}
