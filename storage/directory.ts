// The files of a data directory: segments, the quarantine for broken ones, and the ballast that is
// given up when the disk is full and there is no old segment left to unlink.

import { randomFillSync } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { readSync, renameSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { SegmentName } from './segment/segment-name.js';
import { parseSegmentName } from './segment/segment-name.js';
import { applicationId, errorCode, schemaVersion } from './segment/schema.js';

const companions = ['', '-wal', '-shm', '-journal'];
const quarantineDir = 'quarantine';
const ballastFile = 'ballast';
/** Less free space than this makes an I/O error a full disk. */
const fullBelowBytes = 2 ** 20;

/** Segments by age, oldest first. **Errors**: ENOENT and the like. */
export function listSegments(dir: string): SegmentName[] {
  return readdirSync(dir)
    .flatMap((name) => parseSegmentName(name) ?? [])
    .sort((a, b) => a.n - b.n);
}

/** Bytes of a segment with what SQLite keeps beside it; 0 when it is gone. */
export function segmentSizeBytes(dir: string, fileName: string): number {
  const stats = companions.map((end) =>
    statSync(join(dir, fileName + end), { throwIfNoEntry: false }),
  );
  return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0);
}

/** What another program or a newer flamekeeper wrote. Told from SQLite's header alone, where the
 *  application id is at byte 68 and the user version at 60: that needs no room on the disk. */
export function isNotOurs(dir: string, fileName: string): boolean {
  const header = Buffer.alloc(72);
  const fd = openSync(join(dir, fileName), 'r');
  try {
    if (readSync(fd, header) < header.length) return false;
  } finally {
    closeSync(fd);
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') return false;
  return header.readInt32BE(68) !== applicationId || header.readInt32BE(60) > schemaVersion;
}

/** A log or journal that a killed daemon or a reader in the way has kept from its file. */
export function hasLog(dir: string, fileName: string): boolean {
  return ['-wal', '-journal'].some((end) => existsSync(join(dir, fileName + end)));
}

export function unlinkSegment(dir: string, fileName: string): void {
  for (const end of companions) rmSync(join(dir, fileName + end), { force: true });
}

/** What an unfinished creation left. */
export function removeTemporaryFiles(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (/^seg-.*\.tmp(-journal)?$/.test(name)) rmSync(join(dir, name), { force: true });
  }
}

/** Moves a broken segment out of the way; nothing of it is changed. */
export function quarantineSegment(dir: string, fileName: string): void {
  mkdirSync(join(dir, quarantineDir), { recursive: true, mode: 0o750 });
  for (const end of companions) {
    const path = join(dir, fileName + end);
    if (existsSync(path)) renameSync(path, join(dir, quarantineDir, fileName + end));
  }
}

/** File names of the segments in quarantine. */
export function listQuarantine(dir: string): string[] {
  const path = join(dir, quarantineDir);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => parseSegmentName(name) !== undefined)
    .sort();
}

/** Writes the ballast if there is none and the disk has four times its
 *  room; not having it is no error. */
export function ensureBallast(dir: string, sizeBytes: number): void {
  const path = join(dir, ballastFile);
  if (sizeBytes === 0 || existsSync(path) || (freeBytes(dir) ?? 0) < 4 * sizeBytes) return;
  const chunk = randomFillSync(Buffer.alloc(2 ** 16));
  try {
    const fd = openSync(path, 'wx', 0o640);
    try {
      for (let written = 0; written < sizeBytes; written += chunk.length) writeSync(fd, chunk);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    rmSync(path, { force: true });
  }
}

/** True when there was ballast to give up. */
export function dropBallast(dir: string): boolean {
  const path = join(dir, ballastFile);
  if (!existsSync(path)) return false;
  rmSync(path, { force: true });
  return true;
}

/** The error of SQLite or the system says that there is no room, or comes when there is none. */
export function isDiskFull(dir: string, error: unknown): boolean {
  const code = errorCode(error);
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') return true;
  if (!/^SQLITE_(IOERR|CANTOPEN)/.test(code)) return false;
  return (freeBytes(dir) ?? fullBelowBytes) < fullBelowBytes;
}

/** undefined when the file system does not say: the directory is gone. */
function freeBytes(dir: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(dir);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
