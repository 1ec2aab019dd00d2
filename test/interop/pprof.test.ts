// Our pprof in the hands of `go tool pprof`: the same table as our own,
// mappings, build ids and labels.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';

import fc from 'fast-check';

import { pprofGzip } from '../../exporters/formats/pprof.js';
import type { Profile } from '../../storage/model/profile.js';
import { topOf } from '../../storage/model/top.js';
import { profiles, smallProfile, sumBy } from '../support/profiles.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('interop/pprof.test');

const second = 1_000_000_000n;
const skip = spawnSync('go', ['version']).status === 0 ? false : 'there is no go';

async function pprof(profile: Profile, args: readonly string[]): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'fk-pprof-'));
  try {
    const file = join(dir, 'profile.pb.gz');
    const span = { timeUnixNs: 1_750_000_000n * second, durationNs: 60n * second };
    await pipeline(
      pprofGzip(profile, { ...span, comments: ['a comment'] }),
      createWriteStream(file),
    );
    const env = { ...process.env, PPROF_TMPDIR: dir };
    return execFileSync('go', ['tool', 'pprof', ...args, file], {
      encoding: 'utf8',
      env,
      stdio: 'pipe',
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

interface Row {
  readonly name: string;
  readonly self: number;
  readonly total: number;
}

async function goTop(profile: Profile): Promise<Row[]> {
  const everything = ['-nodefraction=0', '-edgefraction=0', '-nodecount=100000'];
  const text = await pprof(profile, ['-top', '-sample_index=samples', ...everything]);
  return text
    .slice(text.indexOf('cum%\n') + 5)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, self, total, name] = /^\s*(\d+)\s+\S+\s+\S+\s+(\d+)\s+\S+ {2}(.*)$/.exec(line)!;
      return { name: name!, self: Number(self), total: Number(total) };
    });
}

test('go tool pprof -top prints our table', { skip }, async () => {
  const text = await pprof(smallProfile(), ['-top', '-sample_index=samples']);
  assert.match(text, /^File: db\nBuild ID: c0ffee\n/m);
  assert.match(text, /^Duration: 60s, Total samples = 55 $/m);
  assert.match(await pprof(smallProfile(), ['-top']), /^Type: cpu$/m);

  // Names that go reads as they are, and modules of the same name: it keeps
  // functions apart by name alone.
  const plainName = fc.stringMatching(/^[a-z_][a-z0-9_:<>(,)]{0,15}$/);
  for (const profile of [smallProfile(), ...fc.sample(profiles(plainName), 8)]) {
    if (profile.rowNodes.length === 0) continue;
    const { rows } = topOf(profile, { valueIndex: 0, limit: Infinity, sortBy: 'self' });
    const actual = await goTop(profile);
    assert.deepEqual(
      sumBy(actual, ({ name }) => name, ({ self }) => self),
      sumBy(rows, ({ label }) => label, ({ self }) => self),
    );
    if (new Set(rows.map(({ label }) => label)).size < rows.length) continue;
    assert.deepEqual(
      sumBy(actual, ({ name }) => name, ({ total }) => total),
      sumBy(rows, ({ label }) => label, ({ total }) => total),
    );
  }
});

test('go tool pprof -raw shows mappings, build ids, addresses and labels', { skip }, async () => {
  const text = await pprof(smallProfile(), ['-raw']);
  for (const line of [
    /^PeriodType: cpu nanoseconds$/m,
    /^Period: 10101010$/m,
    /^samples\/count cpu\/nanoseconds\[dflt\]$/m,
    /^1: 0x0\/0x0\/0x0 \/usr\/bin\/db c0ffee \[FN\]$/m,
    /^3: 0x0\/0x0\/0x0 \[kernel\.kallsyms\] {2}\[FN\]$/m,
    /0xffffffff81000000 M=3 \[kernel\+0xffffffff81000000\]/,
    /0x2000 M=4 \[libx\.so\+0x2000\]/,
    /cgroup:\[\/web\.slice\] comm:\[app\] cut:\[unreadable\] exe:\[\/usr\/bin\/app\] thread/,
    /thread:\[app-1\]/,
    /user:\[www\]/,
    /pid:\[42\]/,
  ]) {
    assert.match(text, line);
  }
});
