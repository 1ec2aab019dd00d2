// /proc as the kernel writes it, and as nobody should.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCgroupMounts, parseHierarchyIds } from '../../../collector/process/cgroup-parse.js';
import { CgroupPaths } from '../../../collector/process/cgroups.js';
import { ModuleTable } from '../../../collector/process/modules.js';
import { readProcess } from '../../../collector/process/proc-files.js';
import { parseMaps, parseStat, taskComm } from '../../../collector/process/proc-parse.js';
import { parsePasswd, UserNames } from '../../../collector/process/users.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('proc-parse');

const statTail = 'S 7 1 1 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0 18446744073709551615';

test('stat: a comm with spaces and parentheses; kernel threads; workers by their own name', () => {
  assert.deepEqual(parseStat(`12 (a) S 1 (b) ${statTail}`), {
    tgid: 12, comm: 'a) S 1 (b', state: 'S', parentTgid: 7, isKernelThread: true, startTicks: 4242,
  });
  assert.equal(parseStat(`12 (x) ${statTail.replace('2129984', '4194560')}`)?.isKernelThread, false);
  const workers = ['kworker/0:1-events\n', 'kworker/u8:2+ext4', 'kworker/R-rcu_gp', 'migration/0'];
  assert.deepEqual(workers.map(taskComm), ['kworker/0:1', 'kworker/u8:2', 'kworker/R-rcu_g', 'migration/0']);
  assert.equal(taskComm('üüüüüüüüüü'), 'üüüüüüü', 'at most 15 bytes, whole characters');
});

test('maps: executable lines only, with what the kernel puts in the place of a path', () => {
  const text = `55e0-55f0 r--p 00000000 fe:00 12 /bin/cat
55f0-5600 r-xp 00002000 fe:00 247026                     /usr/bin/with space
7f00c8cd000-7f00c8cf000 r-xp 00000000 00:00 0                          [vdso]
7f00c8d0000-7f00c8d1000 rwxp 00000000 00:00 0 
7f00c8d2000-7f00c8d3000 r-xs 00001000 103:02 9   /memfd:jit (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
nonsense r-xp
`;
  const summary = parseMaps(text).map((m) => [m.start, m.fileOffset, m.device, m.inode, m.path]);
  assert.deepEqual(summary, [
    [0x55f0, 0x2000, '254:0', 247026n, '/usr/bin/with space'],
    [0x7f00c8cd000, 0, '0:0', 0n, '[vdso]'],
    [0x7f00c8d0000, 0, '0:0', 0n, ''],
    [0x7f00c8d2000, 0x1000, '259:2', 9n, '/memfd:jit (deleted)'],
    [-0xa00000, 0, '0:0', 0n, '[vsyscall]'],
  ]);
});

test('modules: kinds, deleted files, one of each', () => {
  const table = new ModuleTable(100);
  const of = (path: string, inode = 1n) => table.intern({ path, device: '8:1', inode });
  const kinds = ['/bin/x', '[vdso]', '', '//anon', '[heap]', '/memfd:x (deleted)', '[vsyscall]', '//toolong'];
  assert.deepEqual(kinds.map((path) => of(path).kind), [
    'file', 'vdso', 'anonymous', 'anonymous', 'anonymous', 'other', 'other', 'other',
  ]);
  assert.equal(of(''), of('[anon:x]', 5n), 'anonymous memory is one module');
  assert.equal(of('/bin/x'), of('/bin/x'));
  assert.notEqual(of('/bin/x'), of('/bin/x', 2n), 'replaced by another file');
  const gone = of('/bin/x (deleted)');
  assert.deepEqual([gone.isDeleted, gone.module.name, gone.module.path], [true, 'x', '/bin/x']);
});

test('this process, read from /proc', () => {
  const self = readProcess(process.pid, () => 1)!;
  assert.equal(self.executable, process.execPath);
  assert.equal(self.parentTgid, process.ppid);
  assert.ok(self.threads.some((t) => t.tid === process.pid) && self.threads.length > 1);
  assert.ok(self.mappings!.some((m) => m.path === process.execPath && m.limit > m.start));
  assert.equal(readProcess(2 ** 30, () => 1), undefined);
});

const mountinfo = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /outer /mnt/part rw - cgroup cgroup rw,memory
36 31 0:32 / /sys/fs/cgroup/me\\040mory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`;

test('cgroup hierarchies of a hybrid host', () => {
  assert.deepEqual(parseCgroupMounts(mountinfo), [
    { rank: 0, mountPoint: '/sys/fs/cgroup/unified', root: '' },
    { rank: 1, mountPoint: '/sys/fs/cgroup/systemd', root: '' },
    { rank: 2, mountPoint: '/sys/fs/cgroup/me mory', root: '' },
    { rank: 3, mountPoint: '/sys/fs/cgroup/cpu,cpuacct', root: '' },
  ]);
  assert.deepEqual(parseHierarchyIds('9:name=systemd:/\n7:blkio:/\n4:memory:/a:b\n1:cpu,cpuacct:/\n0::/\n'), [9, 4, 1, 7]);
  assert.deepEqual(parseHierarchyIds('0::/\n'), [0, 0, 0, 0]);
});

test('cgroup paths: a rename takes along what is below, in its hierarchy only', () => {
  const paths = new CgroupPaths([]);
  const inMemory = 2n << 56n;
  paths.apply({ id: 5n, path: '/a' });
  paths.apply({ id: 6n, path: '/a/b' });
  paths.apply({ id: 7n, path: '/ab' });
  paths.apply({ id: inMemory | 6n, path: '/a/b' });
  paths.apply({ id: 5n, path: '/z' });
  assert.deepEqual([5n, 6n, 7n, inMemory | 6n, 0n, 99n].map((id) => paths.path(id)), [
    '/z', '/z/b', '/ab', '/a/b', '', '',
  ]);
  for (let i = 0; i < 40_000; i++) paths.apply({ id: BigInt(1000 + i), path: `/x/${i}` });
  assert.deepEqual([paths.size, paths.path(5n), paths.path(40_999n)], [32_768, '', '/x/39999']);
});

test('users', () => {
  const names = parsePasswd('root:x:0:0::/root:/bin/sh\n#c\nwww-data:x:33:33\ntoor:x:0:0\nbad:x:x\n:x:5:5\n');
  assert.deepEqual([...names], [[0, 'root'], [33, 'www-data']]);
  const users = new UserNames();
  assert.deepEqual([users.name(0), users.name(4_000_000_001)], ['root', '4000000001']);
});

test('hostile text never throws', () => {
  const ones = 'f'.repeat(16);
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({ maxLength: 400 }).map((s) => `1 (${s}`),
    fc.tuple(fc.nat(), fc.string()).map(([n, s]) => `${n.toString(16)}-${ones} r-xp ${ones} 0:0 1 ${s}`),
  );
  fc.assert(fc.property(text, (t) => {
    for (const mapping of parseMaps(t)) assert.ok(mapping.limit > mapping.start && mapping.fileOffset >= 0);
    const stat = parseStat(t);
    assert.ok(stat === undefined || Buffer.byteLength(stat.comm) <= 15);
    parsePasswd(t);
    parseHierarchyIds(t);
    parseCgroupMounts(`1 2 0:1 ${t} - cgroup2 x`);
    new ModuleTable(10).intern({ path: t, device: '', inode: 0n });
  }), { numRuns: 2000 });
});
