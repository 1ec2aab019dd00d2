// Broken files, made from real ones: bytes changed where the parsers look, and cut short. Tables built of
// them must be bounded, and nothing may be thrown; what they say of the file does not matter.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { buildTable } from '../../../collector/unwind/build-table.js';
import { readElf, readerOf } from '../../../elf/elf-file.js';

const maxBytes = 4 << 20;
const interesting = [0, 1, 0x7f, 0x80, 0xff];
const looked =
  /^\.(eh_frame|eh_frame_hdr|gopclntab|data\.rel\.ro\.gopclntab|go\.module|plt.*|symtab|strtab)$/;
const sectionHeaderBytes = 64;

/** Gives how long one build took, CPU ms, and fails when a table breaks its limits. */
export function hostileFiles(
  path: string,
  onBuilt: (cpuMs: number) => void = () => undefined,
): fc.IProperty<unknown> {
  const original = readFileSync(path);
  const file = readElf(readerOf(original));
  if ('reason' in file) throw new Error(`${path}: ${file.reason}`);
  const sectionHeaders = Number(original.readBigUInt64LE(40));
  const spans = [
    { offset: 0, sizeBytes: Math.min(1024, original.length) },
    { offset: sectionHeaders, sizeBytes: file.sections.length * sectionHeaderBytes },
    ...file.sections.filter((s) => looked.test(s.name) && s.sizeBytes > 0),
  ];
  const edit = fc.constantFrom(...spans).chain(({ offset, sizeBytes }) =>
    fc.record({
      at: fc.oneof(
        fc.integer({ min: offset, max: offset + Math.min(sizeBytes, 256) - 1 }),
        fc.integer({ min: offset, max: offset + sizeBytes - 1 }),
      ),
      values: fc.array(fc.oneof(fc.constantFrom(...interesting), fc.integer({ min: 0, max: 255 })), {
        minLength: 1,
        maxLength: 8,
      }),
    }),
  );
  const edits = fc.array(edit, { minLength: 1, maxLength: 24 });
  const length = fc.oneof(
    { weight: 9, arbitrary: fc.constant(original.length) },
    fc.integer({ min: 0, max: original.length }),
  );
  const bytes = Buffer.alloc(original.length);
  return fc.property(edits, length, (changes, end) => {
    original.copy(bytes);
    for (const { at, values } of changes) bytes.set(values.slice(0, bytes.length - at), at);
    const before = process.cpuUsage();
    const read = readerOf(bytes.subarray(0, end));
    const changed = readElf(read);
    if ('reason' in changed) return;
    const table = buildTable(read, changed, { maxBytes });
    const { user, system } = process.cpuUsage(before);
    onBuilt((user + system) / 1000);
    if ('reason' in table) return;
    if (table.blocks.length > maxBytes) throw new Error(`${table.rows} rows, ${table.blockCount} blocks`);
  });
}
