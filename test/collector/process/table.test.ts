// Timelines of processes, each as the kernel tells it, and what samples of it must resolve to.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootNs, clone, exec, exit, fileAt, fork, lost, mmap, newTable, rename, snapshot } from './build.js';

const MS = 1_000_000;

//   bash(10)  snapshot, exec id 3
//   child(20)      fork@10ms ── exec@12ms ── exit@20ms
test('a fork has the image of its parent until it executes another', () => {
  const table = newTable();
  table.addSnapshot(snapshot({
    tgid: 10, readAt: [0, 1], startNs: -50_000 * MS, comm: 'bash', executable: '/bin/bash',
    mappings: [[1, 5, '/bin/bash']],
  }));
  table.advance(2);
  table.apply(fork(10 * MS, 10, 20));
  table.apply(exec(12 * MS, 20, 'ls'));
  table.apply(mmap(13 * MS, 20, [1, 3], '/bin/ls'));
  table.apply(mmap(14 * MS, 20, [8, 9], '/lib/ld.so'));
  table.apply(exit(20 * MS, 20));
  table.advance(21 * MS);

  const bashStart = Math.floor(bootNs(-50_000 * MS) / 1e7) * 1e7 + 4321;
  const bash = table.resolve(10, bashStart, 3);
  const before = table.resolve(20, bootNs(10 * MS) - 5000, 3);
  const after = table.resolve(20, bootNs(10 * MS) - 5000, 4);
  assert.deepEqual([bash?.comm, before?.comm, after?.comm], ['bash', 'bash', 'ls']);
  assert.deepEqual([before?.executable, after?.executable], ['/bin/bash', '/bin/ls']);
  assert.deepEqual([fileAt(before, 2), fileAt(after, 2)], ['/bin/bash+1', '/bin/ls+1']);
  assert.equal(fileAt(after, 8), '/lib/ld.so+0');
  assert.deepEqual([before?.endedNs, after?.endedNs], [12 * MS, 20 * MS]);
  assert.equal(table.resolve(20, bootNs(10 * MS) - 5000, 2), undefined, 'an older image is not known');
  assert.equal(table.takeResync(), undefined);
});

//   10  fork 20@1 ── mmap by 10@2 ── mmap by 20@3
test('parent and child share mappings until either maps', () => {
  const table = newTable();
  table.apply(fork(0, 1, 10));
  table.apply(exec(0, 10, 'server'));
  table.apply(mmap(0, 10, [1, 5], '/bin/server'));
  const used = table.counts.mappings;
  for (let child = 1; child <= 1000; child++) table.apply(fork(1, 10, 1000 + child));
  assert.equal(table.counts.mappings, used, 'a thousand children cost no entry');
  table.apply(mmap(2, 10, [8, 9], '/lib/a.so'));
  table.apply(mmap(3, 1001, [8, 9], '/lib/b.so'));
  const at = (tgid: number, forkedNs: number, page: number): string =>
    fileAt(table.resolve(tgid, bootNs(forkedNs), 1), page);
  assert.deepEqual([at(10, 0, 8), at(1001, 1, 8), at(1002, 1, 8)], ['/lib/a.so+0', '/lib/b.so+0', '-']);
  assert.deepEqual([at(10, 0, 1), at(1001, 1, 1), at(1002, 1, 1)], Array(3).fill('/bin/server+0'));
});

//   100 ── clone 101@1 ── exit of 100@2 (makes way) ── exec@3 as 100, by what was 101 ── exit@4
test('exec by a thread that does not lead', () => {
  const table = newTable();
  table.apply(fork(0, 1, 100));
  table.apply(clone(1, 100, 101));
  table.apply(exit(2, 100, 100));
  assert.equal(table.counts.liveProcesses, 2, 'the stub of 1, and 100, whose thread 101 runs on');
  table.apply(exec(3, 100, 'new'));
  table.apply(exit(4, 100, 100));
  assert.equal(table.counts.liveProcesses, 1);
  assert.equal(table.resolve(100, bootNs(0), 8)?.comm, 'new');
});

