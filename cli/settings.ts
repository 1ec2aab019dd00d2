// Options that every command has, and what follows from them: the configuration
// in force and the store to ask.

import { existsSync } from 'node:fs';
import { Option } from 'commander';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.js';
import type { LoadedConfig } from '../config/load.js';
import { OperatingError } from '../storage/model/errors.js';
import type { Query } from '../storage/model/query.js';
import { writeStderr } from './output.js';

/** As commander hands them over. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly data?: string;
  readonly config?: string;
  /** How often -v was given. */
  readonly verbose: number;
}

const systemConfigFile = '/etc/flamekeeper/flamekeeper.yaml';

export function addGlobalOptions(command: Command): Command {
  return command
    .option('--json', 'answer in JSON')
    .option('--data <dir>', 'data directory (also FLAMEKEEPER_DATA)')
    .option(
      '--config <file>',
      `configuration file (also FLAMEKEEPER_CONFIG; else ${systemConfigFile})`,
    )
    .addOption(
      new Option('-v, --verbose', 'say more; twice: everything')
        .default(0, 'off')
        .argParser((_: string, before: number) => before + 1),
    );
}

export function addWindowOptions(command: Command, from: string, to: string): Command {
  return command
    .option('--from <time>', `start of the window (default: ${from})`)
    .option('--to <time>', `end of the window (default: ${to})`);
}

/** The number of -n, from 1 to `max`. **Errors**: `usage`, naming the value. */
export function parseLimit(text: string, max: number): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= max) return limit;
  throw new OperatingError(
    'usage',
    `-n ${text} is not allowed`,
    `Allowed: an integer from 1 to ${max}.`,
  );
}

/** `options` hold the global ones and flags of the schema under their own names. **Errors**:
 *  `bad-config`, naming file, line and value; `usage` for a flag. */
export function loadSettings(
  options: GlobalOptions & Readonly<Record<string, unknown>>,
): LoadedConfig {
  const named = options.config ?? (process.env['FLAMEKEEPER_CONFIG'] || undefined);
  const file = named ?? (existsSync(systemConfigFile) ? systemConfigFile : undefined);
  const result = loadConfig({
    ...(file !== undefined && { file }),
    fileIsRequired: named !== undefined,
    env: process.env,
    flags: options,
  });
  if (result.ok) return result.loaded;
  const lines = result.problems.map(({ file: name, line, message }) => {
    if (name === '') return message;
    return line === 0 ? `${name}: ${message}` : `${name}:${line}: ${message}`;
  });
  const isUsage = result.problems.every((problem) => problem.source === 'flag');
  throw new OperatingError(isUsage ? 'usage' : 'bad-config', lines.join('\n'));
}

/** Opens the store that the options name, through its daemon when one
 *  runs, and closes it after use. */
export async function withQuery<T>(
  options: GlobalOptions,
  use: (query: Query) => Promise<T>,
): Promise<T> {
  return (await findStore(options))(use);
}

/** The same for more than one use: each opens the store anew, so that the
 *  daemon may come and go between. */
export async function findStore(
  options: GlobalOptions,
): Promise<<T>(use: (query: Query) => Promise<T>) => Promise<T>> {
  const { config, origins } = loadSettings({ ...options });
  if (options.verbose > 0) {
    const origin = origins.find(({ option }) => option === 'dataDir')?.origin ?? '';
    await writeStderr([`data: ${config.dataDir} (${origin})`]);
  }
  const { openQuery } = await import('../collector/serve/client.js');
  return async (use) => {
    const query = await openQuery(config.dataDir);
    try {
      return await use(query);
    } finally {
      query.close();
    }
  };
}
