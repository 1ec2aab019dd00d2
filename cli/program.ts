// The command line as a whole: its commands, and what becomes of an error.

import { Command, CommanderError } from 'commander';
import { printable } from '../exporters/formats/text.js';
import { OperatingError } from '../storage/model/errors.js';
import { checklistCommand } from './checklist.js';
import { configCommand } from './config.js';
import { countersCommand } from './counters.js';
import { doctorCommand } from './doctor.js';
import { eventsCommand } from './events.js';
import { explainCommand } from './explain.js';
import { flameCommand } from './flame.js';
import { latencyCommand } from './latency.js';
import { runCommand } from './run.js';
import { statusCommand } from './status.js';
import { topCommand } from './top.js';
import { packageVersion } from './version.js';

/** Exit codes: 0 answered, 1 the world outside is not as it must be, 2 wrong usage, 70
 *  a bug of ours (EX_SOFTWARE). */
export const exitCodes = { answered: 0, operatingError: 1, usage: 2, bug: 70 } as const;

export function buildProgram(): Command {
  const program = new Command('flamekeeper')
    .description('continuous profiler for Linux hosts, with its own history')
    .version(packageVersion(), '-V, --version')
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper run                      sample this host (as root)
  flamekeeper flame -o now.svg         flame graph of the last 15 minutes
  flamekeeper top --from 14:05         functions that cost most since 14:05
  flamekeeper latency runq             how long threads waited for a CPU
  flamekeeper counters                 rates of perf events, instructions per cycle
  flamekeeper checklist --at 14:05     vmstat, iostat, top ... as they were then
  flamekeeper events exit --follow     processes as they end
  flamekeeper status                   health, losses, disk
  flamekeeper doctor                   what kernel and rights allow, and the remedies
  flamekeeper explain --pid 1234       why stacks of a process end where they do

Times: -15m, now, 14:05, 2026-11-20T14:05:30+01:00.
Exit codes: 0 answered, 1 an error that is told, 2 wrong usage.`,
    );
  for (const command of [
    runCommand,
    flameCommand,
    topCommand,
    latencyCommand,
    countersCommand,
    checklistCommand,
    eventsCommand,
    statusCommand,
    explainCommand,
    doctorCommand,
    configCommand,
  ]) {
    program.addCommand(command());
  }
  forEachCommand(program, (command) => {
    command.exitOverride().configureOutput({ outputError: () => undefined });
  });
  return program;
}

/** What to print on standard error, and the exit code. */
export function reportOf(error: unknown): {
  readonly lines: readonly string[];
  readonly exitCode: number;
} {
  if (error instanceof CommanderError) return commanderReport(error);
  if (error instanceof OperatingError) {
    const exitCode = error.code === 'usage' ? exitCodes.usage : exitCodes.operatingError;
    const [first = '', ...more] = error.message.split('\n').map(printable);
    return {
      lines: [`flamekeeper: ${first}`, ...[...more, error.hint].map((line) => `  ${line}`)],
      exitCode,
    };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = [
    `flamekeeper: this is a bug, please report it with the lines below (version ${packageVersion()})`,
    stack,
  ];
  return { lines, exitCode: exitCodes.bug };
}

/** Help and version end commander early too, with exit code 0 and nothing more to say. */
function commanderReport(error: CommanderError): { lines: readonly string[]; exitCode: number } {
  if (error.exitCode === 0) return { lines: [], exitCode: exitCodes.answered };
  // Called without a command: commander printed the whole help.
  if (error.code === 'commander.help') return { lines: [], exitCode: exitCodes.usage };
  const [message = '', ...suggestions] = error.message.split('\n').map(printable);
  const lines = [
    `flamekeeper: ${message.replace(/^error: /, '')}`,
    ...suggestions.map((line) => `  ${line}`),
  ];
  return { lines: [...lines, '  See `flamekeeper help`.'], exitCode: exitCodes.usage };
}

export function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}
