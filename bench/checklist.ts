// `checklist` beside the tools that it is named after, live: all of them look at the same minute of a steady
// load. A difference is of the tool's own value; what is smaller than the tool's step is no difference.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandPath } from '../test/support/daemon.js';
import { buildProgram } from '../test/support/programs.js';
import { toolRows } from '../test/support/tool-text.js';
import { startDaemon, startProgram } from './observe.js';
import { atEnd, printFigure, printNote, printTitle, readOptions } from './support.js';

const options = readOptions({ seconds: 60 }, { seconds: 20 });
const bucketMs = 10_000;
/** Values below these are told apart by chance: a fault or a segment more or less. */
const leastValue = 2;
/** The kernel gathers pages of a process in batches of 32 a CPU. */
const pageBatchKib = 128 * cpus().length;

type Row = Readonly<Record<string, number | string | null>>;
interface View {
  readonly tool: string;
  readonly lines: readonly string[];
  readonly tables: readonly (readonly Row[])[];
}

printTitle('checklist', options);
const folder = mkdtempSync(join(tmpdir(), 'fk-bench-checklist-'));
atEnd(() => rmSync(folder, { recursive: true, force: true }));
const daemon = await startDaemon([]);
const spinner = startLoad();
await sleep(2 * bucketMs + bucketMs - (Date.now() % bucketMs));

const startMs = Math.round(Date.now() / bucketMs) * bucketMs;
const outputs = await runTools(spinner);
// The minute's last bucket has to be written first.
await sleep(3000);
const views = askChecklist(daemon.dir, startMs);
for (const { name, rows } of comparisons(outputs, views)) {
  const differences = rows.flatMap(({ what, ours, theirs }) => differencesOf(what, ours, theirs));
  const largest = differences.reduce((most, one) => (one.percent > most.percent ? one : most), {
    what: 'nothing compared',
    percent: 0,
  });
  printFigure(`${name}: largest difference`, largest.percent, '%', { atMost: 3 });
  printNote(`${differences.length} values; ${largest.what}`);
}
process.exit();

/** A third of each CPU, 100 writes a second, and segments over the loopback. */
function startLoad(): number {
  const program = buildProgram('duty-cycle.c', 'steady', ['-O0']);
  const seconds = String(options.seconds + 60);
  const pid = startProgram(program, [seconds]).pid!;
  startProgram(program, [seconds]);
  const write = `while :; do dd if=/dev/zero of=${folder}/file bs=64k count=1 oflag=direct conv=notrunc status=none; sleep 0.01; done`;
  startProgram('sh', ['-c', write]);
  const server = createServer((socket) => socket.resume());
  server.listen(0, '127.0.0.1', () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const timer = setInterval(() => socket.write(Buffer.alloc(10_000)), 5);
    atEnd(() => clearInterval(timer));
  });
  return pid;
}

