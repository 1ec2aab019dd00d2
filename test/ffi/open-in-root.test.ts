// Paths that try to get out, to block, or to be something else than a file.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { openInRoot, type OpenResult } from '../../ffi/open-in-root.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('open-in-root');

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-root-'));
after(() => rmSync(folder, { recursive: true }));
const root = join(folder, 'root');
mkdirSync(join(root, 'bin'), { recursive: true });
writeFileSync(join(folder, 'secret'), 'outside');
writeFileSync(join(root, 'bin/tool'), 'inside');
symlinkSync('/bin/tool', join(root, 'absolute'));
symlinkSync('../../../../secret', join(root, 'climbing'));
symlinkSync('/proc/self/exe', join(root, 'magic'));
symlinkSync('loop', join(root, 'loop'));
execFileSync('mkfifo', [join(root, 'fifo')]);

function contentOf(result: OpenResult): string {
  if ('errno' in result) return result.errno;
  const text = readFileSync(result.fd, 'utf8');
  closeSync(result.fd);
  return text;
}
const read = async (path: string, rootPath = root) => contentOf(await openInRoot(rootPath, path));

test('inside is inside', async () => {
  assert.equal(await read('/bin/tool'), 'inside');
  assert.equal(await read('bin/../../../bin/tool'), 'inside');
  assert.equal(await read('/absolute'), 'inside');
});

test('outside, and what is no file, is an errno', async () => {
  assert.equal(await read('/climbing'), 'ENOENT');
  assert.equal(await read('/../secret'), 'ENOENT');
  assert.equal(await read('/nothing'), 'ENOENT');
  assert.equal(await read('/bin/tool/x'), 'ENOTDIR');
  assert.equal(await read('/bin'), 'EINVAL');
  assert.equal(await read('/fifo'), 'EINVAL');
  assert.equal(await read('/loop'), 'ELOOP');
  assert.equal(await read('/dev/null', '/'), 'EINVAL');
  assert.equal(await read('/proc/self/exe', '/'), 'ELOOP');
  assert.equal(await read('/bin/tool', join(folder, 'gone')), 'ENOENT');
  assert.equal(await read('/bin/tool', join(folder, 'secret')), 'ENOTDIR');
  assert.equal(await read('a\0b'), 'EINVAL');
  assert.equal(await read(''), 'ENOENT');
});

test('many at once: each is answered, no descriptor is left', async () => {
  const before = readdirSync('/proc/self/fd').length;
  const paths = Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? '/bin/tool' : '/no'));
  const results = await Promise.all(paths.map((path) => read(path)));
  assert.equal(results.filter((text) => text === 'inside').length, 500);
  assert.equal(results.filter((text) => text === 'ENOENT').length, 500);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('more than may wait are turned away', async () => {
  const results = await Promise.all(Array.from({ length: 5000 }, () => read('/nothing')));
  assert.ok(results.filter((text) => text === 'EAGAIN').length >= 800);
  assert.equal(await read('/bin/tool'), 'inside');
});

test('any path is answered', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ maxLength: 6000 }), async (path) => {
      const result = await openInRoot(root, path);
      if (!('fd' in result)) return assert.match(result.errno, /^E[A-Z]+$/);
      assert.ok(fstatSync(result.fd).isFile());
      closeSync(result.fd);
    }),
  );
});
