// npm run gen: writes bpf/generated/wire.ts from the objects that the build has just compiled, and
// the slots' limits for the next build.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Btf } from '../../elf/btf.js';
import { parseBtf } from '../../elf/btf.js';
import { readElf, readSection, readerOf } from '../../elf/elf-file.js';
import { emitSlotLimits } from './emit-slots.js';
import { emitWire } from './emit.js';

export const generatedPath = 'bpf/generated/wire.ts';
export const slotLimitsPath = 'bpf/generated/slot_limits.h';

export interface CompiledProbe {
  readonly name: string;
  readonly btf: Btf;
}

const maxBtfBytes = 1 << 24;
const suffix = '.bpf.o';

/** The built objects, sorted by name. **Errors**: throws when there are
 *  none, or one cannot be read. */
export function readCompiledProbes(): CompiledProbe[] {
  const folder = new URL('../probes/', import.meta.url);
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(suffix))
    .sort();
  if (files.length === 0) {
    throw new Error(`no ${suffix} in ${fileURLToPath(folder)}: run npm run build`);
  }
  return files.map((file) => {
    return readCompiledProbe(file.slice(0, -suffix.length), readFileSync(new URL(file, folder)));
  });
}

function readCompiledProbe(name: string, bytes: Uint8Array): CompiledProbe {
  const read = readerOf(bytes);
  const elf = readElf(read);
  if ('reason' in elf) throw new Error(`${name}${suffix}: ${elf.reason}`);
  const section = elf.sections.find((s) => s.name === '.BTF');
  const btfBytes = section === undefined ? undefined : readSection(read, section, maxBtfBytes);
  if (btfBytes === undefined) throw new Error(`${name}${suffix} has no BTF`);
  const btf = parseBtf(btfBytes);
  if ('reason' in btf) throw new Error(`${name}${suffix}: ${btf.reason}`);
  return { name, btf };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(slotLimitsPath, emitSlotLimits());
  writeFileSync(generatedPath, emitWire(readCompiledProbes()));
}