async function runTools(pid: number): Promise<ReadonlyMap<string, string>> {
  const seconds = String(options.seconds);
  const commands: Readonly<Record<string, readonly string[]>> = {
    vmstat: ['vmstat', seconds, '2'],
    mpstat: ['mpstat', '-P', 'ALL', seconds, '1'],
    iostat: ['iostat', '-xz', seconds, '2'],
    dev: ['sar', '-n', 'DEV', seconds, '1'],
    tcp: ['sar', '-n', 'TCP', seconds, '1'],
    etcp: ['sar', '-n', 'ETCP', seconds, '1'],
    pidstat: ['pidstat', '-p', String(pid), seconds, '1'],
    top: ['top', '-b', '-d', seconds, '-n', '2', '-p', String(pid)],
  };
  const env = { ...process.env, LC_ALL: 'C' };
  const outputs = new Map<string, string>();
  await Promise.all(
    Object.entries(commands).map(async ([name, [command, ...args]]) => {
      const child = spawn(command!, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      await once(child, 'close');
      outputs.set(name, text);
    }),
  );
  outputs.set('free', spawnSync('free', { encoding: 'utf8', env }).stdout);
  outputs.set('uptime', spawnSync('uptime', { encoding: 'utf8', env }).stdout);
  return outputs;
}

function askChecklist(dir: string, fromMs: number): readonly View[] {
  const [from, to] = [fromMs, fromMs + options.seconds * 1000].map((ms) => new Date(ms).toISOString());
  const args = ['checklist', '--json', '--data', dir, '--from', from!, '--to', to!];
  const { stdout, stderr } = spawnSync(process.execPath, [commandPath, ...args], { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return (JSON.parse(stdout) as { views: View[] }).views;
}

interface Pair {
  readonly what: string;
  readonly ours: Row | undefined;
  readonly theirs: Readonly<Record<string, string>> | undefined;
}

function comparisons(
  texts: ReadonlyMap<string, string>,
  answer: readonly View[],
): { name: string; rows: readonly Pair[] }[] {
  const text = (name: string) => texts.get(name)!;
  const tables = (tool: string) => answer.find((view) => view.tool.startsWith(tool))!.tables;
  const byName = (rows: readonly Row[], theirs: Record<string, string>[], column: string): Pair[] =>
    theirs.map((row) => ({
      what: row[column]!,
      ours: rows.find((own) => String(own[column]) === row[column]),
      theirs: row,
    }));
  const only = (ours: Row | undefined, theirs: Record<string, string> | undefined): Pair[] => [
    { what: '', ours, theirs },
  ];
  // procps 4.0.2 reads meminfo for vmstat's first line only: free compares it.
  const memory = ['swpd', 'free', 'buff', 'cache', 'r', 'b'];
  const rates = Object.entries(tables('vmstat')[0]![0]!).filter(([column]) => !memory.includes(column));
  const [total, swap] = tables('free')[0]!;
  const [freeTitles, freeMemory, freeSwap] = text('free')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)) as [string[], string[], string[]];
  const freeRow = (words: string[]) =>
    Object.fromEntries(freeTitles.map((title, i) => [title, words[i + 1] ?? '']));
  const loads = (line: string) => {
    const [one, five, fifteen] = /load average: (.*), (.*), (.*)$/m.exec(line)!.slice(1);
    return { one: one!, five: five!, fifteen: fifteen! };
  };
  const uptime = answer.find((view) => view.tool === 'uptime')!.lines[0]!;
  return [
    { name: 'vmstat', rows: only(Object.fromEntries(rates), toolRows(text('vmstat'), 'swpd').at(-1)) },
    { name: 'mpstat -P ALL', rows: byName(tables('mpstat')[0]!, toolRows(text('mpstat'), 'CPU'), 'CPU') },
    {
      name: 'iostat -xz',
      rows: byName(tables('iostat')[1]!, toolRows(text('iostat'), 'Device'), 'Device'),
    },
    { name: 'sar -n DEV', rows: byName(tables('sar -n DEV')[0]!, toolRows(text('dev'), 'IFACE'), 'IFACE') },
    {
      name: 'sar -n TCP,ETCP',
      rows: [
        ...only(tables('sar -n TCP')[0]![0], toolRows(text('tcp'), 'active/s')[0]),
        ...only(tables('sar -n TCP')[1]![0], toolRows(text('etcp'), 'atmptf/s')[0]),
      ],
    },
    { name: 'pidstat', rows: byName(tables('pidstat')[0]!, toolRows(text('pidstat'), '%usr'), 'PID') },
    { name: 'top', rows: byName(tables('top')[0]!, toolRows(text('top'), '%MEM'), 'PID') },
    { name: 'free', rows: [...only(total, freeRow(freeMemory)), ...only(swap, freeRow(freeSwap))] },
    { name: 'uptime', rows: only(loads(uptime), loads(text('uptime'))) },
  ];
}

/** In percent of the tool's value; columns that are numbers for both. */
function differencesOf(
  what: string,
  ours: Pair['ours'],
  theirs: Pair['theirs'],
): { what: string; percent: number }[] {
  if (ours === undefined || theirs === undefined) return [{ what: `${what} is not there`, percent: 100 }];
  return Object.entries(ours).flatMap(([column, own]) => {
    const other = theirs[column];
    const isNumber = other !== undefined && /^-?\d+(\.\d+)?$/.test(other);
    // Where a process runs, and how long it ran before, are of the moment.
    if (own === null || !isNumber || ['CPU', 'PID', 'TIME+'].includes(column)) return [];
    const value = Number(other);
    const isMemory = ['RES', 'SHR', 'VIRT'].includes(column);
    const step = isMemory ? pageBatchKib : 10 ** -(other.split('.')[1]?.length ?? 0);
    const difference = Math.max(0, Math.abs(Number(own) - value) - step);
    if (Math.abs(value) < leastValue && difference < leastValue) return [];
    const percent = (100 * difference) / Math.max(Math.abs(value), leastValue);
    return [{ what: `${what} ${column}: ours ${Number(own).toFixed(2)}, the tool's ${other}`, percent }];
  });
}
