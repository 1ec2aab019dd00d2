// `flamekeeper config show`: every option in force, and where its value came from.

import { Command } from 'commander';
import type { OptionOrigin } from '../config/load.js';
import { writeStdout } from './output.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { addGlobalOptions, loadSettings } from './settings.js';
import type { GlobalOptions } from './settings.js';

const columns: readonly Column[] = [
  { title: 'option', align: 'left' },
  { title: 'value', align: 'left' },
  { title: 'from', align: 'left' },
];

export function configCommand(): Command {
  const show = addGlobalOptions(
    new Command('show').description('every option in force, and where it came from'),
  )
    .action(showConfig)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper config show
  flamekeeper config show --config ./flamekeeper.yaml --json`,
    );
  return new Command('config')
    .description('the configuration')
    .addCommand(show)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper config show`,
    );
}

async function showConfig(options: GlobalOptions): Promise<void> {
  const { origins } = loadSettings({ ...options });
  await writeStdout([
    `${options.json === true ? JSON.stringify(origins, null, 2) : originTable(origins)}\n`,
  ]);
}

function originTable(origins: readonly OptionOrigin[]): string {
  const rows = origins.map(({ option, value, origin }) => [
    option,
    value === '' ? "''" : value,
    origin,
  ]);
  return renderTable(columns, rows).join('\n');
}
