// The rule in TypeScript is the one that the C header declares.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockRows } from '../../../collector/unwind/blocks.js';
import { decodeRule, encodeRule, rbpRule, ruleKind } from '../../../collector/unwind/x86-64-rule.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('x86-64-rule');

/** Names and values of a C enum, in order; a value that is not written is the one before plus 1. */
function enumOf(header: string, name: string): Map<string, number> {
  const text = readFileSync(header, 'utf8').replace(/\/\*[^]*?\*\//g, '');
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(text)?.[1] ?? '';
  const values = new Map<string, number>();
  let next = 0;
  for (const [, constant, value] of body.matchAll(/(\w+)(?:\s*=\s*(\d+))?,/g)) {
    next = value === undefined ? next : Number(value);
    values.set(constant!, next++);
  }
  return values;
}

const camelCase = (constant: string): string =>
  constant.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

function named(values: Map<string, number>, prefix: string): Record<string, number> {
  return Object.fromEntries(
    [...values]
      .filter(([name]) => !name.endsWith('_MAX'))
      .map(([name, value]) => [camelCase(name.slice(prefix.length)), value]),
  );
}

const ruleHeader = 'bpf/include/arch/x86_64_rule.h';

test('kinds have the numbers of the header', () => {
  assert.deepEqual(named(enumOf(ruleHeader, 'fk_rule_kind'), 'FK_RULE_'), ruleKind);
  assert.deepEqual(named(enumOf(ruleHeader, 'fk_rule_rbp'), 'FK_RBP_'), rbpRule);
  assert.equal(enumOf('bpf/include/unwind_table.h', 'fk_unwind_table').get('FK_BLOCK_ROWS'), blockRows);
});

test('bits lie where the header says', () => {
  const layout = enumOf(ruleHeader, 'fk_rule_layout');
  const bit = (name: string): number => layout.get(`FK_RULE_${name}`)!;
  const signedField = (rule: number, shift: number, bits: number): number =>
    (rule << (32 - shift - bits)) >> (32 - bits);
  const wide = encodeRule({
    kind: ruleKind.rsp,
    offset: 65535 * 8,
    small: 0,
    rbp: rbpRule.lost,
    rbpOffset: -1024,
  })!;
  assert.equal(wide & ((1 << bit('KIND_BITS')) - 1), ruleKind.rsp);
  assert.equal((wide >>> bit('RBP_SHIFT')) & ((1 << bit('RBP_BITS')) - 1), rbpRule.lost);
  assert.equal(signedField(wide, bit('RBP_OFFSET_SHIFT'), bit('RBP_OFFSET_BITS')), -128);
  assert.equal(wide >>> bit('WIDE_SHIFT'), 65535);
  const split = encodeRule({
    kind: ruleKind.rspDeref,
    offset: -2048 * 8,
    small: 15 * 8,
    rbp: 0,
    rbpOffset: 0,
  })!;
  assert.equal((split >>> bit('SMALL_SHIFT')) & ((1 << bit('SMALL_BITS')) - 1), 15);
  assert.equal(split >> bit('OFFSET_SHIFT'), -2048);
});

test('what is encoded is decoded, or refused', () => {
  const kinds = fc.constantFrom(...Object.values(ruleKind));
  const rules = fc.record({
    kind: kinds,
    offset: fc.integer({ min: -70_000, max: 600_000 }),
    small: fc.integer({ min: -1, max: 130 }),
    rbp: fc.constantFrom(...Object.values(rbpRule)),
    rbpOffset: fc.integer({ min: -1100, max: 1100 }),
  });
  const fitting = rules.map((rule) => {
    const isWide = rule.kind === ruleKind.rsp || rule.kind === ruleKind.rbp;
    const isDeref = rule.kind === ruleKind.rspDeref || rule.kind === ruleKind.rbpDeref;
    const offset = isWide ? Math.abs(rule.offset % 65_536) * 8 : (rule.offset % 2048) * 8;
    const small = isWide ? 0 : (Math.abs(rule.small) % 16) * (isDeref ? 8 : 1);
    return { ...rule, offset: offset + 0, small, rbpOffset: (rule.rbpOffset % 128) * 8 + 0 };
  });
  fc.assert(
    fc.property(fitting, (rule) => {
      assert.deepEqual(decodeRule(encodeRule(rule)!), rule);
    }),
  );
  fc.assert(
    fc.property(rules, (rule) => {
      const encoded = encodeRule(rule);
      if (encoded === undefined) return;
      const { kind, offset, rbp, rbpOffset } = decodeRule(encoded);
      assert.deepEqual(
        { kind, offset, rbp, rbpOffset },
        { kind: rule.kind, offset: rule.offset, rbp: rule.rbp, rbpOffset: rule.rbpOffset },
      );
    }),
  );
});
