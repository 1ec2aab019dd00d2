// Kernel addresses by kallsyms.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KernelSymbols } from '../../../collector/symbols/kernel-symbols.js';
import type { FunctionInfo } from '../../../storage/model/frame.js';

const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-kernel-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'kallsyms');
const base = Number(BigInt.asIntN(64, 0xffffffff81000000n));

function label(fn: FunctionInfo): string {
  const start = fn.start === undefined ? '' : ` ${fn.start.toString(16)}`;
  return `${fn.name}${fn.reason ?? ''} ${fn.module.name}${start}`;
}

test('functions of the kernel and its modules, and pages where there is none', () => {
  writeFileSync(path, 'ffffffff81000000 T start\nffffffff81000800 D data\n'
    + 'ffffffff81100000 t hook\t[nf_tables]\n');
  const kernel = new KernelSymbols(path);
  assert.equal(label(kernel.at(base + 5)), 'start [kernel]');
  assert.equal(label(kernel.at(base + 0x100010)), 'hook [nf_tables]');
  assert.equal(label(kernel.at(base + 0x2345)), 'no-match [kernel] ffff81002000');
  assert.equal(label(kernel.at(-1)), 'no-match [kernel] fffffffff000');
  assert.equal(kernel.at(base + 5), kernel.at(base + 6));
  assert.equal(kernel.at(base + 0x2345), kernel.at(base + 0x2fff));
  assert.ok(kernel.keptBytes > 0);
});

test('hidden or missing kallsyms are a reason', () => {
  writeFileSync(path, '0000000000000000 T start\n');
  assert.equal(label(new KernelSymbols(path).at(base)), 'no-kernel-symbols [kernel] ffff81000000');
  const missing = new KernelSymbols(join(folder, 'missing'));
  assert.equal(label(missing.at(base)), 'no-kernel-symbols [kernel] ffff81000000');
});

test('reading again brings what was loaded since, and forgets what went', () => {
  writeFileSync(path, 'ffffffff81000000 T start\nffffffff81200000 t bpf_prog_a\t[bpf]\n');
  const kernel = new KernelSymbols(path);
  const start = kernel.at(base);
  assert.equal(label(kernel.at(base + 0x200001)), 'bpf_prog_a [bpf]');
  writeFileSync(path, 'ffffffff81000000 T start\nffffffff81200000 t fresh\t[mod]\n');
  assert.equal(label(kernel.at(base + 0x200001)), 'bpf_prog_a [bpf]');
  kernel.reload();
  assert.equal(label(kernel.at(base + 0x200001)), 'fresh [mod]');
  assert.equal(kernel.at(base), start);
  writeFileSync(path, '');
  kernel.reload();
  assert.equal(label(kernel.at(base + 0x200001)), 'fresh [mod]');
});
