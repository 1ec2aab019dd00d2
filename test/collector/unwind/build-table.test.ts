// What each call frame instruction becomes, from assembly that says which; where the information may stand in
// a file.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closeFile } from '../../../collector/symbols/file-reader.js';
import { openVdso } from '../../../collector/symbols/vdso.js';
import { findRule } from '../../../collector/unwind/blocks.js';
import type { TableReason, UnwindTable } from '../../../collector/unwind/build-table.js';
import { buildTable, defaultFileLimits } from '../../../collector/unwind/build-table.js';
import { decodeRule, ruleText } from '../../../collector/unwind/x86-64-rule.js';
import type { ElfFile } from '../../../elf/elf-file.js';
import { codeRanges } from '../../../elf/code-ranges.js';
import { readElf, readerOf } from '../../../elf/elf-file.js';
import { compareWithReadelf, tableOf } from './oracle.js';

/** 128 bytes a function, 16 a row; `.text 1` is laid behind `.text 0`, so that the FDEs are not in order. */
const source = `
  .macro fn name
    .p2align 7, 0xcc
    \\name: .cfi_startproc
    .skip 16, 0x90
  .endm
  .macro done
    .skip 16, 0x90
    .cfi_endproc
  .endm
  .text 1
  fn framed
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    .skip 16, 0x90
    .cfi_def_cfa_register %rbp
    .cfi_remember_state
    .skip 16, 0x90
    .cfi_restore %rbp
    .cfi_def_cfa %rsp, 8
    .skip 16, 0x90
    .cfi_restore_state
  done
  .text 0
  fn realigned
    .cfi_escape 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0
    .skip 16, 0x90
    .cfi_escape 0x0f, 5, 0x77, 24, 0x06, 0x23, 8
    .cfi_restore %rbp
    .skip 16, 0x90
    .cfi_def_cfa %r10, 0
  done
  fn fork_like
    .cfi_def_cfa_offset 0
    .cfi_register %rip, %rdi
  done
  .p2align 7, 0xcc
  outermost: .cfi_startproc
    .cfi_undefined %rip
  done
  .p2align 7, 0xcc
  restorer: .cfi_startproc
    .cfi_signal_frame
  done
  fn unusual
    .cfi_def_cfa_offset 12
    .skip 16, 0x90
    .cfi_def_cfa_offset 16
    .cfi_register %rbp, %rax
    .skip 16, 0x90
    .cfi_undefined %rbp
    .skip 16, 0x90
    .cfi_escape 0x0b
  done
  fn lengthy
    .skip 284, 0x90
    .cfi_def_cfa_offset 24
    .skip 70000, 0x90
    .cfi_def_cfa_offset 32
  done
  .section .plt.sec, "ax"
  .skip 32, 0x90
`;

let folder = '';
let path = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flamekeeper-unwind-'));
  path = join(folder, 'a.so');
  writeFileSync(join(folder, 'a.s'), source);
  execFileSync('clang', ['-shared', '-nostdlib', '-Wl,--eh-frame-hdr', '-o', path, join(folder, 'a.s')]);
});

after(() => rmSync(folder, { recursive: true, force: true }));

function build(
  bytes: Uint8Array,
  change: (file: ElfFile) => ElfFile = (file) => file,
): UnwindTable | { reason: TableReason } {
  const file = readElf(readerOf(bytes));
  assert.ok(!('reason' in file));
  return buildTable(readerOf(bytes), change(file), defaultFileLimits);
}

function tableFor(bytes: Uint8Array, change?: (file: ElfFile) => ElfFile): UnwindTable {
  const table = build(bytes, change);
  assert.ok(!('reason' in table), JSON.stringify(table));
  return table;
}