//   7  fork@0 ─ exit@10ms        7  fork@2s ─ exit
test('a tgid used again is another process', () => {
  const table = newTable();
  table.apply(fork(0, 1, 7));
  table.apply(exec(1, 7, 'first'));
  table.apply(exit(10 * MS, 7));
  table.apply(fork(2000 * MS, 1, 7));
  table.apply(exec(2001 * MS, 7, 'second'));
  table.learnExecId({ tgid: 7, startBootNs: bootNs(2000 * MS), execId: 5 }, 2002 * MS);
  table.advance(2003 * MS);
  assert.equal(table.resolve(7, bootNs(0), 5)?.comm, 'first');
  assert.equal(table.resolve(7, bootNs(2000 * MS), 5)?.comm, 'second');
  assert.equal(table.resolve(7, bootNs(1000 * MS), 5), undefined, 'a start in between is neither');
});

test('a tgid whose exit was lost ends when it is forked again', () => {
  const table = newTable();
  table.apply(fork(0, 1, 7));
  table.apply(fork(5, 1, 7));
  assert.equal(table.counts.liveProcesses, 2);
  assert.equal(table.resolve(7, bootNs(0), 0)?.endedNs, 5);
});

//   exit(7)@6 is applied before fork(7)@5
test('an exit that comes before its fork leaves nothing alive', () => {
  const table = newTable();
  table.apply(exit(6, 7));
  table.apply(fork(5, 1, 7));
  assert.equal(table.counts.liveProcesses, 1, 'only the stub of 1');
  assert.equal(table.resolve(7, bootNs(5), 0)?.endedNs, 6);
});

test('an old exit does not end a new process of the same tgid', () => {
  const table = newTable();
  table.apply(exit(4, 7));
  table.apply(fork(5, 1, 7));
  assert.equal(table.counts.liveProcesses, 2);
  assert.equal(table.resolve(7, bootNs(3), 0), undefined, 'the one that ended at 4 is not known');
});

test('thread names: inherited from the thread that forks, kept after its exit, gone after a while', () => {
  const table = newTable();
  table.apply(fork(0, 1, 50));
  table.apply(exec(1, 50, 'main'));
  table.apply(clone(2, 50, 51));
  table.apply(rename(3, 50, 51, 'worker'));
  table.apply(clone(4, 50, 52, 51));
  table.apply(exit(5, 50, 51));
  const image = table.resolve(50, bootNs(0), 1)!;
  const names = [50, 51, 52, 99].map((tid) => image.threadName(tid));
  assert.deepEqual(names, ['main', 'worker', 'worker', 'main']);
  table.expire(6);
  assert.deepEqual([51, 52].map((tid) => image.threadName(tid)), ['main', 'worker']);
  table.apply(rename(7, 50, 50, 'renamed'));
  assert.equal(image.comm, 'renamed');
  table.apply(exit(8, 50, 50));
  assert.equal(image.endedNs, Infinity, 'a thread lives on without its leader');
  table.apply(exit(9, 50, 52));
  assert.equal(image.endedNs, 9);
});

//   P(30) was there       mmap@5    exec@9
//   reading of /proc           [6 .. 7]          merged at 8, and again in a table where it is merged at 10
test('a snapshot tells what was before it, events what came after', () => {
  const reading = snapshot({
    tgid: 30, readAt: [6, 7], startNs: -1000 * MS, comm: 'old', executable: '/bin/old',
    threads: [{ tid: 30, comm: 'old' }, { tid: 31, comm: 'helper' }],
    mappings: [[1, 4, '/bin/old'], [8, 9, '/lib/x.so']],
  });
  const start = Math.floor(bootNs(-1000 * MS) / 1e7) * 1e7;
  const table = newTable();
  table.apply(mmap(5, 30, [8, 9], '/lib/x.so'));
  table.addSnapshot(reading);
  table.advance(8);
  const old = table.resolve(30, start, 2);
  assert.deepEqual([fileAt(old, 1), fileAt(old, 8)], ['/bin/old+0', '/lib/x.so+0']);
  assert.equal(old?.threadName(31), 'helper');
  table.apply(exec(9, 30, 'new'));
  assert.deepEqual([table.resolve(30, start, 2)?.comm, table.resolve(30, start, 3)?.comm], ['old', 'new']);

  const late = newTable();
  late.addSnapshot(reading);
  late.apply(exec(6.5, 30, 'new'));
  late.apply(mmap(6.8, 30, [1, 2], '/bin/new'));
  late.advance(10);
  late.learnExecId({ tgid: 30, startBootNs: start, execId: 3 }, 6.9);
  late.advance(11);
  const image = late.resolve(30, start, 3);
  assert.deepEqual([image?.comm, fileAt(image, 1), fileAt(image, 8)], ['new', '/bin/new+0', '-']);
  assert.equal(fileAt(late.resolve(30, start, 2), 1), '-', 'no name rather than one of the new image');
});

