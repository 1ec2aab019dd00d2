// Kernel addresses: kallsyms, and what KSYMBOL records tell in between.

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

//   time -->   prog_a |-----------|            address range of both: 0x200000
//   look             a      a        a  b      the dead keep their name until their range is taken
//   prog_b                             |---
test('programs that come and go between two looks', () => {
  writeFileSync(path, 'ffffffff81000000 T start\n');
  const kernel = new KernelSymbols(path);
  const address = base + 0x200000;
  const a = { name: 'bpf_prog_a', address, sizeBytes: 64 };
  assert.equal(label(kernel.at(address)), 'no-match [kernel] ffff81200000');
  kernel.apply({ ...a, isRegistered: true });
  assert.equal(label(kernel.at(address + 63)), 'bpf_prog_a [bpf]');
  assert.equal(label(kernel.at(address + 64)), 'no-match [kernel] ffff81200000');
  kernel.apply({ ...a, isRegistered: false });
  assert.equal(label(kernel.at(address + 63)), 'bpf_prog_a [bpf]');
  kernel.apply({ name: 'bpf_prog_b', address: address + 32, sizeBytes: 64, isRegistered: true });
  assert.equal(label(kernel.at(address + 33)), 'bpf_prog_b [bpf]');
  assert.equal(label(kernel.at(address)), 'no-match [kernel] ffff81200000');
});

test('reading again brings new modules, and drops the dead whose place is taken', () => {
  writeFileSync(path, 'ffffffff81000000 T start\n');
  const kernel = new KernelSymbols(path);
  const start = kernel.at(base);
  kernel.apply({ name: 'bpf_prog_dead', address: base + 0x200000, sizeBytes: 64, isRegistered: false });
  kernel.apply({ name: 'bpf_prog_dead2', address: base + 0x300000, sizeBytes: 64, isRegistered: false });
  writeFileSync(path, 'ffffffff81000000 T start\nffffffff81200000 t fresh\t[mod]\n');
  kernel.reload();
  assert.equal(label(kernel.at(base + 0x200001)), 'fresh [mod]');
  assert.equal(label(kernel.at(base + 0x300001)), 'bpf_prog_dead2 [bpf]');
  assert.equal(kernel.at(base), start);
  writeFileSync(path, '');
  kernel.reload();
  assert.equal(label(kernel.at(base + 0x200001)), 'fresh [mod]');
});

test('more programs than the limit: the dead go first', () => {
  writeFileSync(path, 'ffffffff81000000 T start\n');
  const kernel = new KernelSymbols(path);
  const at = (i: number): number => base + 0x200000 + i * 64;
  for (let i = 0; i < 4097; i++) {
    kernel.apply({ name: `bpf_prog_${i}`, address: at(i), sizeBytes: 64, isRegistered: i !== 0 });
  }
  assert.equal(kernel.at(at(0)).reason, 'no-match');
  assert.equal(kernel.at(at(4096)).name, 'bpf_prog_4096');
  kernel.apply({ name: 'bpf_prog_over', address: at(5000), sizeBytes: 64, isRegistered: true });
  assert.equal(kernel.at(at(5000)).reason, 'no-match');
});
