// FILTER, the same on every command: which samples or events an answer is about. What
// the store can decide by series becomes the query's filter; what needs the frames
// becomes a selection on the answer.

import { Option } from 'commander';
import type { Command } from 'commander';
import { OperatingError } from '../storage/model/errors.js';
import type { Filter } from '../storage/model/query.js';
import type { Selection } from '../storage/model/select.js';

/** As commander hands them over. */
export interface FilterOptions {
  readonly comm?: readonly string[];
  readonly pid?: readonly string[];
  readonly user?: readonly string[];
  readonly cgroup?: readonly string[];
  readonly thread?: readonly string[];
  readonly device?: readonly string[];
  readonly function?: string;
  readonly kernel?: boolean;
  readonly type?: string;
}

/** The largest pid_max of a 64-bit kernel. */
const maxPid = 2 ** 22;
/** TASK_COMM_LEN - 1: the kernel keeps no more of a name. */
const maxCommBytes = 15;

/** Options that both samples and events know. */
export function addSeriesFilter(command: Command): Command {
  return command
    .addOption(repeatable('--comm <name>', 'processes of this name'))
    .addOption(repeatable('--pid <pid>', 'processes with this pid'))
    .addOption(repeatable('--user <user>', 'processes of this user, by name or number'))
    .addOption(
      repeatable(
        '--cgroup <path>',
        'processes in this cgroup or below, like /system.slice/x.service',
      ),
    );
}

/** What keys of metrics may have; a stream says itself which of them it knows. */
export function addMetricFilter(command: Command): Command {
  addSeriesFilter(command).addOption(repeatable('--thread <name>', 'threads of this name'));
  return addDeviceFilter(command);
}

export function addDeviceFilter(command: Command): Command {
  return command.addOption(repeatable('--device <name>', 'block device or network interface'));
}

/** All of them, for commands that answer with stacks. */
export function addStackFilter(command: Command): Command {
  return addSeriesFilter(command)
    .addOption(repeatable('--thread <name>', 'threads of this name'))
    .option('--function <regexp>', 'stacks with a function or module that matches')
    .option('--kernel', 'only samples in the kernel')
    .option('--no-kernel', 'only samples in user space')
    .option('--type <name>', 'sample type: cpu, or one of sampling.events', 'cpu');
}

/** **Errors**: `usage`, naming the value. */
export function filterOf(options: FilterOptions): Filter {
  return {
    ...(options.comm && { comm: options.comm.map((name) => checkComm('--comm', name)) }),
    ...(options.pid && { pid: options.pid.map(parsePid) }),
    ...(options.user && { user: options.user.map((user) => checkPresent('--user', user)) }),
    ...(options.cgroup && { cgroup: options.cgroup.map(parseCgroup) }),
    ...(options.thread && { thread: options.thread.map((name) => checkComm('--thread', name)) }),
    ...(options.device && { device: options.device.map((name) => checkPresent('--device', name)) }),
  };
}

/** **Errors**: `usage` for a --function that is no regular expression. */
export function selectionOf(options: FilterOptions): Selection {
  return {
    ...(options.function !== undefined && { functionPattern: parsePattern(options.function) }),
    ...(options.kernel !== undefined && { kernel: options.kernel }),
  };
}

/** What was asked for, as it would be typed again; '' for everything. */
export function describeFilter(options: FilterOptions): string {
  const parts: string[] = [];
  for (const name of ['comm', 'pid', 'user', 'cgroup', 'thread', 'device'] as const) {
    for (const value of options[name] ?? []) parts.push(`--${name} ${value}`);
  }
  if (options.function !== undefined) parts.push(`--function ${options.function}`);
  if (options.kernel !== undefined) parts.push(options.kernel ? '--kernel' : '--no-kernel');
  return parts.join(' ');
}

function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description} (repeatable)`).argParser(
    (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
  );
}

function checkPresent(option: string, value: string): string {
  if (value === '') throw new OperatingError('usage', `${option} is empty`);
  return value;
}

function checkComm(option: string, name: string): string {
  const bytes = Buffer.from(checkPresent(option, name));
  if (bytes.length <= maxCommBytes) return name;
  const kept = bytes.toString('utf8', 0, maxCommBytes);
  throw new OperatingError(
    'usage',
    `${option} ${name} is longer than ${maxCommBytes} bytes`,
    `The kernel keeps ${maxCommBytes} bytes of a name: try ${option} '${kept}'.`,
  );
}

function parsePid(text: string): number {
  const pid = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (pid < 1 || pid > maxPid) {
    throw new OperatingError(
      'usage',
      `--pid ${text} is no pid`,
      `Pids are integers from 1 to ${maxPid}.`,
    );
  }
  return pid;
}

function parseCgroup(text: string): string {
  if (!text.startsWith('/')) {
    throw new OperatingError(
      'usage',
      `--cgroup ${text} is no path`,
      'Cgroups are paths like /system.slice/x.service.',
    );
  }
  return text === '/' ? text : text.replace(/\/+$/, '');
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new OperatingError('usage', `--function ${text}: ${(error as Error).message}`);
  }
}
