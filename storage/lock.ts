// One directory has one owner: it holds an exclusive SQLite lock on state.db, which ends with the
// process however that ends. The file keeps small settings of the directory, never profiles.

import Database from 'better-sqlite3';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OperatingError } from './model/errors.js';
import { parseSegmentName } from './segment/segment-name.js';
import type { Db } from './segment/schema.js';
import { applicationId, classify, errorCode } from './segment/schema.js';
import { readSegment } from './segment/segment-reader.js';

const stateFile = 'state.db';
const stateVersion = 1;

/** Small numbers that outlive the daemon, by name: how far an export got. Each `set` is one
 *  transaction. **Errors**: SQLite's: a full disk. */
export interface DirectoryState {
  get(name: string): number | undefined;
  set(values: Readonly<Record<string, number>>): void;
}

export interface DirectoryLock {
  readonly state: DirectoryState;
  release(): void;
}

/** Makes the directory (0750) if there is none and takes it. **Errors**: `store-locked`,
 *  `store-foreign`, `store-newer`; SQLite's and the file system's. */
export function lockDirectory(dir: string): DirectoryLock {
  if (!existsSync(dir)) {
    makeDirectory(dir);
    chmodSync(dir, 0o750);
  }
  const path = join(dir, stateFile);
  if (!existsSync(path)) {
    refuseForeignFiles(dir);
    closeSync(openSync(path, 'a', 0o640));
    chmodSync(path, 0o640);
  }
  const db = new Database(path, { timeout: 0 });
  try {
    take(db, dir);
  } catch (error) {
    db.close();
    throw error;
  }
  return { state: stateOf(db), release: () => void db.close() };
}

function stateOf(db: Db): DirectoryState {
  const select = db.prepare('SELECT v FROM state WHERE k = ?').pluck();
  const replace = db.prepare('INSERT OR REPLACE INTO state(k, v) VALUES (?, ?)');
  const replaceAll = db.transaction((values: Readonly<Record<string, number>>) => {
    for (const [name, value] of Object.entries(values)) replace.run(name, value);
  });
  return {
    get: (name) => {
      const value = select.get(name);
      return typeof value === 'number' ? value : undefined;
    },
    set: (values) => void replaceAll(values),
  };
}

/** Node's own `recursive` loops for ever where the kernel lets nothing be made, as below /proc. */
function makeDirectory(dir: string): void {
  const parent = dirname(dir);
  if (!existsSync(parent)) makeDirectory(parent);
  mkdirSync(dir);
}

function take(db: Db, dir: string): void {
  db.pragma('locking_mode = EXCLUSIVE');
  try {
    // In this mode the lock outlives the transaction.
    db.exec('BEGIN EXCLUSIVE; COMMIT');
  } catch (error) {
    if (errorCode(error) === 'SQLITE_BUSY') {
      throw new OperatingError(
        'store-locked',
        `the data directory ${dir} is in use by another flamekeeper`,
      );
    }
    if (errorCode(error) !== 'SQLITE_NOTADB') throw error;
  }
  const fileClass = classify(db);
  if (fileClass === 'newer') {
    throw new OperatingError(
      'store-newer',
      `the data directory ${dir} was written by a newer flamekeeper`,
    );
  }
  if (fileClass === 'ours') return;
  const isEmpty = () => db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
  if (fileClass === 'broken' || !isEmpty()) throw foreign(dir, stateFile);
  db.transaction(() => {
    db.pragma(`application_id = ${applicationId}`);
    db.pragma(`user_version = ${stateVersion}`);
    db.exec('CREATE TABLE state(k TEXT PRIMARY KEY, v) WITHOUT ROWID');
  })();
}

/** A directory without our lock may be empty, hold segments whose state.db was lost, or things that
 *  are no database. */
function refuseForeignFiles(dir: string): void {
  const isOurs = (file: string) => {
    const name = parseSegmentName(file);
    return name !== undefined && readSegment(join(dir, file), name, () => 'ours') !== 'foreign';
  };
  const databases = readdirSync(dir).filter(isDatabaseName);
  if (databases.length > 0 && !databases.some(isOurs)) throw foreign(dir, databases[0]!);
}

export function isDatabaseName(name: string): boolean {
  return /\.(db|sqlite|sqlite3)$/.test(name);
}

export function foreign(dir: string, file: string): OperatingError {
  const sentence = `${join(dir, file)} belongs to another program, so ${dir} is left alone`;
  return new OperatingError('store-foreign', sentence);
}
