// Choosing hooks: a model says which of a random probe's hooks must be
// in use after random failures.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Hook } from '../../bpf/descriptor.js';
import { HookPlan } from '../../bpf/hook-plan.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('hook-plan');

const hook = (program: string, group?: string, isRequired = true): Hook => {
  return { program, attach: 'auto', isRequired, ...(group === undefined ? {} : { group }) };
};
const reason = 'the kernel says no';
const fail = (plan: HookPlan, program: string) => plan.fail({ program, errno: 'EINVAL', reason });
const names = (hooks: readonly { program: string }[]) => hooks.map(({ program }) => program);

test('the next of a group takes over', () => {
  const plan = new HookPlan([
    hook('a1', 'a'),
    hook('b'),
    hook('a2', 'a'),
    hook('c', undefined, false),
  ]);
  assert.deepEqual(names(plan.chosen()), ['a1', 'b', 'c']);
  fail(plan, 'a1');
  fail(plan, 'c');
  assert.deepEqual(names(plan.chosen()), ['b', 'a2']);
  assert.deepEqual(plan.fatal(), []);
  assert.deepEqual(plan.notes(), [
    'a1: EINVAL, the kernel says no',
    'c: EINVAL, the kernel says no',
  ]);
  fail(plan, 'a2');
  assert.deepEqual(names(plan.fatal()), ['a1', 'a2']);
});

test('after failures: one of each group, all without a group, fatal only what is required', () => {
  const hooks = fc.uniqueArray(
    fc.record({
      program: fc.string({ minLength: 1, maxLength: 3 }),
      group: fc.constantFrom(undefined, 'x', 'y'),
      isRequired: fc.boolean(),
    }),
    { selector: ({ program }) => program, maxLength: 8 },
  );
  fc.assert(
    fc.property(hooks, fc.array(fc.nat(7)), (made, failures) => {
      const list = made.map(({ program, group, isRequired }) => hook(program, group, isRequired));
      const plan = new HookPlan(list);
      const failed = new Set(failures.flatMap((index) => list[index]?.program ?? []));
      for (const program of failed) fail(plan, program);
      const left = list.filter(({ program }) => !failed.has(program));
      const isFirst = (one: Hook) => left.find(({ group }) => group === one.group) === one;
      const wanted = left.filter((one) => one.group === undefined || isFirst(one));
      assert.deepEqual(plan.chosen(), wanted);
      const groups = left.map(({ group }) => group);
      const isCovered = (one: Hook) => one.group !== undefined && groups.includes(one.group);
      const fatal = list.filter(
        (one) => failed.has(one.program) && one.isRequired && !isCovered(one),
      );
      assert.deepEqual(names(plan.fatal()), names(fatal));
      assert.equal(plan.notes().length, failed.size);
    }),
  );
});
