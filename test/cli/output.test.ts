// Output: files appear whole or not at all, a reader that leaves is no error, a full disk is told.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, test } from 'node:test';
import { writeFileWhole, writeStream } from '../../cli/output.js';
import { OperatingError } from '../../storage/model/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-output-'));
after(() => rmSync(folder, { recursive: true }));
const outputModule = new URL('../../cli/output.js', import.meta.url).href;

function isOutputFailed(error: unknown): boolean {
  return error instanceof OperatingError && error.code === 'output-failed';
}

/** A module run by node, with its exit code and what it printed. */
async function runModule(
  text: string,
  onStart: (pid: number, stdout: NodeJS.ReadableStream) => void = () => undefined,
) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  onStart(child.pid!, child.stdout);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stderr };
}

test('a file is replaced by the whole new one, and nothing is left beside it', async () => {
  const path = join(folder, 'whole.txt');
  writeFileSync(path, 'before');
  await writeFileWhole(
    path,
    (async function* () {
      yield 'a'.repeat(100_000);
      yield Buffer.from('b');
      assert.equal(readFileSync(path, 'utf8'), 'before');
      yield 'c';
    })(),
  );
  assert.equal(readFileSync(path, 'utf8'), `${'a'.repeat(100_000)}bc`);
  assert.deepEqual(readdirSync(folder), ['whole.txt']);
});

test('a source that fails leaves the old file and nothing else', async () => {
  const path = join(folder, 'kept.txt');
  writeFileSync(path, 'before');
  const failing = async function* () {
    yield 'half';
    throw new Error('source');
  };
  await assert.rejects(writeFileWhole(path, failing()), /source/);
  assert.equal(readFileSync(path, 'utf8'), 'before');
  assert.equal(readdirSync(folder).filter((name) => name.endsWith('.tmp')).length, 0);
});

test('what cannot be written is told, with its name', async () => {
  const cases = [join(folder, 'none', 'x.svg'), folder, '/dev/full'];
  for (const path of cases) {
    await assert.rejects(
      writeFileWhole(path, ['x']),
      (error) => isOutputFailed(error) && String(error).includes(path),
    );
  }
});

test('a path that is no regular file is written straight', async () => {
  await writeFileWhole('/dev/null', ['x']);
  assert.ok(statSync('/dev/null').isCharacterDevice());
});

test('Ctrl-C removes what is half written, and still ends the process', async () => {
  const path = join(folder, 'ctrl', 'x.txt');
  mkdirSync(join(folder, 'ctrl'));
  const { signal } = await runModule(
    `
    import { writeFileWhole } from ${JSON.stringify(outputModule)};
    await writeFileWhole(${JSON.stringify(path)}, (async function* () {
      yield 'x'.repeat(1e6);
      console.log('half');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    })());
  `,
    (pid, stdout) =>
      stdout.once('data', () => {
        assert.equal(readdirSync(join(folder, 'ctrl')).length, 1);
        process.kill(pid, 'SIGINT');
      }),
  );
  assert.equal(signal, 'SIGINT');
  assert.deepEqual(readdirSync(join(folder, 'ctrl')), []);
});

test('a reader that leaves ends the writing without a word', async () => {
  const { code, stderr } = await runModule(
    `
    import { guardStreams, writeStdout } from ${JSON.stringify(outputModule)};
    guardStreams();
    const lines = function* () { for (;;) yield 'line\\n'; };
    process.exitCode = (await writeStdout(lines())) === false ? 0 : 3;
  `,
    (_, stdout) => stdout.once('data', () => (stdout as unknown as { destroy(): void }).destroy()),
  );
  assert.equal(stderr, '');
  assert.equal(code, 0);
});

test('a stream that fails otherwise is told', async () => {
  const broken = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })),
  });
  broken.on('error', () => undefined);
  await assert.rejects(writeStream(broken, ['x']), isOutputFailed);
});