test('a process that ends while /proc is read is ended, and still resolves', () => {
  const table = newTable();
  const mappings = [[1, 2, '/bin/x']] as const;
  table.addSnapshot(snapshot({ tgid: 30, readAt: [5, 6], startNs: -1000 * MS, mappings }));
  table.apply(exit(5.5, 30));
  table.advance(7);
  const image = table.resolve(30, Math.floor(bootNs(-1000 * MS) / 1e7) * 1e7, 1);
  assert.deepEqual([fileAt(image, 1), image?.endedNs, table.counts.liveProcesses], ['/bin/x+0', 5.5, 0]);
});

test('a leader that ended before its threads does not keep its process alive', () => {
  const table = newTable();
  table.apply(rename(1, 30, 31, 'worker'));
  const threads = [{ tid: 31, comm: 'worker' }];
  table.addSnapshot(snapshot({ tgid: 30, readAt: [5, 6], startNs: -1000 * MS, threads }));
  table.advance(7);
  table.apply(exit(8, 30, 31));
  assert.equal(table.counts.liveProcesses, 0);
});

//   old [1..9)@0      new [3..5)@1       both [1..3) and [5..9) stay old
test('a mapping replaces what it covers; the replaced part answers until it expires', () => {
  const table = newTable();
  table.apply(fork(0, 1, 40));
  table.apply(exec(0, 40, 'x'));
  table.apply(mmap(0, 40, [1, 9], '/lib/old.so', 10));
  table.apply(mmap(1, 40, [3, 5], '/lib/new.so'));
  table.apply(mmap(1, 40, [4, 6], '/lib/old.so', 13));
  const image = table.resolve(40, bootNs(0), 1);
  const pages = [1, 2, 3, 4, 5, 8, 9].map((page) => fileAt(image, page));
  const old = (page: number): string => `/lib/old.so+${page + 9}`;
  assert.deepEqual(pages, [old(1), old(2), '/lib/new.so+0', old(4), old(5), old(8), '-']);
  table.apply(mmap(2, 40, [100, 101], '/lib/gone.so'));
  table.apply(mmap(3, 40, [100, 101], '//anon'));
  assert.equal(image!.findMapping(100 * 4096)!.module.kind, 'anonymous');
  const before = table.counts.mappings;
  table.expire(10);
  assert.ok(table.counts.mappings < before);
});

test('JIT code that is mapped again and again costs one entry', () => {
  const table = newTable();
  table.apply(fork(0, 1, 40));
  const image = table.resolve(40, bootNs(0), 0)!;
  for (let i = 0; i < 1000; i++) table.apply(mmap(i, 40, [1000 - i, 1001 + i], '//anon', 1000 - i));
  const generation = image.mappingGeneration;
  table.apply(mmap(2000, 40, [900, 950], '//anon', 900));
  assert.deepEqual([table.counts.mappings, image.mappingGeneration], [1, generation]);
});

//   40 execs@5 [lost]   /proc read, all unlisted end    41 exits [lost]
test('after a loss everything is read again: execs and exits that were lost are found', () => {
  const table = newTable();
  for (const tgid of [40, 41]) table.apply(fork(0, 1, tgid));
  table.apply(exec(1, 40, 'old'));
  table.apply(mmap(1, 40, [1, 2], '/bin/old'));
  table.apply(lost(9, 100));
  assert.equal(table.takeResync(), 'all');
  assert.equal(table.takeResync(), undefined);
  table.beginSnapshot(20);
  table.addSnapshot(snapshot({
    tgid: 40, readAt: [20, 21], startNs: 0, comm: 'new', executable: '/bin/new',
    mappings: [[1, 2, '/bin/new']],
  }));
  table.endSnapshot(22);
  table.advance(30);
  assert.equal(table.counts.liveProcesses, 1, '41 and 1 are not there any more');
  const image = table.resolve(40, bootNs(0), 9);
  assert.deepEqual([image?.comm, image?.executable, fileAt(image, 1)], ['new', '/bin/new', '/bin/new+0']);
  assert.equal(table.counts.lostEvents, 100);
});

