// npm run fuzz:unwind [-- SECONDS]: unwind tables of broken files, for that long a file (600 s). Go's table
// needs a Go program: one is built when `go` is installed.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { hostileFiles } from '../test/collector/unwind/hostile.js';

const seconds = Number(process.argv[2] ?? 600);
const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-fuzz-'));
console.log(`seed ${seed}, ${seconds} s a file`);
try {
  for (const path of [realpathSync('/usr/bin/ls'), ...goProgram()]) {
    let builds = 0;
    let worstMs = 0;
    const property = hostileFiles(path, (cpuMs) => {
      builds++;
      worstMs = Math.max(worstMs, cpuMs);
    });
    fc.assert(property, {
      seed,
      numRuns: Number.MAX_SAFE_INTEGER,
      interruptAfterTimeLimit: seconds * 1000,
      markInterruptAsFailure: false,
    });
    const rssMb = (process.resourceUsage().maxRSS / 1024).toFixed(0);
    console.log(
      `${path}: ${builds} tables, the slowest ${worstMs.toFixed(0)} ms CPU, largest RSS ${rssMb} MB`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function goProgram(): string[] {
  const path = join(folder, 'program');
  writeFileSync(join(folder, 'main.go'), 'package main\n\nfunc main() { println("hello") }\n');
  try {
    execFileSync('go', ['build', '-o', path, join(folder, 'main.go')], { stdio: 'inherit' });
    return [path];
  } catch {
    console.log('no Go: its table is not fuzzed');
    return [];
  }
}
