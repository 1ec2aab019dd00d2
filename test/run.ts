// Runs the tests one file after the other, each in a process of its own, and ends with the runner's summary.
//   node dist/test/run.js              all but interop and kernels
//   node dist/test/run.js interop      what needs big outside tools
//   node dist/test/run.js kernels/     what boots other kernels
//   node dist/test/run.js storage/     only files whose path holds one of the arguments

import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const onRequest = ['interop/', 'kernels/'];
const fileTimeoutMs = 15 * 60_000;

function findTests(wanted: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) =>
      wanted.length === 0
        ? !onRequest.some((part) => name.startsWith(part))
        : wanted.some((part) => name.includes(part)),
    )
    .sort()
    .map((name) => join(folder, name));
}

const files = findTests(process.argv.slice(2));
if (files.length === 0) {
  console.error(
    `no test file below ${relative(process.cwd(), folder)} matches ${process.argv.slice(2).join(' ')}`,
  );
  process.exitCode = 1;
} else {
  process.env['NODE_OPTIONS'] = `${process.env['NODE_OPTIONS'] ?? ''} --enable-source-maps`.trim();
  const tests = run({ files, concurrency: 1, timeout: fileTimeoutMs });
  tests.on('test:fail', (failure) => {
    if (failure.todo === undefined || failure.todo === false) process.exitCode = 1;
  });
  tests.compose(new spec()).pipe(process.stdout);
}
