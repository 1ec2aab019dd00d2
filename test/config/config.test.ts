// The configuration: every documented option, the defaults in file and code, the origin of a
// value, and how a bad one is told.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { defaultDataDir } from '../../config/data-dir.js';
import { loadConfig } from '../../config/load.js';
import type { Config, ConfigSources } from '../../config/load.js';
import { parseOptionText } from '../../config/option-file.js';
import { listOptions, textOptions } from '../../config/schema.js';
import {
  parseCpuList,
  parseDurationMs,
  parseFileMode,
  parseSizeBytes,
} from '../../config/units.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('config.test');
const folder = mkdtempSync(join(tmpdir(), 'flamekeeper-config-'));
after(() => rmSync(folder, { recursive: true }));

const documented = resolve('config/flamekeeper.yaml');

function load(text: string, more: Partial<ConfigSources> = {}) {
  const file = join(folder, 'test.yaml');
  writeFileSync(file, text);
  return loadConfig({ file, env: {}, flags: {}, ...more });
}

function configOf(text: string, more: Partial<ConfigSources> = {}): Config {
  const result = load(text, more);
  assert.ok(result.ok, JSON.stringify(result));
  return result.loaded.config;
}

function problemsOf(text: string, more: Partial<ConfigSources> = {}): string[] {
  const result = load(text, more);
  assert.ok(!result.ok, 'it should have been refused');
  return result.problems.map(({ line, message }) => `${line}: ${message}`);
}

test('the documented file says what is the default anyway', () => {
  const fromFile = loadConfig({ file: documented, env: {}, flags: {} });
  const builtIn = loadConfig({ env: {}, flags: {} });
  assert.ok(fromFile.ok && builtIn.ok);
  assert.deepEqual({ ...fromFile.loaded.config, probes: {} }, builtIn.loaded.config);
  assert.equal(fromFile.loaded.config.probes['process']!['arguments']!.value, false);
});

test('the documented file names every option, and its flags and variables', () => {
  const text = readFileSync(documented, 'utf8');
  const read = parseOptionText(text, documented);
  assert.deepEqual(read.problems, []);
  assert.deepEqual([...read.texts.keys()].sort(), Object.keys(textOptions).sort());
  assert.deepEqual([...read.lists.keys()].sort(), Object.keys(listOptions).sort());
  for (const option of Object.values(textOptions)) {
    assert.ok(text.includes(option.environment), option.environment);
    if ('flag' in option) assert.ok(text.includes(`--${option.flag}`), option.flag);
  }
});

test('each option is read from the file', () => {
  const config = configOf(`
dataDir: /srv/x
sampling:
  frequencyHz: 99
  cpus: 0-2,8
  events: [{ event: page-faults, period: 100 }, { event: a:b, frequencyHz: 9 }]
flush: { interval: 200ms }
store: { maxAge: 12h }
symbols: { maxSize: 1.5GiB }
unwind: { maxSize: 8MiB, maxFileSize: 1MiB, cpuPercent: 20, maxFiles: 99 }
limits:
  { stackMapEntries: 1024, countMapEntries: 2048, eventsPerFlush: 5, counterDescriptors: 9 }
counters: { events: [cycles, [msr/tsc/, 'cpu/event=1,umask=2/u']], cgroups: [/a.slice/b] }
context: { seconds: 1m, processes: 7, cgroups: 8, kernelLevel: none }
socket: { mode: 0600, group: adm }
log: { level: debug }
probes: { process: { arguments: true }, mine: { bins: 7 } }
`);
  const { probes, ...rest } = config;
  assert.deepEqual(rest, {
    dataDir: '/srv/x',
    sampling: {
      frequencyHz: 99,
      cpus: [0, 1, 2, 8],
      events: [
        { event: 'page-faults', period: 100 },
        { event: 'a:b', frequencyHz: 9 },
      ],
    },
    flush: { intervalMs: 200 },
    store: { maxAgeMs: 12 * 3600e3 },
    symbols: { maxBytes: 1.5 * 2 ** 30 },
    unwind: { maxBytes: 2 ** 23, maxFileBytes: 2 ** 20, cpuShare: 0.2, maxFiles: 99 },
    limits: {
      stackMapEntries: 1024,
      countMapEntries: 2048,
      eventsPerFlush: 5,
      counterDescriptors: 9,
    },
    counters: {
      groups: [['cycles'], ['msr/tsc/', 'cpu/event=1,umask=2/u']],
      cgroups: ['/a.slice/b'],
    },
    context: { secondsMs: 60_000, processes: 7, cgroups: 8, kernelLevel: -1 },
    socket: { mode: 0o600, group: 'adm' },
    log: { level: 'debug' },
  });
  assert.deepEqual({ ...probes['process']!['arguments'] }, { value: true, line: 17 });
  assert.deepEqual({ ...probes['mine']!['bins'] }, { value: 7, line: 17 });
