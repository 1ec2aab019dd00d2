// One fresh stack of a process, frame by frame: where it lies, what it is called, by which rule its
// caller is found, and why the stack ends there.

import type { Config } from '../../config/load.js';
import { codeSegments } from '../../elf/code-ranges.js';
import { readElf } from '../../elf/elf-file.js';
import { OperatingError } from '../../storage/model/errors.js';
import { functionLabel } from '../../storage/model/frame.js';
import { openSeen } from '../host/module-opener.js';
import { stackEndText } from '../pipeline/stack-ends.js';
import { ModuleTable } from '../process/modules.js';
import type { ModuleRef } from '../process/modules.js';
import { readProcess } from '../process/proc-files.js';
import type { ProcMapping } from '../process/proc-parse.js';
import { fileReader } from '../symbols/file-reader.js';
import { Symbolizer } from '../symbols/symbolizer.js';
import { openVdso } from '../symbols/vdso.js';
import { findRule } from '../unwind/blocks.js';
import { buildTable } from '../unwind/build-table.js';
import { decodeRule, ruleKind, ruleText } from '../unwind/x86-64-rule.js';
import type { FreshStack, StackEnd } from './process-sampler.js';
import { ProcessSampler } from './process-sampler.js';

const MAX_MODULES = 4096;
const COMPLETE = stackEndText(0);

export interface ExplainedFrame {
  readonly kind: 'kernel' | 'user';
  /** Canonical, as the kernel took it: a return address for all but the leaf. */
  readonly address: bigint;
  /** Path of the file; `[kernel]`; '' for memory without a file. */
  readonly mapping: string;
  /** In the file; undefined where there is none. */
  readonly fileOffset?: number;
  readonly function: string;
  /** How its caller is found. */
  readonly rule: string;
}

export interface Explanation {
  readonly pid: number;
  readonly comm: string;
  readonly tid: number;
  /** Stacks taken, by where they end. */
  readonly ends: Readonly<Record<string, number>>;
  /** Of the stack that is shown: one that is cut, where there is one. */
  readonly end: string;
  readonly frames: readonly ExplainedFrame[];
}

/** **Errors**: `usage` for a process that is not there; `no-sample` when it did not run in time; what
 *  loadProbe throws. */
export async function explainProcess(
  pid: number,
  config: Config,
  options: { readonly timeoutMs: number; readonly verbosity: number },
): Promise<Explanation> {
  const process = readProcess(pid, () => 0);
  if (process === undefined) throw new OperatingError('usage', `there is no process ${pid}`);
  const tids = process.threads.map(({ tid }) => tid);
  const sampler = await ProcessSampler.start(pid, tids, config, options.verbosity);
  let stacks: FreshStack[];
  try {
    stacks = await sampler.take(options.timeoutMs);
  } finally {
    sampler.close();
  }
  const ends: Record<string, number> = {};
  for (const stack of stacks) ends[endOf(stack)] = (ends[endOf(stack)] ?? 0) + stack.weight;
  const [shown] = stacks.sort(
    (a, b) => Number(endOf(a) === COMPLETE) - Number(endOf(b) === COMPLETE) || b.weight - a.weight,
  );
  if (shown === undefined) {
    const seconds = options.timeoutMs / 1000;
    throw new OperatingError('no-sample', `process ${pid} did not run for ${seconds} s`);
  }
  // Read again: what was mapped while it was sampled is there.
  const now = readProcess(pid, () => 0) ?? process;
  const explainer = new Explainer(pid, now.mappings ?? []);
  try {
    const kernel = (shown.kernel?.words ?? []).map((word, i) => explainer.kernel(word, i === 0));
    const user = shown.user === undefined ? [] : await explainer.user(shown.user);
    const { comm } = now;
    return { pid, comm, tid: shown.tid, ends, end: endOf(shown), frames: [...kernel, ...user] };
  } finally {
    explainer.close();
  }
}

function endOf({ user, kernel }: FreshStack): string {
  const isUserWhole = user === undefined || user.end === 0;
  return stackEndText((isUserWhole ? kernel?.end : user.end) ?? 0);
}

