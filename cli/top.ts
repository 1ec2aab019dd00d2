// `flamekeeper top`: the functions that cost most, by themselves or with all they call.

import { Command, Option } from 'commander';
import { groupDigits } from '../exporters/formats/text.js';
import type { TopRow } from '../storage/model/top.js';
import { topOf } from '../storage/model/top.js';
import { addStackFilter } from './filter.js';
import { formatPercent } from './format.js';
import { writeStderr, writeStdout } from './output.js';
import { coverageJson } from './render-completeness.js';
import { renderTable } from './render-table.js';
import type { Column } from './render-table.js';
import { addGlobalOptions, addWindowOptions, parseLimit } from './settings.js';
import { askForStacks } from './stacks-answer.js';
import type { StacksAnswer, StacksOptions } from './stacks-answer.js';
import { defaultFrom, defaultTo } from './window.js';

interface TopCommandOptions extends StacksOptions {
  readonly total?: boolean;
  readonly limit: string;
}

const maxRows = 100_000;

const columns: readonly Column[] = [
  { title: 'self', align: 'right' },
  { title: 'self %', align: 'right' },
  { title: 'total', align: 'right' },
  { title: 'total %', align: 'right' },
  { title: 'module', align: 'left' },
  { title: 'function', align: 'left' },
];

export function topCommand(): Command {
  const command = new Command('top')
    .description('table of functions')
    .addOption(
      new Option('--self', 'sort by samples in the function itself (default)').conflicts('total'),
    )
    .option('--total', 'sort by samples in it and in all it calls')
    .option('-n, --limit <rows>', 'rows at most', '30');
  addWindowOptions(command, defaultFrom, defaultTo);
  addStackFilter(command);
  return addGlobalOptions(command)
    .action(top)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper top                       the last 15 minutes of the whole host
  flamekeeper top --total -n 10         what spends most, callees included
  flamekeeper top --comm postgres --from 14:05 --to 14:10
  flamekeeper top --kernel --json`,
    );
}

async function top(options: TopCommandOptions): Promise<void> {
  const limit = parseLimit(options.limit, maxRows);
  const answer = await askForStacks(options);
  const sortBy = options.total === true ? 'total' : 'self';
  const { rows, total } = topOf(answer.profile, { valueIndex: 0, limit, sortBy });
  if (options.json === true) {
    await writeStdout([`${JSON.stringify(topJson(answer, rows, total), null, 2)}\n`]);
    return;
  }
  await writeStdout(
    renderTable(
      columns,
      rows.map((row) => cells(row, total)),
    ).map((line) => `${line}\n`),
  );
  await writeStderr(answer.lines);
}

function cells({ label, moduleName, self, total }: TopRow, whole: number): string[] {
  return [
    groupDigits(self),
    formatPercent(self, whole),
    groupDigits(total),
    formatPercent(total, whole),
    moduleName,
    label,
  ];
}

function topJson(
  { profile, coverage, stacks, cutProcesses, filterText }: StacksAnswer,
  rows: readonly TopRow[],
  total: number,
) {
  const [valueType] = profile.valueTypes;
  return {
    ...coverageJson(coverage, stacks),
    cutProcesses,
    filter: filterText,
    stream: profile.name,
    valueType,
    total,
    rows,
  };
}
