// Whose stacks cannot be whole: by what a process is made of, and with real ones.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ProcessFacts } from '../../../collector/doctor/processes.js';
import { findProcessGaps, gapsOf } from '../../../collector/doctor/processes.js';

const folder = mkdtempSync(join(tmpdir(), 'fk-doctor-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function problems(facts: Partial<ProcessFacts>): string[] {
  const usual = { is32Bit: false, arguments: [], environment: [], files: [] };
  return gapsOf({ ...usual, ...facts }).map(({ problem }) => problem);
}

const file = (name: string, saysFrames = true) => ({ name, saysFrames });

test('what a process is made of says whether its stacks can be whole', () => {
  assert.deepEqual(problems({ files: [file('bash'), file('libc.so.6')] }), []);
  assert.match(problems({ is32Bit: true })[0]!, /32-bit/);
  assert.match(problems({ files: [file('ld-musl-x86_64.so.1', false)] })[0]!, /musl libc without/);
  assert.deepEqual(problems({ files: [file('ld-musl-x86_64.so.1')] }), []);
  assert.deepEqual(problems({ files: [file('a.so', false), file('b', false)] }), [
    'no unwind information in a.so, b',
  ]);
});

test('Java is asked for its frame pointer, where it was last told', () => {
  const java = { files: [file('java'), file('libjvm.so')] };
  const [keep, omit] = ['-XX:+PreserveFramePointer', '-XX:-PreserveFramePointer'];
  assert.match(problems(java)[0]!, /Java without/);
  assert.deepEqual(problems({ ...java, arguments: ['java', keep, '-jar', 'x'] }), []);
  assert.equal(problems({ ...java, arguments: ['java', keep, omit] }).length, 1);
  assert.deepEqual(problems({ ...java, environment: [`JAVA_TOOL_OPTIONS=-Xmx1g ${keep}`] }), []);
  assert.equal(problems({ ...java, environment: [`JAVA_TOOL_OPTIONS=${keep}`], arguments: [omit] }).length, 1);
  assert.equal(problems({ ...java, environment: [`OTHER=${keep}`] }).length, 1);
});

test('a real process whose file says nothing is found, one like all others is not', async () => {
  const program = join(folder, 'silent');
  const source = join(folder, 'silent.s');
  writeFileSync(source, '.globl _start\n_start: .skip 8192, 0x90\n mov $34, %eax\n syscall\n jmp _start\n');
  execFileSync('gcc', ['-nostdlib', '-static', '-o', program, source]);
  const narrow = join(folder, 'narrow');
  execFileSync('gcc', ['-m32', '-nostdlib', '-static', '-o', narrow, 'test/fixtures/spin-32bit.S']);
  const children = [program, '/bin/sleep', narrow].map((path) => spawn(path, ['30'], { stdio: 'ignore' }));
  try {
    await Promise.all(children.map((child) => new Promise((resolve) => child.once('spawn', resolve))));
    const found = await findProcessGaps();
    const of = (index: number) => found.filter(({ pid }) => pid === children[index]!.pid);
    assert.deepEqual(of(0).map(({ comm, problem }) => [comm, problem]), [
      ['silent', 'no unwind information in silent'],
    ]);
    assert.deepEqual(of(1), []);
    assert.deepEqual(of(2).map(({ problem }) => problem), ['32-bit program: its stacks are not walked']);
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
});
