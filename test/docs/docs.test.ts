// The documents keep up with the code: every error code has its paragraph, every package that set-up
// installs its line, every command of the README is one that the parser takes, every link leads to a file.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { buildProgram, forEachCommand } from '../../cli/program.js';
import { operatingErrors } from '../../storage/model/errors.js';
import { streamsPage } from '../../storage/model/host-streams.js';
import { wordsOf } from '../support/words.js';

const documents = [
  'README.md',
  'docs/errors.md',
  'docs/requirements.md',
  'docs/checklist.md',
  'docs/backends.md',
  'CHANGELOG.md',
];

test('docs/errors.md has one paragraph for each code, in the order of the table', () => {
  const text = readFileSync('docs/errors.md', 'utf8');
  assert.deepEqual(
    [...text.matchAll(/^## (.+)$/gm)].map(([, code]) => code),
    Object.keys(operatingErrors),
  );
  for (const [, code, paragraph] of text.matchAll(/^## (.+)\n([^#]+)/gm))
    assert.ok(paragraph!.length > 60, code);
});

test('docs/requirements.md names every package that set-up installs', () => {
  const text = readFileSync('docs/requirements.md', 'utf8');
  const packages = [...readFileSync('scripts/setup.mjs', 'utf8').matchAll(/package: '([^']+)'/g)].map(
    ([, name]) => name!,
  );
  assert.ok(packages.length > 5);
  for (const name of packages) assert.ok(text.includes(name), name);
});

test('commands in the README are ones that the parser takes', () => {
  const commands = [...readFileSync('README.md', 'utf8').matchAll(/^npx flamekeeper (.*?)(?: *#.*)?$/gm)];
  assert.ok(commands.length >= 6);
  for (const [, line] of commands) {
    const program = buildProgram();
    forEachCommand(program, (command) => {
      if (command.commands.length === 0) command.action(() => undefined);
    });
    assert.doesNotThrow(() => program.parse(wordsOf(line!), { from: 'user' }), line);
  }
});

test('links lead to files that are there', () => {
  for (const document of documents) {
    for (const [, link] of readFileSync(document, 'utf8').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      assert.ok(existsSync(join(dirname(document), link!)), `${document}: ${link}`);
    }
  }
});

test('docs/streams.md is the table of host streams; UPDATE_GOLDEN=1 prints it anew', () => {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync('docs/streams.md', streamsPage());
  assert.equal(readFileSync('docs/streams.md', 'utf8'), streamsPage());
});
