// The alert rules in the hands of promtool.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { serverPath } from './servers.js';

function promtool(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(serverPath('promtool'), args, { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  return stdout + stderr;
}

test('promtool takes the alert rules, and finds nothing to mend', (t) => {
  const told = promtool('check', 'rules', '--lint-fatal', 'config/prometheus-rules.yaml');
  assert.match(told, /SUCCESS: \d+ rules found/);
  t.diagnostic(told.trim().split('\n').at(-1)!.trim());
});

test('each alert fires when it must, and only then', () => {
  const tests = 'test/interop/prometheus-rules.test.yaml';
  assert.match(promtool('test', 'rules', tests), /SUCCESS/);
  const { groups } = parse(readFileSync('config/prometheus-rules.yaml', 'utf8')) as {
    groups: { rules: { alert: string }[] }[];
  };
  const text = readFileSync(tests, 'utf8');
  // One that fires, one that does not.
  for (const { alert } of groups.flatMap(({ rules }) => rules)) {
    assert.match(text, new RegExp(`alertname: ${alert}\\n`), alert);
    assert.match(text, new RegExp(`alertname: ${alert}, `), alert);
  }
});
