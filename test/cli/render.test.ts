// What answers look like: completeness lines, tables, events, the JSON of a profile. Names in them are
// foreign text.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { diagnosisLines } from '../../cli/doctor.js';
import { formatBytes, formatDurationNs, formatPercent } from '../../cli/format.js';
import { profileJson } from '../../cli/profile-json.js';
import { coverageJson, coverageLines, cutLine } from '../../cli/render-completeness.js';
import { EventTable } from '../../cli/render-events.js';
import { renderTable } from '../../cli/render-table.js';
import { statusJson, statusLines } from '../../cli/status.js';
import { completenessOf } from '../../storage/model/completeness.js';
import { kernelModule, noModule } from '../../storage/model/frame.js';
import { ProfileBuilder } from '../../storage/model/profile.js';
import type { Coverage } from '../../storage/model/query.js';
import type { StreamInfo } from '../../storage/model/stream.js';

const zoneBefore = process.env['TZ'];
beforeEach(() => {
  process.env['TZ'] = 'UTC';
});
afterEach(() => {
  if (zoneBefore === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zoneBefore;
});

const startNs = BigInt(Date.parse('2026-11-20T14:00:00Z')) * 1_000_000n;
const cpu: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: 1e7 },
};

function coverage(counters: Record<string, number>, gaps = { missingBuckets: 0, brokenBlobs: 0 }): Coverage {
  const completeness = completenessOf(counters, gaps);
  return { fromUnixNs: startNs, toUnixNs: startNs + 600_000_000_000n, buckets: 60, completeness };
}

test('an answer says what it covers and what is missing', () => {
  const counters = {
    expected: 10_000,
    captured: 6000,
    idle: 3900,
    not_fired: -2,
    'lost.count_map_full': 100,
  };
  const stacks = {
    complete: 5000,
    cut: { depth: 400, 'frame pointer not plausible': 600 },
    framesNamed: 90,
    framesUnnamed: { 'no-symbols': 10 },
  };
  assert.deepEqual(
    coverageLines('samples', coverage(counters, { missingBuckets: 3, brokenBlobs: 1 }), stacks),
    [
      'range: 2026-11-20 14:00:00 to 14:10:00 +00:00',
      'samples: 10,000 expected, 6,000 captured, 3,900 idle, -2 not fired, 100 lost (count map full 100), ' +
        '2 unexplained (0.0 %)',
      'stacks: 5,000 complete (83.3 %), 1,000 cut (frame pointer not plausible 600, depth 400)',
      'frames: 90.0 % named (unnamed: no symbols 10)',
      'missing: 3 buckets of 10 s hold nothing',
      'damaged: 1 parts of the store could not be read',
    ],
  );
  const counted = coverage({ captured: 10, 'stacks.complete': 7, 'stacks.cut.no unwind table yet': 3 });
  assert.deepEqual(coverageLines('samples', counted).slice(2), [
    'stacks: 7 complete (70.0 %), 3 cut (no unwind table yet 3)',
  ]);
  assert.deepEqual(counted.completeness.stacks, { complete: 7, cut: { 'no unwind table yet': 3 } });
  assert.equal(coverage(counters).completeness.stacks, undefined);
  assert.deepEqual(coverageLines('events', coverage({ expected: 5, captured: 5 })).slice(1), [
    'events: 5 expected, 5 captured, 0 lost, 0 unexplained (0.0 %)',
  ]);
  assert.equal(coverageJson(coverage(counters))['from'], '2026-11-20T14:00:00.000000000Z');
});

test('an answer says whose stacks are cut', () => {
  const process = { exe: '/x', complete: 10, cut: { 'no frame pointer': 120, depth: 3 } };
  assert.equal(
    cutLine([{ ...process, pid: 17, comm: 'ja\u001bva' }, { ...process, pid: 0, comm: 'sh', complete: 0 }]),
    'cut most: ja\ufffdva[17] 123 of 133 (no frame pointer 120, depth 3), sh 123 of 123 (no frame pointer 120, depth 3)',
  );
  assert.equal(cutLine([]), undefined);
});

test('doctor names each gap with its remedy, and the processes by what is wrong', () => {
  const java = { problem: 'Java without X', remedy: 'Start it with X.' };
  const processes = Array.from({ length: 12 }, (_, i) => ({ pid: i + 1, comm: 'ja\u001bva', ...java }));
  const checks = [
    { name: 'kernel', status: 'ok', text: '6.1.153' },
    { name: 'BTF', status: 'fatal', problem: 'there is none', remedy: 'Use another kernel.' },
    { name: 'cgroups', status: 'gap', problem: 'none', remedy: 'Mount cgroup2.' },
  ] as const;
  const names = Array.from({ length: 10 }, (_, i) => `ja\ufffdva[${i + 1}]`).join(', ');
  assert.deepEqual(diagnosisLines({ checks, processes }), [
    'ok    kernel   6.1.153',
    'FAIL  BTF      there is none. Use another kernel.',
    'gap   cgroups  none. Mount cgroup2.',
    '',
    'stacks that cannot be whole:',
    '  Java without X',
    `    ${names} and 2 more`,
    '    Start it with X.',
  ]);
  assert.deepEqual(diagnosisLines({ checks: [checks[0]], processes: [] }), ['ok  kernel  6.1.153']);
});

