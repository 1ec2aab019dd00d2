// `flamekeeper explain`: a fresh stack of a process, frame by frame, and why it ends there.

import { Command } from 'commander';
import { parseDurationMs } from '../config/units.js';
import { groupDigits, printable } from '../exporters/formats/text.js';
import { OperatingError } from '../storage/model/errors.js';
import type { ExplainedFrame, Explanation } from '../collector/agent/explain.js';
import { formatReasons } from './format.js';
import { writeStdout } from './output.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { addGlobalOptions, loadSettings } from './settings.js';
import type { GlobalOptions } from './settings.js';

interface ExplainOptions extends GlobalOptions {
  readonly pid: string;
  readonly timeout: string;
}

const minTimeoutMs = 100;
const maxTimeoutMs = 600_000;

const columns: readonly Column[] = [
  { title: '#', align: 'right' },
  { title: 'address', align: 'right' },
  { title: 'function', align: 'left' },
  { title: 'its caller is found by', align: 'left' },
  { title: 'mapping', align: 'left' },
];

export function explainCommand(): Command {
  const command = new Command('explain')
    .description('a fresh stack of a process: each frame, its rule, and why the stack ends')
    .requiredOption('--pid <pid>', 'the process')
    .option('--timeout <duration>', 'how long to wait for it to run, 100ms to 10m', '5s');
  return addGlobalOptions(command)
    .action(explain)
    .addHelpText(
      'after',
      `
Samples the process itself for a moment, beside the daemon or without one; needs its rights. Of several
stacks one that is cut is shown.

Examples:
  flamekeeper explain --pid 1234
  flamekeeper explain --pid 1234 --timeout 1m --json`,
    );
}

async function explain(options: ExplainOptions): Promise<void> {
  const pid = /^[1-9]\d{0,9}$/.test(options.pid) ? Number(options.pid) : 0;
  if (pid === 0) throw new OperatingError('usage', `--pid ${options.pid} is no process id`);
  const timeoutMs = parseDurationMs(options.timeout) ?? 0;
  if (timeoutMs < minTimeoutMs || timeoutMs > maxTimeoutMs) {
    throw new OperatingError('usage', `--timeout ${options.timeout} is not from 100ms to 10m`);
  }
  const { config } = loadSettings({ ...options });
  const { explainProcess } = await import('../collector/agent/explain.js');
  const found = await explainProcess(pid, config, { timeoutMs, verbosity: options.verbose });
  const lines = options.json === true ? [explanationJson(found)] : explanationLines(found);
  await writeStdout(lines.map((line) => `${line}\n`));
}

/** Lines for people, without line ends. */
export function explanationLines({ pid, comm, tid, ends, end, frames }: Explanation): string[] {
  const total = Object.values(ends).reduce((sum, count) => sum + count, 0);
  return [
    printable(`${comm}[${pid}]: ${groupDigits(total)} stacks, ${formatReasons(ends)}`),
    `one of thread ${tid}, leaf first; it ends: ${end}`,
    ...renderTable(columns, frames.map(cells)),
  ];
}

function cells({ address, mapping, fileOffset, ...frame }: ExplainedFrame, i: number): string[] {
  const place = fileOffset === undefined ? mapping : `${mapping}+0x${fileOffset.toString(16)}`;
  return [String(i), `0x${address.toString(16)}`, frame.function, frame.rule, place];
}

/** Addresses are hexadecimal texts: as numbers they would lose bits. */
function explanationJson({ frames, ...rest }: Explanation): string {
  const rows = frames.map((frame) => ({ ...frame, address: `0x${frame.address.toString(16)}` }));
  return JSON.stringify({ ...rest, frames: rows }, null, 2);
}
