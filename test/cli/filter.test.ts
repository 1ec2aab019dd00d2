// FILTER as typed: what goes to the store, what selects among frames, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { addStackFilter, describeFilter, filterOf, selectionOf } from '../../cli/filter.js';
import type { FilterOptions } from '../../cli/filter.js';
import { OperatingError } from '../../storage/model/errors.js';

function optionsOf(...args: string[]): FilterOptions {
  return addStackFilter(new Command().exitOverride()).parse(args, { from: 'user' }).opts();
}

function refused(pattern: RegExp, ...args: string[]): void {
  const read = () => {
    const options = optionsOf(...args);
    filterOf(options);
    selectionOf(options);
  };
  assert.throws(
    read,
    (error) => error instanceof OperatingError && error.code === 'usage' && pattern.test(error.message),
  );
}

test('nothing asked for is no filter', () => {
  const options = optionsOf();
  assert.deepEqual(filterOf(options), {});
  assert.deepEqual(selectionOf(options), {});
  assert.equal(options.type, 'cpu');
  assert.equal(describeFilter(options), '');
});

test('options repeat and become lists', () => {
  const options = optionsOf(
    '--comm',
    'node',
    '--comm',
    'sh',
    '--pid',
    '1',
    '--pid',
    '4194304',
    '--user',
    'www-data',
    '--cgroup',
    '/system.slice/',
    '--thread',
    'V8 Worker',
    '--type',
    'page-faults',
  );
  assert.deepEqual(filterOf(options), {
    comm: ['node', 'sh'],
    pid: [1, 4194304],
    user: ['www-data'],
    cgroup: ['/system.slice'],
    thread: ['V8 Worker'],
  });
  assert.equal(options.type, 'page-faults');
  assert.match(describeFilter(options), /^--comm node --comm sh --pid 1 /);
});

test('what needs frames selects in the answer', () => {
  assert.deepEqual(selectionOf(optionsOf('--function', '^mem(cpy|set)$')), {
    functionPattern: /^mem(cpy|set)$/,
  });
  assert.deepEqual(selectionOf(optionsOf('--kernel')), { kernel: true });
  assert.deepEqual(selectionOf(optionsOf('--no-kernel')), { kernel: false });
});

test('what cannot match anything is refused, with its value', () => {
  for (const pid of ['0', '-1', '4194305', '1.5', 'x', '', '99999999999'])
    refused(/^--pid .*is no pid$/, '--pid', pid);
  refused(/systemd-networkd is longer than 15 bytes/, '--comm', 'systemd-networkd');
  refused(/longer than 15 bytes/, '--thread', 'ääääääää');
  refused(/--comm is empty/, '--comm', '');
  refused(/--user is empty/, '--user', '');
  refused(/--cgroup system.slice is no path/, '--cgroup', 'system.slice');
  refused(/--function \(: Invalid regular expression/, '--function', '(');
});
