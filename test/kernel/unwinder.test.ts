// The unwinder in the kernel against programs without frame pointers: each stack that it calls complete
// must have the shape that the program is known to have, and nearly all must be complete.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import * as wire from '../../bpf/generated/wire.js';
import { stackEndText } from '../../collector/pipeline/stack-ends.js';
import { buildFixture, skipWithoutBpf, sleep } from './probe-support.js';
import { framesOf, functionFinder, Sampler, withChild, type Run, type Sample } from './sampler-run.js';
import { TableServer } from './table-server.js';

const { FkStackEnd } = wire;
const flags = ['-O2', '-fomit-frame-pointer', '-fno-optimize-sibling-calls', '-no-pie', '-pthread'];
/** Until the tables that a program needs are there. */
const warmUpMs = 500;

const recursion = '(spin (deep ){20}by_recursion |(deep ){0,20}by_recursion |)main ';
/** Functions of the program, leaf first; what lies outside it has no name. */
const shapes: Readonly<Record<string, string>> = {
  recursion,
  alloca: '(spin (varying ){5}by_alloca |(varying ){0,5}by_alloca |)main ',
  realign: '(spin (realigned ){3}by_realign |(realigned ){0,3}by_realign |)main ',
  qsort: '((compare )?by_qsort )?main ',
  signals: `((spin )?on_signal )?${recursion}`,
  altstack: `((spin )?on_signal )?${recursion}`,
  threads: '((spin )?task )?thread_main (main )?',
  fork: recursion,
  exec: recursion,
};

/** Not the program's own: what follows _init are PLT entries. */
const foreign = ['outside', '_start', '_init'];

/** Names of the frames that lie in the program, leaf first, each with a space behind it. */
function chainOf({ user }: Sample, nameOf: (address: bigint) => string): string {
  const names = framesOf(user).map((word, i) => nameOf(i === 0 ? word : word - 1n));
  return names.filter((name) => !foreign.includes(name)).map((name) => `${name} `).join('');
}

/** Every complete stack is right, and so many are complete. */
function assertStacks(samples: readonly Sample[], chain: (sample: Sample) => string, grammar: string): void {
  const isRight = new RegExp(`^${grammar}$`);
  const weights = new Map<string, number>();
  for (const sample of samples) {
    const isComplete = sample.user?.end === FkStackEnd.FK_END_COMPLETE;
    const reason = sample.user ? stackEndText(sample.user.end) : `none: ${sample.key.user_stack}`;
    const verdict = !isComplete ? reason : isRight.test(chain(sample)) ? 'right' : `wrong: ${chain(sample)}`;
    weights.set(verdict, (weights.get(verdict) ?? 0) + sample.weight);
  }
  const text = [...weights].map(([verdict, weight]) => `${weight} ${verdict}`).join('; ');
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  assert.ok(total > 50, `${total} samples`);
  assert.ok(![...weights.keys()].some((verdict) => verdict.startsWith('wrong')), text);
  assert.ok((weights.get('right') ?? 0) >= 0.99 * total, text);
}

function ofProcess(run: Run, tgid: number): Sample[] {
  return run.samples.filter((s) => s.key.incarnation.tgid === tgid);
}

/** Of a process: itself, or its only child. */
function workingTgid(tgid: number): number {
  const children = readFileSync(`/proc/${tgid}/task/${tgid}/children`, 'utf8').trim();
  return children === '' ? tgid : Number(children);
}

let sampler: Sampler;
let server: TableServer;
before(() => {
  if (skipWithoutBpf !== false) return;
  sampler = new Sampler();
  server = new TableServer(sampler.probe);
  sampler.start();
});
after(() => {
  server?.close();
  sampler?.close();
});

/** Sampled for a second, once the tables are there. */
async function sampleProcess(tgid: number): Promise<Sample[]> {
  await sampler.take();
  await sleep(1000);
  return ofProcess(await sampler.take(), tgid);
}

for (const [shape, grammar] of Object.entries(shapes)) {
  test(`without frame pointers: ${shape}`, { skip: skipWithoutBpf }, async () => {
    const program = buildFixture('known-shapes.c', ...flags);
    const nameOf = functionFinder(program);
    await withChild(program, [shape], async (child) => {
      await sleep(warmUpMs);
      const tgid = workingTgid(child.pid!);
      try {
        const samples = await sampleProcess(tgid);
        assertStacks(samples, (sample) => chainOf(sample, nameOf), grammar);
      } finally {
        if (tgid !== child.pid) process.kill(tgid, 'SIGKILL');
      }
    });
  });
}
