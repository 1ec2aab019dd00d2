// The types of a probe's compiled object: what its records, keys and values look like. (front)

import { readFileSync } from 'node:fs';
import type { Btf } from '../../elf/btf.js';
import { parseBtf } from '../../elf/btf.js';
import { readElf, readerOf, readSection } from '../../elf/elf-file.js';
import { assert } from '../../storage/model/errors.js';

const MAX_BTF_BYTES = 1 << 24;

export function objectBtf(path: string): Btf {
  const read = readerOf(readFileSync(path));
  const elf = readElf(read);
  assert(!('reason' in elf), `${path} is an ELF object`);
  const section = elf.sections.find(({ name }) => name === '.BTF');
  const bytes = section === undefined ? undefined : readSection(read, section, MAX_BTF_BYTES);
  assert(bytes !== undefined, `${path} has a .BTF section`);
  const btf = parseBtf(bytes);
  assert(!('reason' in btf), `the BTF of ${path} can be read`);
  return btf;
}
