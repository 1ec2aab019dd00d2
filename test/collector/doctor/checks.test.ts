// Each check on a host that has everything, and on one that lacks just that.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding, Host } from '../../../collector/doctor/checks.js';
import { checks } from '../../../collector/doctor/checks.js';

const everything = (1n << 41n) - 1n;
const files: Readonly<Record<string, string | undefined>> = {
  '/sys/kernel/btf/vmlinux': '\x9f\xeb',
  '/proc/self/status': statusOf(everything),
  '/proc/sys/kernel/perf_event_paranoid': '2\n',
  '/proc/sys/kernel/kptr_restrict': '1\n',
  '/proc/kallsyms': 'ffffffff81000000 T _text\n',
  '/proc/self/mountinfo': '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n',
  '/proc/self/limits': 'Max locked memory         8388608              8388608              bytes\n',
};

function statusOf(capabilities: bigint): string {
  return `Name:\tnode\nCapPrm:\t0000000000000000\nCapEff:\t${capabilities.toString(16).padStart(16, '0')}\n`;
}

function without(...bits: readonly number[]): string {
  return statusOf(bits.reduce((mask, bit) => mask & ~(1n << BigInt(bit)), everything));
}

function hostWith(change: Partial<Host> = {}, changed: Record<string, string | undefined> = {}): Host {
  const texts = { ...files, ...changed };
  return {
    architecture: 'x64',
    kernel: { release: '6.1.0-40-amd64', version: '#1 SMP Debian 6.1.153-1', versionSignature: '' },
    risksFreeze: false,
    nodeVersion: 'v20.20.2',
    dataDir: '/var/lib/flamekeeper',
    text: (path) => texts[path],
    libbpf: () => ({ version: '1.1' }),
    loadPrograms: async () => ({ notes: [] }),
    openEvent: () => undefined,
    writeProblem: () => undefined,
    ...change,
  };
}

async function find(name: string, host: Host): Promise<Finding> {
  const check = checks.find((each) => each.name === name);
  assert.ok(check !== undefined, name);
  return check.run(host);
}

test('a host that has everything', async () => {
  for (const { name } of checks) assert.equal((await find(name, hostWith())).status, 'ok', name);
  assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length);
});

const old = { release: '5.19.0-1-generic', version: '#1', versionSignature: '' };
const noAdmin = (bit: number) => ({ '/proc/self/status': without(bit, 21, 24) });
const lacking: readonly [string, Host, 'gap' | 'fatal', RegExp][] = [
  ['architecture', hostWith({ architecture: 'arm64' }), 'fatal', /arm64/],
  ['kernel', hostWith({ kernel: old }), 'fatal', /5\.19\.0 can freeze.*Update the kernel/],
  ['kernel', hostWith({ kernel: old, risksFreeze: true }), 'gap', /overrides it/],
  ['node', hostWith({ nodeVersion: 'v18.1.0' }), 'fatal', /v18\.1\.0 is too old/],
  ['libbpf', hostWith({ libbpf: () => ({ problem: 'no such file' }) }), 'fatal', /libbpf1/],
  ['BTF', hostWith({}, { '/sys/kernel/btf/vmlinux': undefined }), 'fatal', /CONFIG_DEBUG_INFO_BTF/],
  ['CAP_BPF', hostWith({}, noAdmin(39)), 'fatal', /missing: no program.*service/],
  ['CAP_PERFMON', hostWith({}, noAdmin(38)), 'fatal', /missing/],
  ['CAP_SYS_PTRACE', hostWith({}, noAdmin(19)), 'gap', /missing/],
  ['CAP_DAC_READ_SEARCH', hostWith({}, noAdmin(2)), 'gap', /missing/],
  ['CAP_SYSLOG', hostWith({}, noAdmin(34)), 'gap', /missing/],
  ['CAP_CHECKPOINT_RESTORE', hostWith({}, noAdmin(40)), 'gap', /deleted/],
  ['CAP_CHECKPOINT_RESTORE', hostWith({}, { '/proc/self/status': undefined }), 'gap', /missing/],
  [
    'BPF programs',
    hostWith({ loadPrograms: async () => ({ problem: 'EPERM', remedy: 'Run as root.' }) }),
    'fatal',
    /EPERM.*root/,
  ],
  ['BPF programs', hostWith({ loadPrograms: async () => ({ notes: ['no hook x'] }) }), 'gap', /no hook x/],
  ['perf events', hostWith({ openEvent: () => 'EACCES' }), 'fatal', /EACCES \(perf_event_paranoid 2\).*root/],
  ['perf events', hostWith({ openEvent: () => 'ENOSYS' }), 'fatal', /CONFIG_PERF_EVENTS/],
  ['hardware counters', hostWith({ openEvent: () => 'ENOENT' }), 'gap', /ENOENT.*virtual machine/],
  ['hardware counters', hostWith({ openEvent: () => 'EACCES' }), 'gap', /EACCES.*root/],
  ['kernel symbols', hostWith({}, { '/proc/kallsyms': '0000000000000000 T _text' }), 'gap', /kptr_restrict 1/],
  ['kernel symbols', hostWith({}, { '/proc/kallsyms': undefined }), 'gap', /CAP_SYSLOG/],
  ['cgroups', hostWith({}, { '/proc/self/mountinfo': '' }), 'gap', /none is mounted/],
  [
    'locked memory',
    hostWith({ kernel: { ...old, release: '5.10.0' } }, noAdmin(24)),
    'gap',
    /8388608 bytes.*ulimit/,
  ],
  ['data directory', hostWith({ writeProblem: () => '/x cannot be written to: EROFS' }), 'fatal', /EROFS/],
];

for (const [name, host, status, text] of lacking) {
  test(`${name}: ${String(text)}`, async () => {
    const found = await find(name, host);
    assert.equal(found.status, status);
    assert.ok('problem' in found);
    assert.match(`${found.problem}. ${found.remedy}`, text);
  });
}

test('CAP_SYS_ADMIN holds what was split from it, and no more', async () => {
  const host = hostWith({}, { '/proc/self/status': without(39, 38, 34, 40, 19) });
  for (const name of ['CAP_BPF', 'CAP_PERFMON', 'CAP_SYSLOG', 'CAP_CHECKPOINT_RESTORE']) {
    assert.deepEqual(await find(name, host), { status: 'ok', text: 'there by CAP_SYS_ADMIN' });
  }
  assert.equal((await find('CAP_SYS_PTRACE', host)).status, 'gap');
});

test('every check has a lack that is tested', () => {
  assert.deepEqual([...new Set(lacking.map(([name]) => name))].sort(), checks.map(({ name }) => name).sort());
});
