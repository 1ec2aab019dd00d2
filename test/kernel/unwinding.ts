// What tests of the unwinder share: one sampler with its tables, stacks as names, and the verdict on them.

import assert from 'node:assert/strict';
import { FkStackEnd } from '../../bpf/generated/wire.js';
import { stackEndText } from '../../collector/pipeline/stack-ends.js';
import { sleep } from './probe-support.js';
import { framesOf, Sampler, type Sample, type SamplerOptions } from './sampler-run.js';
import { until } from '../support/wait.js';
import { TableServer } from './table-server.js';

export const withoutFramePointers = [
  '-O2', '-fomit-frame-pointer', '-fno-optimize-sibling-calls', '-no-pie', '-pthread',
];
/** known-shapes.c, as a grammar of its stacks. */
export const recursion = '(spin (deep ){20}by_recursion |(deep ){0,20}by_recursion |)main ';
const roundMs = 100;
/** Fewer samples than this prove nothing. */
const leastSamples = 100;
/** Not the program's own: what follows _init are PLT entries. */
const foreign = ['outside', '_start', '_init'];

/** A sampler whose requests for tables are answered. */
export class Unwinding {
  readonly sampler: Sampler;
  readonly server: TableServer;

  constructor(options: SamplerOptions = {}) {
    this.sampler = new Sampler(options);
    this.server = new TableServer(this.sampler.probe);
    this.sampler.start();
  }

  /** Returns once a process is sampled, and the tables that its stacks need are there. */
  async warm(tgidOf: () => number): Promise<void> {
    let quiet = 0;
    await until(async () => {
      const samples = await this.#round(tgidOf(), roundMs);
      if (samples.some(({ user }) => user?.end === FkStackEnd.FK_END_NO_TABLE)) quiet = 0;
      else if (samples.length > 0) quiet++;
      return quiet >= 3;
    }, 'the program has its tables');
  }

  /** Of one process, over this time, and on until there are enough. */
  async sample(tgid: number, ms = 1000): Promise<Sample[]> {
    await this.sampler.take();
    const samples = await this.#round(tgid, ms);
    const weight = () => samples.reduce((sum, each) => sum + each.weight, 0);
    await until(async () => {
      if (weight() < leastSamples) samples.push(...(await this.#round(tgid, roundMs)));
      return weight() >= leastSamples;
    }, 'the program is sampled');
    return samples;
  }

  async #round(tgid: number, ms: number): Promise<Sample[]> {
    await sleep(ms);
    const { samples } = await this.sampler.take();
    return samples.filter((s) => s.key.incarnation.tgid === tgid);
  }

  close(): void {
    this.server.close();
    this.sampler.close();
  }
}

/** Names of the frames, leaf first, each with a space behind it. */
export function namesOf({ user }: Sample, nameOf: (address: bigint) => string): string[] {
  return framesOf(user).map((word, i) => nameOf(i === 0 ? word : word - 1n));
}

/** Those of the program itself, as one text. */
export function chainOf(sample: Sample, nameOf: (address: bigint) => string): string {
  return namesOf(sample, nameOf)
    .filter((name) => !foreign.includes(name))
    .map((name) => `${name} `)
    .join('');
}

/** The weight of each verdict: `right`, `wrong: CHAIN`, or why a stack is not complete. */
export function verdicts(
  samples: readonly Sample[],
  chain: (sample: Sample) => string,
  grammar: string,
): Map<string, number> {
  const isRight = new RegExp(`^${grammar}$`);
  const weights = new Map<string, number>();
  for (const sample of samples) {
    const isComplete = sample.user?.end === FkStackEnd.FK_END_COMPLETE;
    const reason = sample.user ? stackEndText(sample.user.end) : `none: ${sample.key.user_stack}`;
    const verdict = !isComplete ? reason : isRight.test(chain(sample)) ? 'right' : `wrong: ${chain(sample)}`;
    weights.set(verdict, (weights.get(verdict) ?? 0) + sample.weight);
  }
  return weights;
}

/** Every complete stack is right; at least `share` are complete. */
export function assertVerdicts(weights: ReadonlyMap<string, number>, share = 0.99): void {
  const text = [...weights].map(([verdict, weight]) => `${weight} ${verdict}`).join('; ');
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  assert.ok(total > 50, `${total} samples`);
  assert.ok(![...weights.keys()].some((verdict) => verdict.startsWith('wrong')), text);
  assert.ok((weights.get('right') ?? 0) >= share * total, text);
}
