// All benches one after the other, each in a process of its own, and at the end their figures once more:
// name, value, target, ok or MISSED.
//
//   npm run bench                                       all, in about an hour
//   npm run bench -- --quick                            all, shorter: for a look, not for the record
//   npm run bench -- accounting daemon --seconds 30     some

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { atEnd } from './support.js';

const benches = [
  'symbols',
  'pprof',
  'store',
  'accounting',
  'kill',
  'unwind-cost',
  'unwind-truth',
  'unwind-churn',
  'overhead',
  'daemon',
  'checklist',
  'around',
  'host-readings',
  'export',
];
const verdict = /(ok|MISSED)$/;

/** Passes on what it prints; gives its lines with a verdict. */
async function run(
  bench: string,
  options: readonly string[],
): Promise<{ figures: string[]; isDone: boolean }> {
  const child = spawn(process.execPath, [pathOf(bench), ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  atEnd(() => child.kill('SIGTERM'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    process.stdout.write(chunk);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { figures: text.split('\n').filter((line) => verdict.test(line)), isDone: code === 0 };
}

function pathOf(bench: string): string {
  return fileURLToPath(new URL(`./${bench}.js`, import.meta.url));
}

const args = process.argv.slice(2);
const firstOption = args.findIndex((arg) => arg.startsWith('-'));
const wanted = firstOption === -1 ? args : args.slice(0, firstOption);
const options = firstOption === -1 ? [] : args.slice(firstOption);
const unknown = wanted.filter((name) => !benches.includes(name));
if (unknown.length > 0) {
  console.error(`there is no bench ${unknown.join(', ')}; there are ${benches.join(', ')}`);
  process.exit(2);
}
const summary: string[] = [];
for (const bench of benches) {
  if (wanted.length > 0 && !wanted.includes(bench)) continue;
  const { figures, isDone } = await run(bench, options);
  summary.push(bench, ...figures);
  if (isDone) continue;
  summary.push('  did not come to its end');
  process.exitCode = 1;
}
console.log(`\n${summary.join('\n')}`);
process.exit();
