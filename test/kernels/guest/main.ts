// Runs in the guest: each NAME.guest.js of this folder with node's test runner, the results to
// the host.

import { appendFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { reportLine, type Report } from './report.js';

const line = '/dev/ttyS1';
const fileTimeoutMs = 10 * 60_000;
const folder = dirname(fileURLToPath(import.meta.url));
/** The kernel hands words of its command line that it does not know on to its first process. */
const wanted = process.env['GUEST_TESTS'] ?? '';
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.guest.js') && new RegExp(wanted).test(name))
  .sort();

function tell(report: Report): void {
  appendFileSync(line, reportLine(report));
}

const tests = run({
  files: files.map((name) => join(folder, name)),
  concurrency: 1,
  timeout: fileTimeoutMs,
});
tests.on('test:diagnostic', ({ message, nesting }) => {
  // The runner's own summary has no test around it.
  if (nesting > 0 || !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(message))
    tell({ kind: 'figure', text: message });
});
tests.on('test:pass', ({ name, skip, details }) => {
  if (skip === undefined || skip === false)
    tell({ kind: 'pass', name, seconds: details.duration_ms / 1000 });
  else tell({ kind: 'skip', name, reason: String(skip) });
});
tests.on('test:fail', ({ name, details }) => {
  tell({ kind: 'fail', name, error: inspect(details.error.cause ?? details.error) });
});
tests.on('end', () => tell({ kind: 'end' }));
tests.resume();
