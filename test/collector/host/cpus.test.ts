import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { onlineCpus, parseCpuList, possibleCpuCount } from '../../../collector/host/cpus.js';

test('CPU lists as the kernel writes them', () => {
  assert.deepEqual(parseCpuList('0\n'), [0]);
  assert.deepEqual(parseCpuList('0-2,5'), [0, 1, 2, 5]);
  for (const text of ['', 'x', '1-', '3-1', '0-99999999', '-1', '1,,2']) assert.equal(parseCpuList(text), undefined, text);
});

test('this host has the CPUs that nproc counts', () => {
  const all = Number(execFileSync('nproc', ['--all'], { encoding: 'utf8' }));
  assert.ok(onlineCpus().length <= all && onlineCpus().length >= 1);
  assert.ok(possibleCpuCount() >= all);
});
