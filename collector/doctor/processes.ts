// Processes whose stacks cannot be whole, and why: what they are made of says so before a sample does.

import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { codeRanges } from '../../elf/code-ranges.js';
import type { ElfFile } from '../../elf/elf-file.js';
import { readElf } from '../../elf/elf-file.js';
import { openSeen } from '../host/module-opener.js';
import { ModuleTable } from '../process/modules.js';
import { readProcess } from '../process/proc-files.js';
import { closeFile, fileReader } from '../symbols/file-reader.js';

/** More processes, or files, are not looked at. */
const MAX_PROCESSES = 8192;
const MAX_FILES = 4096;
const ELF_CLASS_AT = 4;
const ELF_CLASS_32 = 1;
/** `.eh_frame` is usually a tenth of the code. */
const MIN_FRAME_SHARE = 0.01;

export interface ProcessFacts {
  readonly is32Bit: boolean;
  readonly arguments: readonly string[];
  /** `NAME=value`; none where they may not be read. */
  readonly environment: readonly string[];
  /** Names of the files it has code of, and whether these say how their frames are left. */
  readonly files: readonly { readonly name: string; readonly saysFrames: boolean }[];
}

export interface ProcessGap {
  readonly pid: number;
  readonly comm: string;
  readonly problem: string;
  readonly remedy: string;
}

interface ProcessRule {
  /** What is wrong; undefined when nothing is. */
  readonly problem: (facts: ProcessFacts) => string | undefined;
  readonly remedy: string;
}

const rules: readonly ProcessRule[] = [
  {
    problem: ({ is32Bit }) => (is32Bit ? '32-bit program: its stacks are not walked' : undefined),
    remedy: 'Run a 64-bit build of it.',
  },
  {
    problem: (facts) =>
      facts.files.some(({ name }) => name === 'libjvm.so') && !keepsFramePointers(facts)
        ? 'Java without -XX:+PreserveFramePointer: compiled methods keep no frame pointer'
        : undefined,
    remedy: 'Start it with -XX:+PreserveFramePointer (JAVA_TOOL_OPTIONS does as well).',
  },
  {
    problem: ({ files }) =>
      files.some(({ name, saysFrames }) => /^(ld-musl-|libc\.musl-)/.test(name) && !saysFrames)
        ? 'musl libc without unwind information: stacks end inside libc'
        : undefined,
    remedy: 'Use an image with glibc, or a musl built with -fasynchronous-unwind-tables.',
  },
  {
    problem: ({ files }) => {
      const silent = files.filter(({ name, saysFrames }) => !saysFrames && !name.includes('musl'));
      if (silent.length === 0) return undefined;
      return `no unwind information in ${silent.map(({ name }) => name).join(', ')}`;
    },
    remedy: 'Build with -fasynchronous-unwind-tables, and do not strip .eh_frame.',
  },
];

/** What is wrong with one process, each with its remedy. */
export function gapsOf(facts: ProcessFacts): { problem: string; remedy: string }[] {
  return rules.flatMap(({ problem, remedy }) => {
    const found = problem(facts);
    return found === undefined ? [] : [{ problem: found, remedy }];
  });
}

function keepsFramePointers({ arguments: args, environment }: ProcessFacts): boolean {
  const options = environment.filter((text) => /^(JAVA_TOOL|JDK_JAVA|_JAVA)_OPTIONS=/.test(text));
  const last = [...options, ...args]
    .flatMap((text) => text.match(/-XX:[+-]PreserveFramePointer/g) ?? [])
    .at(-1);
  return last === '-XX:+PreserveFramePointer';
}

/** Those that this user may look at. Reads the headers of each file once. */
export async function findProcessGaps(): Promise<ProcessGap[]> {
  const modules = new ModuleTable(MAX_FILES);
  const saysFrames = new Map<number, boolean>();
  const gaps: ProcessGap[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)).slice(0, MAX_PROCESSES)) {
    const process = readProcess(Number(pid), () => 0);
    if (process === undefined) continue;
    const { tgid, comm, mappings = [] } = process;
    const files: { name: string; saysFrames: boolean }[] = [];
    for (const mapping of mappings) {
      const module = modules.intern(mapping);
      if (module.kind !== 'file') continue;
      let known = saysFrames.get(module.id);
      if (known === undefined) {
        const { start, limit } = mapping;
        known = await fileSaysFrames({ module, tgid, start, limit });
        saysFrames.set(module.id, known);
      }
      const { name } = module.module;
      if (!files.some((file) => file.name === name)) files.push({ name, saysFrames: known });
    }
    const facts = {
      is32Bit: is32Bit(tgid),
      arguments: textsOf(`/proc/${tgid}/cmdline`),
      environment: textsOf(`/proc/${tgid}/environ`),
      files,
    };
    for (const found of gapsOf(facts)) gaps.push({ pid: tgid, comm, ...found });
  }
  return gaps;
}

/** What cannot be read, or is no ELF file, is not complained of. */
async function fileSaysFrames(seen: Parameters<typeof openSeen>[0]): Promise<boolean> {
  const opened = await openSeen(seen);
  if ('reason' in opened) return true;
  try {
    const file = readElf(fileReader(opened.fd));
    return 'reason' in file || hasFrameInformation(file);
  } finally {
    closeFile(opened.fd);
  }
}

export function hasFrameInformation(file: ElfFile): boolean {
  if (file.sections.length === 0) return true;
  const codeBytes = codeRanges(file).reduce((sum, { start, end }) => sum + end - start, 0);
  const frame = file.sections.find(({ name }) => name === '.eh_frame');
  const isGo = file.sections.some(({ name }) => name.endsWith('.gopclntab'));
  return isGo || (frame?.sizeBytes ?? 0) >= codeBytes * MIN_FRAME_SHARE;
}

function is32Bit(pid: number): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/exe`, 'r');
    const head = Buffer.alloc(ELF_CLASS_AT + 1);
    readSync(fd, head);
    return head.readUInt32BE(0) === 0x7f454c46 && head[ELF_CLASS_AT] === ELF_CLASS_32;
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Texts that end with a NUL each. */
function textsOf(path: string): string[] {
  try {
    return readFileSync(path, 'latin1').split('\0');
  } catch {
    return [];
  }
}
