// From a spike to its cause: a program that overcommits the host for 20 s within quiet minutes. `flame
// --around` has to find its windows, and to put its function first in the difference.

import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandPath } from '../test/support/daemon.js';
import { buildKnownProgram } from '../test/support/programs.js';
import { startDaemon, startProgram } from './observe.js';
import { printFigure, printNote, printTitle, readOptions } from './support.js';

const options = readOptions({ minutes: 10 }, { minutes: 2 });
const stressMs = 20_000;
/** So many on each CPU: one waits for all the others' turns. */
const programsACpu = 20;
const condition = 'runq p99 > 20ms';
const bucketMs = 10_000;

printTitle('around', options);
const daemon = await startDaemon([]);
const startMs = Date.now();
const quietMs = (options.minutes * 60_000 - stressMs) / 2;
await sleep(quietMs);
const stressStartMs = Date.now();
await overcommit();
const stressEndMs = Date.now();
await sleep(quietMs);

interface Answer {
  readonly held: readonly (readonly [string, string])[];
  readonly heldWindows: number;
  readonly restWindows: number;
  readonly rows: readonly { label: string; moduleName: string; self: number; selfBefore: number }[];
}

const from = new Date(startMs).toISOString();
const args = ['flame', '--around', condition, '--json', '--from', from, '--data', daemon.dir];
const { stdout, stderr } = spawnSync(process.execPath, [commandPath, ...args], {
  encoding: 'utf8',
  maxBuffer: 1 << 28,
});
if (stdout === '') throw new Error(stderr);
const answer = JSON.parse(stdout) as Answer;
const held = answer.held.flatMap(([heldFrom, heldTo]) => bucketsOf(Date.parse(heldFrom), Date.parse(heldTo)));
const stressed = bucketsOf(stressStartMs, stressEndMs);
const found = held.filter((bucket) => stressed.includes(bucket)).length;
printFigure('windows of 10 s wholly inside the stress, found', wholly(held), '', {
  atLeast: wholly(stressed),
});
printFigure('windows found that the stress did not touch', held.length - found, '', { atMost: 0 });
const place =
  answer.rows.findIndex(({ label, moduleName }) => label === 'spin' && moduleName === 'overcommit') + 1;
printFigure("place of the program's function in the difference", place, '', { atMost: place === 0 ? -1 : 1 });
for (const { label, moduleName, self, selfBefore } of answer.rows.slice(0, 3)) {
  printNote(`${moduleName} ${label}: ${self.toFixed(3)} CPUs, before ${selfBefore.toFixed(3)}`);
}
printNote(`${condition} held in ${answer.heldWindows} of ${answer.heldWindows + answer.restWindows} windows`);
process.exit();

async function overcommit(): Promise<void> {
  const program = buildKnownProgram('overcommit');
  const children = Array.from({ length: programsACpu * cpus().length }, () =>
    startProgram(program, [String(stressMs / 1000)]),
  );
  await sleep(stressMs);
  for (const child of children) child.kill('SIGKILL');
}

/** Numbers of the buckets that a time touches. */
function bucketsOf(fromMs: number, toMs: number): number[] {
  const first = Math.floor(fromMs / bucketMs);
  const last = Math.ceil(toMs / bucketMs) - 1;
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Of those that the stress fills from end to end. */
function wholly(buckets: readonly number[]): number {
  return buckets.filter((bucket) => {
    return bucket * bucketMs >= stressStartMs && (bucket + 1) * bucketMs <= stressEndMs;
  }).length;
}
