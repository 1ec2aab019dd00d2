// npm run bench:unwind [-- FOLDER ...]: every row that readelf prints for every ELF file under /usr/bin and
// /usr/lib against our tables, at its first and last byte; Go's tables against the .debug_frame of programs
// built here; what building costs.

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRule } from '../collector/unwind/blocks.js';
import { decodeRule, ruleKind, ruleText } from '../collector/unwind/x86-64-rule.js';
import { compareWithReadelf, tableOf } from '../test/collector/unwind/oracle.js';
import { readelfRows } from '../test/collector/unwind/readelf-rows.js';

const warmRounds = 5;
const maxListed = 200;
const costlyFiles = /^(node|libjvm\.so|libLLVM[-.].*|libc\.so\.6|libcrypto\.so\.3)$/;

if (process.argv[2] === '--cost') printCost(process.argv[3]!);
else await main(process.argv.length > 2 ? process.argv.slice(2) : ['/usr/bin', '/usr/lib']);

async function main(folders: readonly string[]): Promise<void> {
  const readelf = execFileSync('readelf', ['--version'], { encoding: 'utf8' }).split('\n')[0]!;
  console.log(
    `${new Date().toISOString()}, ${cpus()[0]!.model} x ${cpus().length}, Linux ${release()}, ` +
      `node ${process.version}, ${readelf}`,
  );
  const files = elfFiles(folders);
  await compareAll(files);
  await compareGo();
  console.log('\nbuilding: CPU ms of the first in a new process, best of 5 more; bytes of blocks');
  for (const path of files.filter((file) => costlyFiles.test(basename(file)))) {
    process.stdout.write(execFileSync(process.execPath, [fileURLToPath(import.meta.url), '--cost', path]));
  }
}

async function compareAll(files: readonly string[]): Promise<void> {
  const total = { files: 0, rows: 0, identical: 0, unloaded: 0, bytes: 0 };
  const reasons = new Map<string, number>();
  const notEncoded: string[] = [];
  const wrong: string[] = [];
  for (const path of files) {
    const loaded = tableOf(path);
    if ('reason' in loaded) {
      reasons.set(loaded.reason, (reasons.get(loaded.reason) ?? 0) + 1);
      continue;
    }
    const result = await compareWithReadelf(path, loaded);
    total.files++;
    total.rows += result.rows;
    total.identical += result.identical;
    total.unloaded += result.unloaded;
    total.bytes += loaded.table.blocks.length;
    notEncoded.push(...result.notEncoded);
    wrong.push(...result.wrong);
  }
  const share = ((notEncoded.length / total.rows) * 100).toFixed(4);
  console.log(
    `${total.files} files, ${total.rows} rows of readelf: ` +
      `${total.identical} identical, ${wrong.length} wrong, ` +
      `${notEncoded.length} not encoded (${share} %), ${total.unloaded} of code that is not loaded; ` +
      `tables ${(total.bytes / 2 ** 20).toFixed(0)} MB`,
  );
  for (const [reason, count] of reasons) console.log(`  no table: ${count} files, ${reason}`);
  for (const sentence of wrong.slice(0, maxListed)) console.log(`  WRONG ${sentence}`);
  for (const sentence of notEncoded.slice(0, maxListed)) console.log(`  not encoded: ${sentence}`);
  if (wrong.length > 0) process.exitCode = 1;
}

/** Every ELF file once, whatever its names. */
function elfFiles(folders: readonly string[]): string[] {
  const seen = new Set<string>();
  const head = new Uint8Array(4);
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .filter((path) => {
        const { dev, ino } = statSync(path);
        if (seen.has(`${dev}:${ino}`)) return false;
        seen.add(`${dev}:${ino}`);
        const fd = openSync(path, 'r');
        const count = readSync(fd, head, 0, 4, 0);
        closeSync(fd);
        return count === 4 && Buffer.from(head).toString('latin1') === '\x7fELF';
      }),
  );
}

/** The linker writes the stack's depth twice: into Go's own table, and into .debug_frame. */
async function compareGo(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-go-'));
  const program = join(folder, 'main.go');
  const withC = join(folder, 'cgo.go');
  writeFileSync(program, 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n');
  writeFileSync(
    withC,
    'package main\n\n// static int twice(int x) { return 2 * x; }\nimport "C"\nimport "fmt"\n\n' +
      'func main() { fmt.Println(C.twice(4)) }\n',
  );
  try {
    console.log(`\n${execFileSync('go', ['version'], { encoding: 'utf8' }).trim()}`);
    for (const [name, file, cgo, mode] of [
      ['static', program, '0', 'exe'],
      ['PIE', program, '0', 'pie'],
      ['cgo', withC, '1', 'exe'],
      ['cgo PIE', withC, '1', 'pie'],
    ] as const) {
      const path = join(folder, 'program');
      execFileSync('go', ['build', `-buildmode=${mode}`, '-ldflags=-compressdwarf=false', '-o', path, file], {
        env: { ...process.env, CGO_ENABLED: cgo },
      });
      await compareGoProgram(name, path);
    }
  } catch (error) {
    console.log(`Go was not compared: ${(error as Error).message.split('\n')[0]}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compareGoProgram(name: string, path: string): Promise<void> {
  const loaded = tableOf(path);
  if ('reason' in loaded) throw new Error(`${name}: ${loaded.reason}`);
  const { table } = loaded;
  const other = new Map<string, number>();
  let identical = 0;
  for await (const row of readelfRows(path, '.debug_frame')) {
    for (const address of [row.start, row.end - 1]) {
      const rule = decodeRule(findRule(table, address - table.base));
      if (rule.kind === ruleKind.rsp && row.cfa === `rsp+${rule.offset}`) identical++;
      else {
        const text = rule.kind === ruleKind.rsp ? `WRONG ${row.cfa} but ${ruleText(rule)}` : ruleText(rule);
        other.set(text, (other.get(text) ?? 0) + 1);
      }
    }
  }
  const { wrong } = await compareWithReadelf(path, loaded);
  console.log(
    `  ${name}: ${table.rows} rows; of .debug_frame at both ends of each row ${identical} identical, ` +
      [...other].map(([text, count]) => `${count} ${text}`).join(', ') +
      `; of .eh_frame ${wrong.length} wrong`,
  );
}

function printCost(path: string): void {
  const rounds = Array.from({ length: 1 + warmRounds }, () => {
    const before = process.cpuUsage();
    const loaded = tableOf(path);
    const { user, system } = process.cpuUsage(before);
    const text =
      'reason' in loaded
        ? loaded.reason
        : `${loaded.table.rows} rows, ${loaded.table.blocks.length} bytes, ${loaded.table.levels} levels`;
    return { ms: (user + system) / 1000, text };
  });
  const [first, ...warm] = rounds;
  const warmMs = Math.min(...warm.map(({ ms }) => ms));
  const rssMb = (process.resourceUsage().maxRSS / 1024).toFixed(0);
  console.log(
    `  ${basename(path)}: first ${first!.ms.toFixed(0)} ms, then ${warmMs.toFixed(1)} ms; ${first!.text}; ` +
      `largest RSS ${rssMb} MB`,
  );
}
