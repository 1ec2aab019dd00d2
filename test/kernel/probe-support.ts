// What tests of our BPF programs share: the reason to skip, the compiled objects, C fixtures built in a
// temporary folder.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `skip` of tests that load BPF programs: false, or the sentence that says what is missing. */
export const skipWithoutBpf: string | false =
  process.getuid?.() !== 0 ? 'needs root: it loads BPF programs'
  : !existsSync('/sys/kernel/btf/vmlinux') ? 'needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)'
  : false;

export function objectPath(probe: string): string {
  return fileURLToPath(new URL(`../../bpf/probes/${probe}.bpf.o`, import.meta.url));
}

/** Builds test/fixtures/SOURCE with gcc; returns the program's path. */
export function buildFixture(source: string, ...flags: readonly string[]): string {
  const output = join(mkdtempSync(join(tmpdir(), 'flamekeeper-')), source.replace(/\.\w+$/, ''));
  execFileSync('gcc', [...flags, '-o', output, join('test/fixtures', source)]);
  return output;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
