// Where answers go: standard output, whose reader may leave at any time, or a file that appears
// whole or not at all (written beside its place, then renamed).

import { unlinkSync } from 'node:fs';
import { open, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OperatingError } from '../storage/model/errors.js';

export type Chunks = Iterable<string | Buffer> | AsyncIterable<string | Buffer>;

/** Writing in pieces of this many characters keeps system calls few and memory flat. */
const batchLength = 64 * 1024;

/** Writes and waits while the reader is slow; false when the reader left before the end,
 *  which is no error. The stream needs a listener for `error` of its own (guardStreams).
 *  **Errors**: `output-failed`. */
export async function writeStream(stream: NodeJS.WritableStream, chunks: Chunks): Promise<boolean> {
  for await (const batch of inBatches(chunks)) {
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
      stream.write(batch, resolve);
    });
    if (error?.code === 'EPIPE' || error?.code === 'ERR_STREAM_DESTROYED') return false;
    if (error) {
      throw new OperatingError('output-failed', `cannot write the answer: ${error.message}`);
    }
  }
  return true;
}

export async function writeStdout(chunks: Chunks): Promise<boolean> {
  return writeStream(process.stdout, chunks);
}

/** Lines on standard error: what is said about an answer, not the answer. */
export async function writeStderr(lines: readonly string[]): Promise<void> {
  await writeStream(
    process.stderr,
    lines.map((line) => `${line}\n`),
  );
}

/** A reader that leaves must not end the process by an unheard `error`; writeStream
 *  hears of it by its callback. */
export function guardStreams(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** Writes the file whole, or leaves what was there. A path that is no regular file (/dev/stdout, a
 *  pipe) is written straight. Ctrl-C and SIGTERM remove what is half written. **Errors**:
 *  `output-failed`, naming the file. */
export async function writeFileWhole(path: string, chunks: Chunks): Promise<void> {
  try {
    if (await isSpecialFile(path)) await writeOnce(await open(path, 'w'), chunks);
    else await writeAndRename(path, chunks);
  } catch (error) {
    if (error instanceof OperatingError || (error as NodeJS.ErrnoException).code === undefined) {
      throw error;
    }
    throw new OperatingError('output-failed', `cannot write ${path}: ${(error as Error).message}`);
  }
}

async function isSpecialFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function writeAndRename(path: string, chunks: Chunks): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const file = await open(temporary, 'wx');
  const guard = removeOnSignal(temporary);
  try {
    await writeOnce(file, chunks);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  } finally {
    guard.release();
  }
}

async function writeOnce(file: FileHandle, chunks: Chunks): Promise<void> {
  try {
    for await (const batch of inBatches(chunks)) await file.appendFile(batch);
  } finally {
    await file.close();
  }
}

/** Until released, a signal that would end the process removes the file first. */
function removeOnSignal(path: string): { release(): void } {
  const onSignal = (signal: NodeJS.Signals) => {
    try {
      unlinkSync(path);
    } catch {
      // It was renamed or never made.
    }
    release();
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return { release };
}

async function* inBatches(chunks: Chunks): AsyncGenerator<string | Buffer> {
  let batch = '';
  for await (const chunk of chunks) {
    if (typeof chunk !== 'string') {
      if (batch !== '') yield batch;
      batch = '';
      yield chunk;
    } else if ((batch += chunk).length >= batchLength) {
      yield batch;
      batch = '';
    }
  }
  if (batch !== '') yield batch;
}
