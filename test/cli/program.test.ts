// The command line from outside: help of every command, exit codes, and errors as one sentence with a remedy.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { buildProgram, forEachCommand, reportOf } from '../../cli/program.js';
import { OperatingError } from '../../storage/model/errors.js';
import { wordsOf } from '../support/words.js';

const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-cli-'));
after(() => rmSync(folder, { recursive: true }));

function run(...args: string[]) {
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    FLAMEKEEPER_DATA: join(folder, 'none'),
    FLAMEKEEPER_CONFIG: '',
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

function commands(): Command[] {
  const found: Command[] = [];
  forEachCommand(buildProgram(), (command) => found.push(command));
  return found;
}

test('every command has help with examples, and the options that all have', () => {
  for (const command of commands()) {
    let help = '';
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    command.outputHelp();
    assert.match(help, /^Usage: flamekeeper/, command.name());
    assert.match(help, /\nExamples:\n {2}flamekeeper /, command.name());
    if (command.commands.length > 0) continue;
    for (const option of ['--json', '--data <dir>', '--config <file>', '-v, --verbose']) {
      assert.ok(help.includes(option), `${command.name()} ${option}`);
    }
  }
});

test('examples in help are lines that the parser takes', () => {
  for (const command of commands()) {
    let help = '';
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    command.outputHelp();
    for (const [, line] of help.matchAll(/^ {2}flamekeeper (.*?)(?: {2,}.*| \|.*)?$/gm)) {
      const program = buildProgram();
      forEachCommand(program, (leaf) => {
        if (leaf.commands.length === 0) leaf.action(() => undefined);
      });
      assert.doesNotThrow(() => program.parse(wordsOf(line!), { from: 'user' }), line);
    }
  }
});

test('help and version answer with 0, no command with 2', () => {
  assert.equal(run('--help').status, 0);
  assert.equal(run('help', 'flame').status, 0);
  assert.match(run('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal(run().status, 2);
});

test('wrong usage is one sentence, a remedy and exit code 2', () => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['flam'], /^flamekeeper: unknown command 'flam'\n.*Did you mean flame/],
    [['flame', '--nix'], /^flamekeeper: unknown option '--nix'\n/],
    [
      ['flame', '-o', 'x.png'],
      /^flamekeeper: -o x.png has no ending that names a format\n {2}Use one of \.svg, /,
    ],
    [['flame', '--from', '-1m', '--to', '-2m'], /^flamekeeper: --from -1m --to -2m is an empty window: /],
    [['flame', '--from', 'noon'], /^flamekeeper: --from noon is no time\n {2}Times are: /],
    [['top', '-n', '0'], /^flamekeeper: -n 0 is not allowed\n/],
    [['top', '--self', '--total'], /^flamekeeper: option '--self' cannot be used with option '--total'\n/],
    [['events', 'exec', '--min-duration', '1ms'], /has no duration.*\n {2}Use `flamekeeper events exit/],
    [['events', 'exit', '--min-duration', 'x'], /^flamekeeper: --min-duration x is no duration\n/],
    [['events', 'exit', '--follow', '--to', 'now'], /^flamekeeper: --follow has no end/],
    [['latency', 'disk'], /^flamekeeper: there is no latency disk\n {2}Latencies are: /],
    [
      ['latency', 'runq', '-o', 'x.png'],
      /^flamekeeper: -o x.png has no ending .*\n {2}Use one of \.svg, \.html/,
    ],
    [
      ['flame', '--around', 'runq p99'],
      /^flamekeeper: --around: the end is no comparison.*\n {2}Conditions are like/,
    ],
    [
      ['flame', '--around', 'runq p9 > 1s', '-o', 'x.pb.gz'],
      /^flamekeeper: -o x.pb.gz: a pprof file has no place/,
    ],
    [['counters', '--step', '500ms'], /^flamekeeper: --step 500ms is no step/],
    [['checklist', '--at', '14:00', '--from', '-1h'], /^flamekeeper: --at is one moment/],
    [['checklist', '--watch', '--to', 'now'], /^flamekeeper: --watch looks at now/],
    [
      ['run', '--frequency', '2000'],
      /^flamekeeper: flag --frequency: "2000" is not allowed; allowed: an integer from 1/,
    ],
  ];
  for (const [args, pattern] of cases) {
    const { status, stdout, stderr } = run(...args);
    assert.match(stderr, pattern);
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /^ {4}at /m);
  }
});

test('a bad configuration names file and line, with exit code 1', () => {
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'log:\n  level: loud\nnonsense: 1\n');
  const { status, stderr } = run('config', 'show', '--config', file);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^flamekeeper: .*bad\.yaml:2: log\.level: "loud" is not allowed.*\n {2}.*bad\.yaml:3: "nonsense"/,
  );
  assert.match(
    run('config', 'show', '--config', join(folder, 'none.yaml')).stderr,
    /none\.yaml: cannot read it: ENOENT/,
  );
});

test('config show prints each option with its value and origin', () => {
  const { status, stdout } = run('config', 'show');
  assert.equal(status, 0);
  assert.match(stdout, /^dataDir +\S+none +environment FLAMEKEEPER_DATA$/m);
  assert.match(stdout, /^sampling\.frequencyHz +47 +default$/m);
  const origins = JSON.parse(run('config', 'show', '--json').stdout) as { option: string }[];
  assert.ok(origins.some(({ option }) => option === 'store.maxAge'));
});

test('no store is told with what to do, and exit code 1', () => {
  const commands = ['flame', 'top', 'status', 'events exec', 'latency runq', 'counters', 'checklist'];
  for (const args of commands.map((line) => line.split(' '))) {
    const { status, stderr } = run(...args);
    assert.match(stderr, /^flamekeeper: .+\n {2}.+\n$/);
    assert.equal(status, 1, stderr);
  }
});

test('an error of ours is told as such', () => {
  assert.equal(reportOf(new Error('x')).exitCode, 70);
  assert.match(
    reportOf(new Error('x')).lines.join('\n'),
    /this is a bug, please report it[^]*Error: x\n {4}at /,
  );
  assert.match(
    reportOf(new OperatingError('disk-full', 'a\u001b[31mb')).lines[0]!,
    /^flamekeeper: a\ufffd\[31mb$/,
  );
});
