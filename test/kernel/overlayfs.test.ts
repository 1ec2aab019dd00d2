// Programs on overlayfs, as in containers: the kernel maps a file of a layer below, whose numbers may not be those
// that anybody else sees. Their stacks are whole and have names, also after a copy up; what is still mapped from
// before keeps its own.
//
//   lower  fk-lower  fk-copied  libfk.so                     mapped by fk-before, for ever
//   upper            fk-copied  libfk.so, written over       mapped by fk-after

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { OperatingError } from '../../storage/model/errors.js';
import { TestDaemon } from '../support/daemon.js';
import { plainRowsOf } from '../support/profiles.js';
import { buildProgram } from '../support/programs.js';
import { skipWithoutBpf as skip, sleep } from './probe-support.js';
import { withoutFramePointers } from './unwinding.js';

const waitMs = 180_000;
const enough = 40;
const folder = mkdtempSync(join(tmpdir(), 'fk-overlay-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A shell with mounts of its own, which end with it and what it started. */
class PrivateShell {
  readonly #shell: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.#shell = spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-e'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#shell.stdout! })[Symbol.asyncIterator]();
  }

  /** Runs the command; gives what it prints, a line. */
  async run(command: string): Promise<string> {
    this.#shell.stdin!.write(`${command}\necho .\n`);
    const printed: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      assert.ok(done !== true, `the shell ended at: ${command}`);
      if (value === '.') return printed.join('\n');
      printed.push(value);
    }
  }

  async end(): Promise<void> {
    const ended = once(this.#shell, 'exit');
    this.#shell.kill('SIGKILL');
    await ended;
  }
}

/** Complete user stacks of a program, root first, kernel's part left out; and why the others are cut. */
async function stacksOf(daemon: TestDaemon, comm: string): Promise<{ whole: string[]; cut: string[] }> {
  const answer = await daemon.aggregate({ comm: [comm] }).catch((error: unknown) => {
    if (error instanceof OperatingError && error.code === 'no-data') return undefined;
    throw error;
  });
  if (answer === undefined) return { whole: [], cut: [] };
  const { profile } = answer;
  const whole: string[] = [];
  const cuts: string[] = [];
  for (const { frames, cut, values } of plainRowsOf(profile)) {
    const user = frames.filter(({ frameType }) => frameType === 'native');
    const text = user.map(({ name, reason }) => name || reason).join(' ');
    for (let i = 0; i < values[0]!; i++) (cut === undefined ? whole : cuts).push(cut === undefined ? text : cut);
  }
  return { whole, cut: cuts };
}

/** Waits for stacks of this shape; none that is whole may have another one. */
async function hasShape(daemon: TestDaemon, comm: string, shape: RegExp): Promise<void> {
  for (const giveUpMs = performance.now() + waitMs; ; await sleep(500)) {
    const { whole, cut } = await stacksOf(daemon, comm);
    const counts = (texts: string[]) => [...new Set(texts)].map((text) => `${texts.filter((t) => t === text).length} ${text}`).join('\n');
    const isOther = (text: string) => !shape.test(text) && / (main|work)/.test(text);
    const said = `${comm}: ${counts(whole)}\ncut: ${counts(cut)}`;
    assert.ok(whole.filter(isOther).length <= whole.length / 50, said);
    if (whole.filter((text) => shape.test(text)).length >= enough) return;
    assert.ok(performance.now() < giveUpMs, said);
  }
}

const recursion = /^_start .*main by_recursion( deep){0,20}( spin)?$/;
const works = (leaf: string) => new RegExp(`^_start .*main work( ${leaf})?$`);

for (const layers of ['one file system', 'two file systems']) {
  test(`overlayfs, its layers on ${layers}`, { skip }, async () => {
    const flags = ['-O1', '-fno-optimize-sibling-calls', '-ldl'];
    const shared = ['-DLIBRARY', '-shared', '-fPIC'];
    const [before, then] = ['alpha_of_before', 'omega_of_after_'].map((leaf) =>
      buildProgram('named-work.c', `lib${leaf}`, [...flags, ...shared, `-DLEAF=${leaf}`]),
    );
    const shapes = buildProgram('known-shapes.c', 'fk-shapes', withoutFramePointers);
    const loads = buildProgram('named-work.c', 'fk-loads', [...flags, '-DLEAF=unused']);
    const root = join(folder, layers.replaceAll(' ', '-'));
    const disk = join(root, 'disk');
    mkdirSync(disk, { recursive: true });
    for (const name of ['fk-lower', 'fk-copied']) copyFileSync(shapes, join(disk, name));
    for (const name of ['fk-before', 'fk-after']) copyFileSync(loads, join(disk, name));
    copyFileSync(before!, join(disk, 'libfk.so'));
    const daemon = await TestDaemon.start(['--frequency', '199', '--interval', '1s']);
    const shell = new PrivateShell();
    try {
      await shell.run(`cd ${root}; mkdir ram merged; mount -t tmpfs none ram; mkdir ram/upper ram/work`);
      if (layers === 'one file system') await shell.run('cp -a disk ram/lower');
      const lower = layers === 'one file system' ? 'ram/lower' : 'disk';
      await shell.run(`mount -t overlay none -o lowerdir=${lower},upperdir=ram/upper,workdir=ram/work merged`);
      await shell.run(': >> merged/fk-copied');
      const inodes = (await shell.run('stat -c %i merged/fk-copied ram/upper/fk-copied')).split('\n');
      assert.equal(inodes.length, 2);
      if (layers === 'one file system') assert.notEqual(inodes[0], inodes[1], 'what is shown is not what is mapped');
      await shell.run('merged/fk-lower recursion & merged/fk-copied recursion & merged/fk-before merged/libfk.so &');
      await hasShape(daemon, 'fk-lower', recursion);
      await hasShape(daemon, 'fk-copied', recursion);
      await hasShape(daemon, 'fk-before', works('alpha_of_before'));
      await shell.run(`cat ${then} 1<> merged/libfk.so`);
      await shell.run('merged/fk-after merged/libfk.so &');
      await hasShape(daemon, 'fk-after', works('omega_of_after_'));
      const { whole } = await stacksOf(daemon, 'fk-before');
      const isWrong = (text: string) => text.includes('omega') || text.includes('file-changed');
      assert.deepEqual(whole.filter(isWrong), []);
    } finally {
      await shell.end();
      await daemon.stop();
      daemon.remove();
    }
  });
}
