// Tables against readelf, row by row, on files of this host; `npm run bench:unwind` takes all of them.

import assert from 'node:assert/strict';
import { existsSync, realpathSync } from 'node:fs';
import { test } from 'node:test';
import { loadedFile } from '../../elf/files.js';
import { compareWithReadelf, tableOf } from './oracle.js';

const files = [
  loadedFile('libc.so'),
  loadedFile('ld-linux'),
  loadedFile('libstdc++'),
  loadedFile('libgcc_s'),
  ...['bash', 'perl', 'python3', 'openssl', 'rg'].map((name) => `/usr/bin/${name}`),
  '/usr/sbin/ldconfig',
  '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
]
  .filter((path) => existsSync(path))
  .map((path) => realpathSync(path));

for (const path of new Set(files)) {
  test(`${path} unwinds as readelf says`, async () => {
    const loaded = tableOf(path);
    assert.ok(!('reason' in loaded), JSON.stringify(loaded));
    const { rows, identical, unloaded, notEncoded, wrong } = await compareWithReadelf(path, loaded);
    assert.deepEqual(wrong, []);
    assert.equal(identical + notEncoded.length, rows);
    assert.ok(notEncoded.length <= 4 + rows / 10_000, notEncoded.join('\n'));
    assert.ok(rows > 10, `${rows} rows, ${unloaded} of code that is not loaded`);
  });
}
