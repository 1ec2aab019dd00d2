// `flamekeeper run`: the daemon, in the foreground.

import { Command } from 'commander';
import { addGlobalOptions, loadSettings } from './settings.js';
import type { GlobalOptions } from './settings.js';
import { packageVersion } from './version.js';

interface RunOptions extends GlobalOptions {
  readonly frequency?: string;
  readonly cpus?: string;
  readonly interval?: string;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description('sample this host and keep what is seen, until Ctrl-C or SIGTERM')
    .option('--frequency <hz>', 'samples per second and CPU, 1 to 999')
    .option('--cpus <list>', 'CPUs to sample: all, or like 0-3,8')
    .option('--interval <duration>', 'time between two flushes to disk, 200ms to 10s');
  return addGlobalOptions(command)
    .action(run)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper run
  flamekeeper run --frequency 99 --cpus 0-3
  flamekeeper run --config ./flamekeeper.yaml --data /srv/profiles
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 flamekeeper run
  FLAMEKEEPER_HTTP_LISTEN=127.0.0.1:9464 flamekeeper run`,
    );
}

async function run(options: RunOptions): Promise<void> {
  const { config } = loadSettings({ ...options });
  const { runDaemon } = await import('../collector/agent/daemon.js');
  const isTerminal = process.stderr.isTTY === true;
  process.exitCode = await runDaemon(config, {
    isTerminal,
    verbosity: options.verbose,
    version: packageVersion(),
  });
}
