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
export:
  otlp:
    { endpoint: 'http://c:4318', protocol: grpc, temporality: delta, catchUp: 5, maxBacklog: 1h,
      timeout: 2s, compression: gzip, headersFile: /h, certificate: /ca, clientCertificate: /cc, clientKey: /ck }
  maxSeries: 50
  processes: true
  resource: ['a.b=c=d']
http: { listen: '[::1]:9464', tokenFile: /t, certificate: /c, key: /k, clientCa: /a }
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
    export: {
      otlp: {
        endpoint: 'http://c:4318',
        protocol: 'grpc',
        temporality: 'delta',
        timeoutMs: 2000,
        compression: 'gzip',
        headersFile: '/h',
        certificate: '/ca',
        clientCertificate: '/cc',
        clientKey: '/ck',
        catchUpPerSecond: 5,
        maxBacklogMs: 3600e3,
      },
      maxSeries: 50,
      withProcesses: true,
      resource: [['a.b', 'c=d']],
    },
    http: { listen: '[::1]:9464', tokenFile: '/t', certificate: '/c', key: '/k', clientCa: '/a' },
    socket: { mode: 0o600, group: 'adm' },
    log: { level: 'debug' },
  });
  assert.deepEqual({ ...probes['process']!['arguments'] }, { value: true, line: 25 });
  assert.deepEqual({ ...probes['mine']!['bins'] }, { value: 7, line: 25 });
});

test('a flag wins over the environment, that over the file, that over the default', () => {
  const file = 'sampling:\n  frequencyHz: 1\n';
  const env = { FLAMEKEEPER_SAMPLING_FREQUENCY_HZ: '2' };
  const originOf = (text: string, more: Partial<ConfigSources>) => {
    const result = load(text, more);
    assert.ok(result.ok);
    const { value, origin } = result.loaded.origins.find(
      ({ option }) => option === 'sampling.frequencyHz',
    )!;
    return `${value} ${origin.replace(folder, '')}`;
  };
  assert.equal(originOf(file, { env, flags: { frequency: '3' } }), '3 flag --frequency');
  assert.equal(originOf(file, { env }), '2 environment FLAMEKEEPER_SAMPLING_FREQUENCY_HZ');
  assert.equal(originOf(file, {}), '1 file /test.yaml:2');
  assert.equal(originOf('', {}), '47 default');
});

test('a relative data directory starts where it was written', () => {
  assert.equal(configOf('dataDir: here').dataDir, join(folder, 'here'));
  assert.equal(configOf('', { flags: { data: 'here' } }).dataDir, resolve('here'));
  assert.equal(configOf('', { env: { FLAMEKEEPER_DATA: 'there' } }).dataDir, resolve('there'));
});

test('without a word, data is in the checkout, or in /var/lib outside of one', () => {
  assert.equal(defaultDataDir(), resolve('data'));
  assert.equal(defaultDataDir('/nowhere/at/all'), '/var/lib/flamekeeper');
  writeFileSync(join(folder, 'package.json'), '{}');
  assert.equal(defaultDataDir(folder), '/var/lib/flamekeeper');
});

test('a problem names its line, its value and what is allowed', () => {
  assert.deepEqual(problemsOf('sampling:\n  frequencyHz: 1000\n'), [
    '2: sampling.frequencyHz: "1000" is not allowed; allowed: an integer from 1 to 999',
  ]);
  assert.deepEqual(problemsOf('store:\n  maxAge: 30\nflush: { interval: 11s }\n'), [
    '2: store.maxAge: "30" is not allowed; allowed: a duration from 1h to 3650d',
    '3: flush.interval: "11s" is not allowed; allowed: a duration from 200ms to 10s',
  ]);
  assert.deepEqual(problemsOf('\n\nsampling:\n  frequenzy: 1\n'), [
    '4: "sampling.frequenzy" is no option; allowed here: frequencyHz, cpus, events',
  ]);
  assert.match(
    problemsOf('constructor: 1\n')[0]!,
    /^1: "constructor" is no option; allowed here: dataDir, sampling/,
  );
  assert.match(
    problemsOf('sampling: { events: [{ event: x, period: 1, frequencyHz: 1 }] }')[0]!,
    /^1: .*not both$/,
  );
  assert.match(
    problemsOf('sampling: 3')[0]!,
    /^1: sampling takes options of its own: frequencyHz, cpus, events$/,
  );
  assert.match(
    problemsOf('log: { level: [1] }')[0]!,
    /^1: log.level takes one value; allowed: one of error, warn/,
  );
  assert.match(problemsOf('a: &x 1\nb: *x\n')[0]!, /^2: aliases/);
  assert.match(problemsOf('log: {}\nlog: {}\n')[0]!, /^2: Map keys must be unique/);
  assert.match(problemsOf('- 1')[0]!, /^1: options are expected here/);
  assert.match(
    problemsOf('probes: { process: 1 }')[0]!,
    /^1: probes.process takes options of its own/,
  );
  assert.match(
    problemsOf('', { flags: { cpus: '3-1' } })[0]!,
    /^0: flag --cpus: "3-1" is not allowed; allowed: all, or/,
  );
  assert.match(problemsOf('', { flags: { cpus: '\x1b\x9b1m' } })[0]!, /"\\u001b\\u009b1m"/);
  assert.match(
    problemsOf('', { env: { FLAMEKEEPER_LOG_LEVEL: 'loud' } })[0]!,
    /^0: environment FLAMEKEEPER_LOG_LEVEL: /,
  );
});