type RuleAt = (fileOffset: number) => { readonly text: string; readonly isSignal: boolean };

class Explainer {
  readonly #pid: number;
  readonly #mappings: readonly ProcMapping[];
  readonly #modules = new ModuleTable(MAX_MODULES);
  readonly #symbolizer = new Symbolizer();
  readonly #rules = new Map<number, RuleAt>();

  constructor(pid: number, mappings: readonly ProcMapping[]) {
    this.#pid = pid;
    this.#mappings = mappings;
  }

  kernel(address: number, isLeaf: boolean): ExplainedFrame {
    const fn = this.#symbolizer.kernel(isLeaf ? address : address - 1);
    return {
      kind: 'kernel',
      address: BigInt.asUintN(64, BigInt(address)),
      mapping: fn.module.name,
      function: functionLabel(fn),
      rule: "the kernel's own",
    };
  }

  async user({ words }: StackEnd): Promise<ExplainedFrame[]> {
    const frames: ExplainedFrame[] = [];
    let isExact = true;
    for (const address of words) {
      const { frame, isSignal } = await this.#userFrame(address, isExact ? address : address - 1);
      frames.push(frame);
      isExact = isSignal;
    }
    return frames;
  }

  close(): void {
    this.#symbolizer.close();
  }

  async #userFrame(
    address: number,
    place: number,
  ): Promise<{ readonly frame: ExplainedFrame; readonly isSignal: boolean }> {
    const mapping = this.#mappings.find((m) => m.start <= place && place < m.limit);
    const kind = 'user';
    const common = { kind, address: BigInt(address), mapping: mapping?.path ?? '' } as const;
    if (mapping === undefined) {
      const frame = { ...common, function: '[unknown]', rule: 'no executable mapping' };
      return { frame, isSignal: false };
    }
    const module = this.#modules.intern(mapping);
    if (module.kind !== 'file' && module.kind !== 'vdso') {
      const rule = 'frame pointer: code made at run time';
      return { frame: { ...common, function: '[anonymous]', rule }, isSignal: false };
    }
    const ruleAt = this.#rules.get(module.id) ?? (await this.#load(module, mapping));
    const fileOffset = place - mapping.start + (module.kind === 'vdso' ? 0 : mapping.fileOffset);
    const { text: rule, isSignal } = ruleAt(fileOffset);
    const fn = functionLabel(this.#symbolizer.user(module.id, fileOffset));
    return { frame: { ...common, fileOffset, function: fn, rule }, isSignal };
  }

  /** Opens the file, for its rules and its names. */
  async #load(module: ModuleRef, { start, limit }: ProcMapping): Promise<RuleAt> {
    const opened =
      module.kind === 'vdso'
        ? openVdso()
        : await openSeen({ module, tgid: this.#pid, start, limit });
    const ruleAt = 'fd' in opened ? rulesOf(opened) : noTable(opened.reason);
    // The symbolizer takes the descriptor over.
    this.#symbolizer.addModule({ id: module.id, module: module.module, opened });
    this.#rules.set(module.id, ruleAt);
    return ruleAt;
  }
}

function rulesOf({ fd, origin = 0 }: { readonly fd: number; readonly origin?: number }): RuleAt {
  const read = fileReader(fd, origin);
  const file = readElf(read);
  if ('reason' in file) return noTable(file.reason);
  const table = buildTable(read, file, { maxBytes: Infinity });
  if ('reason' in table) return noTable(table.reason);
  const segments = codeSegments(file);
  return (fileOffset) => {
    const segment = segments.find((s) => s.offset <= fileOffset && fileOffset < s.limit);
    if (segment === undefined) return { text: 'outside the code of its file', isSignal: false };
    const rule = decodeRule(findRule(table, fileOffset + segment.pcMinusOffset));
    return { text: ruleText(rule), isSignal: rule.kind === ruleKind.signal };
  };
}

function noTable(reason: string): RuleAt {
  const text = `frame pointer: no table (${reason.replaceAll('-', ' ')})`;
  return () => ({ text, isSignal: false });
}