test('an exec id that no event explains asks to read that process', () => {
  const table = newTable();
  table.apply(fork(0, 1, 40));
  table.apply(exec(1, 40, 'a'));
  table.learnExecId({ tgid: 40, startBootNs: bootNs(0), execId: 5 }, 2);
  table.advance(3);
  assert.equal(table.resolve(40, bootNs(0), 5)?.comm, 'a');
  assert.equal(table.resolve(40, bootNs(0), 6), undefined);
  assert.deepEqual(table.takeResync(), [40]);
  const mappings = [[1, 2, '/bin/b']] as const;
  table.addSnapshot(snapshot({ tgid: 40, readAt: [10, 11], startNs: 0, comm: 'b', mappings }));
  table.advance(12);
  assert.equal(fileAt(table.resolve(40, bootNs(0), 6), 1), '/bin/b+0');
});

test('a look at an exec that was not told of yet teaches nothing of its family', () => {
  const table = newTable();
  table.apply(fork(0, 1, 40));
  table.apply(fork(1, 40, 41));
  assert.equal(table.peek(41, bootNs(1), 6)?.isExec, false, 'all that is known of it');
  table.apply(exec(2, 41, 'b'));
  table.advance(3);
  assert.equal(table.resolve(41, bootNs(1), 6)?.comm, 'b');
  assert.notEqual(table.resolve(40, bootNs(0), 5), undefined);
});

//   time   fork  exec 'a'          exec 'b'  key 6
//   seen   fork  exec 'a'                    key 6, exec 'b'
test('an exec whose event comes after its exec id was told is none that was missed', () => {
  const table = newTable();
  table.apply(fork(0, 1, 40));
  table.apply(exec(1, 40, 'a'));
  table.learnExecId({ tgid: 40, startBootNs: bootNs(0), execId: 5 }, 2);
  table.advance(3);
  table.learnExecId({ tgid: 40, startBootNs: bootNs(0), execId: 6 }, 5 * MS);
  table.advance(6 * MS);
  table.apply(exec(4 * MS, 40, 'b'));
  table.advance(50 * MS);
  assert.equal(table.resolve(40, bootNs(0), 6)?.comm, 'b');
  assert.equal(table.counts.missedExecs, 0);
  table.learnExecId({ tgid: 40, startBootNs: bootNs(0), execId: 7 }, 60 * MS);
  table.advance(1000 * MS);
  assert.deepEqual([table.counts.missedExecs, table.takeResync()], [1, [40]]);
});

test('limits hold, and what is over is counted', () => {
  const table = newTable({ images: 4, threads: 5, mappings: 3, mappingsPerProcess: 2, modules: 2, exits: 2 });
  for (let i = 0; i < 6; i++) table.apply(fork(i, 1, 10 + i));
  for (let i = 0; i < 6; i++) table.apply(clone(10 + i, 10, 100 + i));
  for (let i = 0; i < 6; i++) table.apply(mmap(20 + i, 10, [2 * i, 2 * i + 1], `/lib/${i}`));
  for (let i = 0; i < 6; i++) table.apply(exit(30 + i, 500 + i));
  const { images, threads, mappings, modules } = table.counts;
  assert.deepEqual([images, threads, mappings, modules], [4, 5, 2, 2]);
  const { droppedProcesses, droppedThreads, droppedMappings, droppedModules } = table.counts;
  assert.deepEqual([droppedProcesses, droppedThreads, droppedMappings, droppedModules], [3, 5, 4, 4]);
  table.apply(exit(40, 11));
  table.apply(fork(41, 1, 12));
  assert.equal(table.counts.evictedImages, 1, 'an ended image makes room');
});

test('all that ended is forgotten after a while, modules too', () => {
  const table = newTable();
  for (let i = 0; i < 3000; i++) {
    const ns = i * MS;
    table.apply(fork(ns, 1, 10 + i));
    table.apply(exec(ns + 1, 10 + i, 'x'));
    table.apply(mmap(ns + 2, 10 + i, [1, 2], `/bin/${i}`));
    table.apply(clone(ns + 3, 10 + i, 10_000 + i));
    table.apply(exit(ns + 4, 10 + i));
    table.apply(exit(ns + 5, 10 + i, 10_000 + i));
  }
  table.expire(4000 * MS);
  const { liveProcesses, images, threads, mappings, modules } = table.counts;
  assert.deepEqual({ liveProcesses, images, threads, mappings, modules }, {
    liveProcesses: 1, images: 1, threads: 1, mappings: 0, modules: 0,
  });
});
