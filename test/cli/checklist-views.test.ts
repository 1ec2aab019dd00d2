// Views of the checklist on facts by hand: nothing recorded, other hosts, and what is marked.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuShares, mpstatView, uptimeText, uptimeView, vmstatView } from '../../cli/checklist/cpu-views.js';
import { dmesgView } from '../../cli/checklist/dmesg-view.js';
import type { HostFacts, StreamFacts } from '../../cli/checklist/facts.js';
import { iostatView, sarDevView, sarTcpView } from '../../cli/checklist/io-views.js';
import { freeView } from '../../cli/checklist/memory-view.js';
import { pidstatView, processesOf, topView } from '../../cli/checklist/process-views.js';
import { viewJson, viewLines } from '../../cli/checklist/view.js';
import { completenessOf } from '../../storage/model/completeness.js';

const views = [
  uptimeView,
  dmesgView,
  vmstatView,
  mpstatView,
  pidstatView,
  iostatView,
  freeView,
  sarDevView,
  sarTcpView,
  topView,
];

function factsOf(streams: HostFacts['streams'], more: Partial<HostFacts> = {}): HostFacts {
  const completeness = completenessOf({}, { missingBuckets: 0, brokenBlobs: 0 });
  const coverage = { fromUnixNs: 0n, toUnixNs: 10n ** 10n, buckets: 1, completeness };
  return { untilUnixNs: 10n ** 10n, coverage, streams, processes: [], messages: [], ...more };
}

function counted(values: Readonly<Record<string, number>>, seconds = 10): StreamFacts {
  return { seconds, values: new Map(Object.entries(values)) };
}

test('a host of which nothing is recorded has ten views that say so, and no marks', () => {
  for (const view of views.map((of) => of(factsOf({})))) {
    assert.deepEqual(view.marks, [], view.tool);
    assert.ok(view.missing !== undefined || view.tool.startsWith('dmesg'), view.tool);
    assert.ok(viewLines(view, { hasColour: false }).length >= 2);
  }
});

test('all streams without a value make no view fail, and no number that is none', () => {
  const names = (
    'uptime load users tasks cpu system memory vm diskOperations diskBytes diskMerged diskTime diskBusy ' +
    'diskQueue diskInFlight netBytes netPackets netErrors netCompressed netMulticast netSpeed protocol pressure'
  ).split(' ');
  const streams = Object.fromEntries(names.map((name) => [name, counted({})]));
  const process = { pid: 7, start: 1, comm: 'x', interval: -1 };
  for (const of of views) {
    const text = viewLines(of(factsOf(streams, { processes: [process] })), { hasColour: true }).join('\n');
    assert.doesNotMatch(text, /NaN|Infinity|undefined/);
  }
});

test('CPUs are in the order of their numbers, guests are part of user', () => {
  const times = { '10 user': 50, '10 idle': 50, '2 user': 100, '2 guest': 40, '2 unheard_of': 1e9 };
  assert.deepEqual(
    cpuShares(counted(times)).map(({ name, percent }) => [name, percent.user, percent.guest]),
    [
      ['all', 75, 20],
      ['2', 100, 40],
      ['10', 50, 0],
    ],
  );
});

test('one busy CPU among idle ones is a sign of its own', () => {
  const { marks } = mpstatView(factsOf({ cpu: counted({ '0 user': 100, '1 idle': 100, '2 idle': 100 }) }));
  assert.deepEqual(
    marks.map(({ kind, why }) => `${kind}: ${why}`),
    ["utilisation: CPU 0 100.0 % busy, all together 33.3 %: one thread's limit?"],
  );
});

test('uptime is written as uptime writes it', () => {
  assert.deepEqual([1500, 3600, 5 * 3600 + 125, 86_400, 3 * 86_400 + 4 * 3600 + 300].map(uptimeText), [
    '25 min',
    ' 1:00',
    ' 5:02',
    '1 day, 0 min',
    '3 days,  4:05',
  ]);
});

test('a process of several buckets is one row; a bucket without it is one in which it did nothing', () => {
  const event = { pid: 7, start: 1, comm: 'x', user: 'root', interval: 10_000 };
  const processes = [
    { ...event, userTime: 6000, systemTime: 0, majorFaults: -1 },
    { ...event, userTime: 3000, systemTime: 3000, majorFaults: 5 },
    { ...event, pid: 8, userTime: -1, systemTime: -1, interval: -1 },
  ];
  const facts = factsOf({ cpu: counted({}, 30) }, { processes });
  const [first, second] = processesOf(facts);
  assert.deepEqual([first!.seconds, first!.added['userTime'], first!.added['majorFaults']], [30, 9000, 5]);
  assert.equal(second!.added['userTime'], undefined);
  const [table] = viewJson(pidstatView(facts))['tables'] as Record<string, unknown>[][];
  assert.deepEqual(
    table!.map((row) => [row['PID'], row['%CPU']]),
    [
      [7, 40],
      [8, null],
    ],
  );
});

test('names from outside are printable in every view', () => {
  const evil = 'a\u001b[2Jb\nc';
  const facts = factsOf(
    {
      cpu: counted({ '0 user': 1 }),
      diskOperations: counted({ [`${evil} read`]: 5 }),
      netBytes: counted({ [`${evil} receive`]: 1 }),
    },
    {
      processes: [{ pid: 1, start: 1, comm: evil, user: evil, interval: 1000, waitTime: 9e9, userTime: 1 }],
      messages: [{ unixNs: 0n, values: { level: 1, message: `I/O error ${evil}` } }],
    },
  );
  for (const of of views) {
    for (const line of viewLines(of(facts), { hasColour: false })) assert.doesNotMatch(line, /[\u001b\n]/);
  }
});
