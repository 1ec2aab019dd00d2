// `flamekeeper flame`: the stacks of a window as a flame graph or as data for other
// tools, told by the file's ending.

import { Command } from 'commander';
import { foldedLines } from '../exporters/formats/folded.js';
import { OperatingError } from '../storage/model/errors.js';
import { aroundJson, differenceLines } from './around.js';
import { parseCondition } from './condition.js';
import { addStackFilter } from './filter.js';
import type { Chunks } from './output.js';
import { writeFileWhole, writeStderr, writeStdout } from './output.js';
import { profileJson } from './profile-json.js';
import { withProgress } from './progress.js';
import { coverageJson } from './render-completeness.js';
import { addGlobalOptions, addWindowOptions } from './settings.js';
import { askForDifference, askForStacks } from './stacks-answer.js';
import type { StacksAnswer, StacksOptions } from './stacks-answer.js';
import { defaultFrom, defaultTo, formatRange } from './window.js';

interface FlameOptions extends StacksOptions {
  readonly output?: string;
  readonly around?: string;
}

type Format = (answer: StacksAnswer) => Chunks | Promise<Chunks>;

/** Ending -> the answer's bytes. Loaded when asked for: the daemon runs this file
 *  too, and has no use for them. */
const formats: Readonly<Record<string, Format>> = {
  '.svg': async ({ profile, coverage, filterText, lines, around }) => {
    const { flamegraphSvg } = await import('../exporters/formats/flamegraph-svg.js');
    const condition = around === undefined ? '' : ` around ${around.answer.condition.text}`;
    const title = `flamekeeper ${profile.name} ${filterText}`.trimEnd() + condition;
    const texts =
      around === undefined
        ? [formatRange(coverage), ...lines.slice(1)]
        : [...lines.map((line) => line.trim()), 'red: more than in the rest, blue: less'];
    const before = around && { before: around.before };
    return [
      flamegraphSvg(profile, { title, subtitle: texts.join(' · '), valueIndex: 0, ...before }),
    ];
  },
  '.pb.gz': async ({ profile, coverage, lines }) => {
    const { pprofGzip } = await import('../exporters/formats/pprof.js');
    const { fromUnixNs: timeUnixNs, toUnixNs } = coverage;
    return pprofGzip(profile, { timeUnixNs, durationNs: toUnixNs - timeUnixNs, comments: lines });
  },
  '.folded': foldedText,
  '.json': jsonText,
};

export function flameCommand(): Command {
  const command = new Command('flame')
    .description('flame graph of a window')
    .option(
      '-o, --output <file>',
      `write to a file: ${Object.keys(formats).join(', ')} (default: folded text)`,
    );
  command.option(
    '--around <condition>',
    "only the 10 s in which a latency condition held, against the rest: 'runq p99 > 20ms'",
  );
  addWindowOptions(command, defaultFrom, defaultTo);
  addStackFilter(command);
  return addGlobalOptions(command)
    .action(flame)
    .addHelpText(
      'after',
      `
Examples:
  flamekeeper flame -o now.svg                          the last 15 minutes, to open in a browser
  flamekeeper flame --from 14:05 --to 14:10 -o x.pb.gz  for go tool pprof
  flamekeeper flame --comm node --no-kernel -o x.svg    user-space stacks of node
  flamekeeper flame --from -1h | sort -k2 -n | tail     folded text, to work on

From a spike to its stacks; what grew stands first, or is red:
  flamekeeper flame --around "runq p99 > 20ms" --from -1h
  flamekeeper flame --around "block:vda p99.9 >= 5ms --comm postgres" -o x.svg`,
    );
}

async function flame(options: FlameOptions): Promise<void> {
  const format = options.output === undefined ? undefined : formatOf(options.output);
  if (options.around !== undefined && options.output?.endsWith('.pb.gz') === true) {
    throw new OperatingError(
      'usage',
      `-o ${options.output}: a pprof file has no place for a difference`,
      'Use .svg, .folded or .json with --around.',
    );
  }
  const answer =
    options.around === undefined
      ? await askForStacks(options)
      : await askForDifference(options, parseCondition(options.around));
  if (options.output !== undefined && format !== undefined) {
    await withProgress(
      `writing ${options.output}`,
      writeFileWhole(options.output, await format(answer)),
    );
  } else {
    await writeStdout(options.json === true ? jsonText(answer) : plainText(answer));
  }
  if (options.json !== true) {
    await writeStderr(answer.lines);
    if (options.output === undefined && process.stdout.isTTY)
      await writeStderr(['-o x.svg draws this as a flame graph']);
  } else if (options.output !== undefined) {
    const { coverage, stacks } = answer;
    await writeStdout([
      `${JSON.stringify({ output: options.output, ...coverageJson(coverage, stacks) })}\n`,
    ]);
  }
}

function formatOf(file: string): Format {
  const ending = Object.keys(formats).find((known) => file.endsWith(known));
  if (ending !== undefined) return formats[ending]!;
  throw new OperatingError(
    'usage',
    `-o ${file} has no ending that names a format`,
    `Use one of ${Object.keys(formats).join(', ')}.`,
  );
}

/** Stacks; of a difference the functions. */
function plainText(answer: StacksAnswer): Chunks {
  if (answer.around === undefined) return foldedText(answer);
  return differenceLines(answer.around.difference).map((line) => `${line}\n`);
}

function* foldedText({ profile, around }: StacksAnswer): Generator<string> {
  const before = around && { before: around.before };
  for (const line of foldedLines(profile, { valueIndex: 0, ...before })) yield `${line}\n`;
}

function jsonText({ profile, coverage, stacks, filterText, around }: StacksAnswer): Chunks {
  if (around !== undefined) {
    const head = { ...coverageJson(coverage, stacks), filter: filterText, stream: profile.name };
    return [`${JSON.stringify({ ...head, ...aroundJson(around) }, null, 2)}\n`];
  }
  return profileJson({ ...coverageJson(coverage, stacks), filter: filterText }, profile);
}