test('tables line up, and cannot be broken by a name', () => {
  const columns = [
    { title: 'n', align: 'right' },
    { title: 'name', align: 'left' },
  ] as const;
  assert.deepEqual(
    renderTable(columns, [
      ['1', 'a'],
      ['1,000', 'b\n\u001b[2Jc'],
    ]),
    ['    n  name', '    1  a', '1,000  b\ufffd\ufffd[2Jc'],
  );
});

test('events: day and offset once, unknown numbers as ?, names printable', () => {
  const table = new EventTable([
    { name: 'pid', type: 'number' },
    { name: 'comm', type: 'string' },
    { name: 'duration', type: 'number', unit: 'nanoseconds' },
  ]);
  const event = (ms: number, pid: number, comm: string, duration: number) => {
    return { unixNs: startNs + BigInt(ms) * 1_000_000n, values: { pid, comm, duration } };
  };
  assert.deepEqual(table.lines([]), []);
  assert.deepEqual(table.lines([event(0, 1, 'sh', 2_500_000), event(1500, 12, 'a\u001bb', -1)]), [
    'time          pid  comm  duration',
    '-- 2026-11-20 +00:00',
    '14:00:00.000    1  sh      2.50ms',
    '14:00:01.500   12  a\ufffdb          ?',
  ]);
  assert.deepEqual(table.lines([event(86_400_000, 3, 'sh', 5)]), [
    '-- 2026-11-21 +00:00',
    '14:00:00.000    3  sh         5ns',
  ]);
});

test('a profile as JSON holds the arrays of the model', () => {
  const builder = new ProfileBuilder(cpu);
  const series = builder.seriesId({
    pid: 1,
    startUnixMs: 5,
    comm: 'sh',
    thread: 'sh',
    exe: '/bin/sh',
    uid: 0,
    user: 'root',
    cgroup: '/',
  });
  const main = builder.node(0, builder.functionId({ module: noModule, frameType: 'native', name: 'main' }));
  const read = builder.node(
    main,
    builder.functionId({ module: kernelModule, frameType: 'kernel', name: 'sys_read' }),
  );
  builder.add(series, main, 2);
  builder.add(series, read, 3);
  const json = JSON.parse([...profileJson({ filter: '' }, builder.build())].join('')) as Record<
    string,
    unknown
  >;
  assert.deepEqual(json['nodes'], { parent: [0, 0, 1], function: [0, 0, 1] });
  assert.deepEqual(json['rows'], {
    series: [0, 0],
    node: [1, 2],
    values: [
      [2, 3],
      [2e7, 3e7],
    ],
  });
  assert.equal(json['stream'], 'cpu');
  assert.equal((json['functions'] as unknown[]).length, 2);
  const empty = JSON.parse([...profileJson({}, new ProfileBuilder(cpu).build())].join('')) as Record<
    string,
    unknown
  >;
  assert.deepEqual(empty['rows'], { series: [], node: [], values: [[], []] });
});

test('status tells of the store and of the daemon', () => {
  const answer = {
    dataDir: '/d',
    sizeBytes: 3 * 2 ** 20,
    quarantined: ['seg-x.db'],
    streams: [cpu],
    recent: coverage({ captured: 5, idle: 1 }),
    segments: [
      {
        name: 'seg-1.db',
        sizeBytes: 2 ** 20,
        startUnixNs: startNs,
        endUnixNs: startNs + 10n ** 10n,
        state: 'active' as const,
        buckets: 1,
      },
    ],
  };
  const daemon = {
    'losses.flushes': 0,
    'losses.sidebandEvents': 1200,
    'run.pid': 7,
    'run.uptimeSeconds': 3700,
    'run.samplesPerSecond': 12.345,
    'cost.rssBytes': 80 * 2 ** 20,
    'cost.lastStoreMs': 1.25,
    'known.processes': 84,
    'notes.1': 'a note',
  };
  const lines = statusLines({ ...answer, daemon }).join('\n');
  assert.ok(
    lines.startsWith(
      [
        'data: /d (3.0 MiB)',
        'daemon: running',
        '  losses: 1,200 sideband events',
        '  run: pid 7, uptime 1h 1m, 12.3 samples/s',
        '  cost: rss 80.0 MiB, last store 1.25ms',
        '  known: 84 processes',
        '  notes: a note',
        'streams: cpu',
      ].join('\n'),
    ),
    lines,
  );
  assert.match(statusLines({ ...answer, daemon: { 'losses.flushes': 0 } })[2]!, /^ {2}losses: none$/);
  assert.match(lines, /^streams: cpu \(samples, 1 per 10000000 nanoseconds\)$/m);
  assert.match(lines, /^seg-1\.db +active +1\.0 MiB +1 +2026-11-20 14:00:00 to 14:00:10 \+00:00$/m);
  assert.match(lines, /set aside as damaged: seg-x\.db$/);
  assert.match(statusLines(answer)[1]!, /not running/);
  assert.doesNotThrow(() => JSON.stringify(statusJson(answer)));
});

test('numbers for people', () => {
  assert.deepEqual([0, 1023, 1024, 1.5 * 2 ** 30].map(formatBytes), ['0 B', '1023 B', '1.0 KiB', '1.5 GiB']);
  assert.deepEqual([5, 1500, 2.5e6, 1.234e9, 90e9, 3.7e12, 2e14].map(formatDurationNs), [
    '5ns',
    '1.50us',
    '2.50ms',
    '1.23s',
    '1m 30s',
    '1h 1m',
    '2d 7h',
  ]);
  assert.deepEqual([formatPercent(1, 3), formatPercent(0, 0)], ['33.3 %', '-']);
});