/** Addresses of the labels, as nm prints them. */
function labels(): Map<string, number> {
  const lines = execFileSync('nm', [path], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  return new Map(lines.map(([address, , name]) => [name!, Number.parseInt(address!, 16)]));
}

function rulesOf(table: UnwindTable, name: string, offsets: readonly number[]): string[] {
  const start = labels().get(name)!;
  return offsets.map((offset) => ruleText(decodeRule(findRule(table, start + offset - table.base))));
}

test('instructions become rules', () => {
  const table = tableFor(readFileSync(path));
  const every16 = [0, 16, 32, 48, 64, 79];
  assert.deepEqual(rulesOf(table, 'framed', every16), [
    'CFA rsp+8',
    'CFA rsp+16, rbp at CFA-16',
    'CFA rbp+16, rbp at CFA-16',
    'CFA rsp+8',
    'CFA rbp+16, rbp at CFA-16',
    'CFA rbp+16, rbp at CFA-16',
  ]);
  assert.deepEqual(rulesOf(table, 'realigned', every16.slice(0, 4)), [
    'CFA rsp+8',
    'CFA *(rbp-8)+0, rbp at rbp+0',
    'CFA *(rsp+24)+8',
    'CFA r10+0',
  ]);
  assert.deepEqual(rulesOf(table, 'fork_like', [15, 16]), ['CFA rsp+8', 'CFA rsp+0, RA in rdi']);
  assert.deepEqual(rulesOf(table, 'outermost', [0, 15, 127]), [
    'outermost frame',
    'outermost frame',
    'nothing known',
  ]);
  assert.deepEqual(rulesOf(table, 'restorer', [0, 15]), ['signal frame', 'signal frame']);
  assert.deepEqual(rulesOf(table, 'unusual', every16), [
    'CFA rsp+8',
    'cannot be expressed',
    'cannot be expressed',
    'CFA rsp+16, rbp lost',
    'cannot be expressed',
    'cannot be expressed',
  ]);
  assert.deepEqual(rulesOf(table, 'lengthy', [299, 300, 70_299, 70_300]), [
    'CFA rsp+8',
    'CFA rsp+24',
    'CFA rsp+24',
    'CFA rsp+32',
  ]);
});

test('code of the linker without information has just been called', () => {
  const stubs = (readElf(readerOf(readFileSync(path))) as ElfFile).sections.find(
    (s) => s.name === '.plt.sec',
  )!;
  const table = tableFor(readFileSync(path));
  const rules = [0, 31].map((offset) =>
    ruleText(decodeRule(findRule(table, stubs.address + offset - table.base))),
  );
  assert.deepEqual(rules, ['CFA rsp+8', 'CFA rsp+8']);
});

test('without section headers the program header leads to the same functions', () => {
  const bytes = readFileSync(path);
  const withSections = tableFor(bytes, (file) => ({
    ...file,
    sections: file.sections.filter((s) => s.name === '.eh_frame'),
  }));
  bytes.writeBigUInt64LE(0n, 40);
  bytes.writeUInt16LE(0, 60);
  assert.deepEqual(tableFor(bytes), withSections);
});

test('a terminator in front of the entries, and an unusual section type, change nothing', () => {
  const bytes = readFileSync(path);
  const table = tableFor(bytes);
  // Four bytes earlier: what lies before the section is zero after this.
  const changed = tableFor(bytes, (file) => ({
    ...file,
    sections: file.sections.map((section) => {
      if (section.name !== '.eh_frame') return section;
      bytes.fill(0, section.offset - 4, section.offset);
      const { address, offset, sizeBytes } = section;
      return {
        ...section,
        type: 0x70000001,
        address: address - 4,
        offset: offset - 4,
        sizeBytes: sizeBytes + 4,
      };
    }),
  }));
  assert.deepEqual(changed, table);
});

test('what has no table has a reason', () => {
  const bytes = readFileSync(path);
  const reasonFor = (change: (file: ElfFile) => ElfFile): string => JSON.stringify(build(bytes, change));
  assert.match(
    reasonFor((file) => ({ ...file, machine: 183 })),
    /unsupported-machine/,
  );
  assert.match(
    reasonFor((file) => ({ ...file, segments: [] })),
    /no-code/,
  );
  assert.match(
    reasonFor((file) => ({ ...file, sections: [], segments: file.segments.filter((s) => s.type === 1) })),
    /no-unwind-information/,
  );
  assert.match(
    reasonFor((file) => ({
      ...file,
      segments: file.segments.map((s) => ({ ...s, fileSizeBytes: 2 ** 33 })),
    })),
    /over-budget/,
  );
  assert.deepEqual(buildTable(readerOf(bytes), readElf(readerOf(bytes)) as ElfFile, { maxBytes: 4095 }), {
    reason: 'over-budget',
  });
});

test("the kernel's own code in this process, the vDSO, has a table that readelf agrees with", async () => {
  const opened = openVdso();
  assert.ok('fd' in opened);
  const image = Buffer.alloc(8192);
  const length = readSync(opened.fd, image, 0, image.length, opened.origin!);
  closeFile(opened.fd);
  const copy = join(folder, 'vdso');
  writeFileSync(copy, image.subarray(0, length));
  const loaded = tableOf(copy);
  assert.ok(!('reason' in loaded), JSON.stringify(loaded));
  const { rows, identical, wrong } = await compareWithReadelf(copy, loaded);
  assert.deepEqual(wrong, []);
  assert.ok(rows > 10 && identical === rows, `${identical} of ${rows}`);
});

//   known | builtins of V8 | known        the builtins have no call frame information, but these symbols
test('the builtins of V8 keep a frame pointer', () => {
  const withSymbols = `
    .text
    before: .cfi_startproc
    .skip 64, 0x90
    .cfi_endproc
    v8_Default_embedded_blob_code_: .skip 1 << 20, 0x90
    behind: .cfi_startproc
    .skip 64, 0x90
    .cfi_endproc
    .section .rodata
    .p2align 2
    v8_Default_embedded_blob_code_size_: .long 1 << 20
  `;
  const large = join(folder, 'v8.so');
  writeFileSync(join(folder, 'v8.s'), withSymbols);
  execFileSync('clang', ['-shared', '-nostdlib', '-o', large, join(folder, 'v8.s')]);
  const bytes = readFileSync(large);
  const rulesIn = (table: UnwindTable) => {
    const start = codeRanges(readElf(readerOf(bytes)) as ElfFile)[0]!.start - table.base;
    const places = [0, 63, 64, 64 + 2 ** 20 - 1, 64 + 2 ** 20];
    return places.map((place) => ruleText(decodeRule(findRule(table, start + place))));
  };
  const [known, builtin] = ['CFA rsp+8', 'frame pointer'];
  assert.deepEqual(rulesIn(tableFor(bytes)), [known, known, builtin, builtin, known]);
  const stripped = (file: ElfFile) => ({ ...file, sections: file.sections.filter(({ name }) => name !== '.symtab') });
  assert.deepEqual(rulesIn(tableFor(bytes, stripped)), [known, known, 'nothing known', 'nothing known', known]);
  // A size that leads out of the code is cut.
  const sizeAt = bytes.indexOf(Buffer.from(Uint32Array.of(2 ** 20).buffer), 0x1000);
  bytes.writeUInt32LE(0xffffffff, sizeAt);
  assert.deepEqual(rulesIn(tableFor(bytes)).slice(0, 4), [known, known, builtin, builtin]);
});

//   other | _start _dl_start_user | next        as in the dynamic linker, whose entry has no information
test('a stack ends at the entry, where the file says nothing of it', () => {
  const text = (entry: string) => `
    .text
    .cfi_startproc
    .skip 64, 0x90
    .cfi_endproc
    .globl _start
    _start: ${entry}
    .cfi_startproc
    .skip 64, 0x90
    .cfi_endproc
    .skip 400, 0x90
  `;
  const rulesOfEntry = (entry: string) => {
    writeFileSync(join(folder, 'entry.s'), text(entry));
    const program = join(folder, 'entry');
    execFileSync('clang', ['-static', '-nostdlib', '-o', program, join(folder, 'entry.s')]);
    const bytes = readFileSync(program);
    const start = (readElf(readerOf(bytes)) as ElfFile).entryAddress;
    const table = tableFor(bytes);
    return [-1, 0, 31, 32, 95, 96].map((place) => ruleText(decodeRule(findRule(table, start + place - table.base))));
  };
  const [called, end, nothing] = ['CFA rsp+8', 'outermost frame', 'nothing known'];
  assert.deepEqual(rulesOfEntry('.skip 32, 0x90'), [called, end, end, called, called, nothing]);
  const known = '.cfi_startproc\n .cfi_def_cfa_offset 24\n .skip 32, 0x90\n .cfi_endproc';
  assert.deepEqual(rulesOfEntry(known), [called, 'CFA rsp+24', 'CFA rsp+24', called, called, nothing]);
});
