// A table that a hostile file gave us: stacks through that file may be wrong, and nothing else. One
// process runs such a file while gdb checks the stacks of another one beside it, of the same
// libraries. What the kernel gets here is worse than a parser makes of any file: rules, block
// numbers and segments are random.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, statSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { FkLimit, FkStackEnd } from '../../bpf/generated/wire.js';
import type { FileQuestion, TableBuilt, FileIdentified } from '../../collector/messages.js';
import { answerQuestion } from '../../collector/unwind/file-tables.js';
import { skipReason } from '../support/bpf-fixture.js';
import { buildProgram } from '../support/programs.js';
import { stopOften } from '../support/truth.js';

const skip = skipReason() ?? false;
const stops = 25;
const blockWords = 1024;
const flags = ['-fomit-frame-pointer', '-pthread'];
const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);

type Answer = FileIdentified | TableBuilt;

/** Which words of the real table are replaced. */
interface Spoiling {
  readonly blocks: 'rules' | 'pcs' | 'all';
  readonly share: number;
  readonly levels: number;
  readonly hasSegments: boolean;
}

const spoilings = fc.record({
  blocks: fc.constantFrom('rules' as const, 'pcs' as const, 'all' as const),
  share: fc.constantFrom(0.05, 0.5, 1),
  levels: fc.constantFrom(0, 1, 2, 3, 0xffffffff),
  hasSegments: fc.boolean(),
});

/** What the hostile file's answers become. Kinds of rules are equally likely, operands any. */
function spoil(answer: Answer, how: Spoiling, word: () => number): Answer {
  if ('reason' in answer.result) return answer;
  if (answer.kind === 'file-identified') {
    if (how.hasSegments) return answer;
    const segments = answer.result.segments.map(({ offset, limit }) => {
      return { offset, limit, pcMinusOffset: (word() - 2 ** 31) * 2 ** (word() % 20) };
    });
    return { ...answer, result: { ...answer.result, segments } };
  }
  const blocks = answer.result.blocks.slice();
  const words = new Uint32Array(blocks.buffer);
  for (let i = 0; i < words.length; i++) {
    const isPc = i % blockWords < blockWords / 2;
    const isMeant = how.blocks === 'all' || isPc === (how.blocks === 'pcs');
    if (isMeant && word() < how.share * 2 ** 32) words[i] = word();
  }
  return { ...answer, result: { ...answer.result, blocks, levels: how.levels } };
}

test(`seed ${seed}: tables of a hostile file`, { skip }, async () => {
  const hostile = buildProgram('truth-stacks.c', 'truth-hostile', ['-O1', ...flags]);
  const honest = buildProgram('truth-stacks.c', 'truth-honest', ['-O2', ...flags]);
  const { ino } = statSync(hostile);
  const run = async (how: Spoiling, randomSeed: number) => {
    const anyWord = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const random = fc.sample(anyWord, { seed: randomSeed, numRuns: 65_521 });
    let at = 0;
    let spoiled = 0;
    const answer = (question: FileQuestion, maxBytes: number): Answer => {
      const isHostile = fstatSync(question.fd).ino === ino;
      const real = answerQuestion(question, maxBytes);
      if (!isHostile) return real;
      spoiled++;
      return spoil(real, how, () => random[at++ % random.length]!);
    };
    const victim = spawn(honest, ['signals']);
    const attacker = spawn(hostile, ['signals']);
    try {
      await Promise.all([once(victim, 'spawn'), once(attacker, 'spawn')]);
      const options = { samples: 4096, neighbour: attacker.pid!, answer };
      const found = await stopOften(victim.pid!, stops, options);
      assert.equal(spoiled, 2, 'the file was identified, and its table built');
      return found;
    } finally {
      attacker.kill('SIGKILL');
      victim.kill('SIGKILL');
    }
  };
  let hostileSamples = 0;
  let cut = 0;
  const worst: Spoiling = { blocks: 'all', share: 1, levels: 1, hasSegments: true };
  const rounds = fc.sample(fc.tuple(spoilings, fc.nat()), { seed, numRuns: 2 });
  for (const [how, randomSeed] of [[worst, seed] as const, ...rounds]) {
    const found = await run(how, randomSeed);
    for (const { verdict, sample } of found.stops) {
      if (verdict === 'moved' || verdict === 'no-truth') continue;
      assert.equal(verdict, 'identical', `${JSON.stringify(how)}: the other's stacks are right`);
      assert.equal(sample.end, FkStackEnd.FK_END_COMPLETE);
    }
    for (const { pcs, pc, end } of found.neighbours) {
      assert.equal(pcs[0], pc, 'a stack begins where its thread was');
      assert.ok(pcs.length <= FkLimit.FK_STACK_WORDS && end < FkStackEnd.FK_END_MAX);
      assert.ok(pcs.every((each) => each < 2 ** 47), 'a frame is a user address');
      if (end !== FkStackEnd.FK_END_COMPLETE) cut++;
    }
    hostileSamples += found.neighbours.length;
  }
  assert.ok(hostileSamples > 30, `${hostileSamples} stacks of the hostile file`);
  assert.ok(cut > 0, 'the tables did harm, to their own file');
});