test('a file that is not there matters only when it was asked for', () => {
  const file = join(folder, 'none.yaml');
  assert.ok(loadConfig({ file, env: {}, flags: {} }).ok);
  const required = loadConfig({ file, fileIsRequired: true, env: {}, flags: {} });
  assert.ok(!required.ok && /cannot read it: ENOENT/.test(required.problems[0]!.message));
  assert.ok(!loadConfig({ file: folder, env: {}, flags: {} }).ok, 'a folder is no file');
});

test('a file too large, or too deep for its parser, is a problem and no crash', () => {
  assert.match(problemsOf('#'.repeat(70_000))[0]!, /larger than 64 KiB/);
  for (const hostile of [
    '['.repeat(60_000),
    '{a: '.repeat(15_000),
    '- '.repeat(30_000),
    '? '.repeat(30_000),
  ]) {
    assert.ok(problemsOf(hostile).length > 0);
  }
});

test('no text makes the reader throw', () => {
  const words = fc.constantFrom(
    'sampling',
    'events',
    'probes',
    ': ',
    '\n',
    '  ',
    '[',
    ']',
    '{',
    '}',
    '&a ',
    '*a',
    '- ',
    "'",
    '!!x ',
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(words, { maxLength: 60 }).map((w) => w.join('')),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const { problems } = parseOptionText(text, 'x');
      for (const { line } of problems) {
        assert.ok(line >= 0 && line <= text.split(/\r\n|\r|\n/).length);
      }
    }),
  );
});

test('units are read as people write them', () => {
  assert.deepEqual(
    ['10s', '1h30m', '1.5s', '250ms', '30d', '250us', '500ns'].map(parseDurationMs),
    [1e4, 5.4e6, 1500, 250, 2592e6, 0.25, 0.0005],
  );
  assert.deepEqual(
    ['10', '', 's', '-1s', '1y', '1e3s', '999999999d'].map(parseDurationMs),
    Array(7).fill(undefined),
  );
  assert.deepEqual(['64MiB', '4096', '1.5KiB', '500 MB'].map(parseSizeBytes), [
    2 ** 26,
    4096,
    1536,
    5e8,
  ]);
  assert.deepEqual(
    ['', '-1', '1XB', '999999999999999GiB'].map(parseSizeBytes),
    Array(4).fill(undefined),
  );
  assert.deepEqual(['0', '3,1-2,2', 'all'].map(parseCpuList), [[0], [1, 2, 3], 'all']);
  assert.deepEqual(
    ['', '3-1', '1,', '9000', 'x', '-1'].map(parseCpuList),
    Array(6).fill(undefined),
  );
  assert.deepEqual(['0660', '640', '0999', '66', '01777'].map(parseFileMode), [
    0o660,
    0o640,
    undefined,
    undefined,
    undefined,
  ]);
});

test('a list that is not allowed is told with its line', () => {
  const [problem = ''] = problemsOf('counters:\n  cgroups: [/a/../b]\n');
  assert.match(problem, /^2: counters\.cgroups: ".*" is not allowed; allowed: a list of at most 64/);
  assert.match(problemsOf('counters: { events: [[]] }')[0]!, /^1: counters\.events: /);
  assert.match(problemsOf('counters: { events: 5 }')[0]!, /^1: counters\.events: "5"/);
});
