// perf events and their rings on this kernel: side-band records of processes that come and go, in a ring so
// small that it wraps and overflows.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { closeFd } from '../../ffi/libc.js';
import {
  disablePerfEvent,
  enablePerfEvent,
  openPerfEvent,
  perfEventId,
  perfType,
  sampleBit,
  softwareEvent,
  type PerfEventAttr,
} from '../../ffi/perf-event.js';
import { PerfRing, type OnPerfRecord } from '../../ffi/perf-ring.js';
import { Poller } from '../../ffi/poller.js';
import { skipReason } from '../support/bpf-fixture.js';
import { until } from '../support/wait.js';

const skip = skipReason() ?? false;
const CLOCK_MONOTONIC = 1;
const RECORD = { mmap: 1, lost: 2, comm: 3, exit: 4, fork: 7, mmap2: 10 };

const sideBand: PerfEventAttr = {
  type: perfType.software,
  config: softwareEvent.dummy,
  sampleType: sampleBit.tid | sampleBit.time | sampleBit.cpu,
  clockId: CLOCK_MONOTONIC,
  wakeupBytes: 1024,
  flags: ['mmap', 'mmap2', 'comm', 'commExec', 'task', 'sampleIdAll'],
};

function open(pages: number): { fd: number; ring: PerfRing }[] {
  return cpus().map((_, cpu) => {
    const opened = openPerfEvent(sideBand, { cpu });
    assert.ok('fd' in opened, JSON.stringify(opened));
    return { fd: opened.fd, ring: new PerfRing(opened.fd, pages) };
  });
}

function close(events: { fd: number; ring: PerfRing }[]): void {
  for (const { fd, ring } of events) {
    ring.close();
    closeFd(fd);
  }
}

test('forks and exits of our children are all told, around the end of the ring', { skip }, () => {
  const events = open(2);
  const forks = new Set<number>();
  const exits = new Set<number>();
  let bytes = 0;
  const children: number[] = [];
  for (let i = 0; i < 60; i++) {
    children.push(spawnSync('/bin/true').pid);
    for (const { ring } of events) {
      ring.read((view, offset, size, type) => {
        bytes += size;
        const pid = view.getUint32(offset + 8, true);
        const timeNs = view.getBigUint64(offset + size - 16, true);
        if (type === RECORD.lost) return;
        assert.ok(timeNs > 0n && timeNs <= process.hrtime.bigint());
        if (type === RECORD.fork) forks.add(pid);
        if (type === RECORD.exit) exits.add(pid);
      });
    }
  }
  const lost = events.reduce((sum, { ring }) => sum + ring.lostCount, 0);
  const broken = events.reduce((sum, { ring }) => sum + ring.brokenCount, 0);
  console.log(`${children.length} children, ${bytes} bytes of records through rings of 8 KB, ${lost} lost`);
  assert.equal(broken, 0);
  if (lost === 0) {
    assert.ok(children.every((pid) => forks.has(pid)));
    assert.ok(children.every((pid) => exits.has(pid)));
  }
  close(events);
});

test('a ring that nobody reads overflows, and says how much it lost', { skip }, () => {
  const events = open(1);
  for (let i = 0; i < 40; i++) spawnSync('/bin/true');
  assert.ok(events.some(({ ring }) => ring.waitingBytes > ring.sizeBytes / 2));
  for (const { ring } of events) ring.read(() => {});
  assert.ok(events.every(({ ring }) => ring.waitingBytes === 0));
  for (let i = 0; i < 4; i++) spawnSync('/bin/true');
  let lostRecords = 0;
  const countLost: OnPerfRecord = (_view, _offset, _size, type) => {
    if (type === RECORD.lost) lostRecords++;
  };
  for (const { ring } of events) ring.read(countLost);
  const lost = events.reduce((sum, { ring }) => sum + ring.lostCount, 0);
  console.log(`${lost} records lost, told in ${lostRecords} records`);
  assert.ok(lost > 0 && lostRecords > 0);
  close(events);
  assert.equal(events[0]!.ring.waitingBytes, 0);
});

test('a ring wakes the poller when enough waits', { skip }, async () => {
  const events = open(8);
  let wakes = 0;
  const onReadable = (): void => {
    wakes++;
    for (const { ring } of events) ring.read(() => {});
  };
  const poller = new Poller({ onReadable, onError: (error) => assert.fail(String(error)) });
  for (const { fd } of events) poller.add(fd);
  await until(() => {
    spawnSync('/bin/true');
    return wakes > 0;
  }, 'a full ring wakes us');
  poller.close();
  close(events);
});

test('an event that cannot be is an errno by name', { skip }, () => {
  assert.deepEqual(openPerfEvent(sideBand, { cpu: 100_000 }), { errno: 'EINVAL' });
  assert.deepEqual(openPerfEvent({ ...sideBand, type: 12345 }, { cpu: 0 }), { errno: 'ENOENT' });
});

test('ioctls: enable, disable, id', { skip }, () => {
  const clock = { type: perfType.software, config: softwareEvent.taskClock };
  const opened = openPerfEvent({ ...clock, flags: ['disabled'] }, { cpu: -1, tid: 0 });
  assert.ok('fd' in opened);
  assert.equal(enablePerfEvent(opened.fd), undefined);
  assert.equal(disablePerfEvent(opened.fd), undefined);
  const id = perfEventId(opened.fd);
  assert.ok('id' in id && id.id > 0n);
  closeFd(opened.fd);
  assert.equal(enablePerfEvent(opened.fd), 'EBADF');
});
