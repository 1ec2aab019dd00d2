// Which kernels are refused, as distributions name them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canFreeze, refuseFreezingKernel, upstreamVersion } from '../../bpf/kernel-gate.js';
import type { KernelIdentity } from '../../bpf/kernel-gate.js';
import { OperatingError } from '../../storage/model/errors.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('kernel-gate');

const kernel = (release: string, version = '#1 SMP', versionSignature = ''): KernelIdentity => {
  return { release, version, versionSignature };
};

const table: readonly [KernelIdentity, upstream: string, freezes: boolean][] = [
  [kernel('5.10.0-29-amd64', '#1 SMP Debian 5.10.216-1 (2024-05-03)'), '5.10.216', false],
  [kernel('5.15.167.4-microsoft-standard-WSL2'), '5.15.167', false],
  [kernel('5.18.19'), '5.18.19', false],
  [kernel('5.19.0'), '5.19.0', true],
  [
    kernel('5.19.0-50-generic', '#50-Ubuntu SMP', 'Ubuntu 5.19.0-50.50-generic 5.19.17\n'),
    '5.19.17',
    true,
  ],
  [kernel('6.0.19'), '6.0.19', true],
  [kernel('6.1.0-9-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.1.27-1 (2023-05-08)'), '6.1.27', true],
  [
    kernel('6.1.0-35-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.1.137-1 (2025-05-07)'),
    '6.1.137',
    false,
  ],
  [kernel('6.1.35'), '6.1.35', true],
  [kernel('6.1.36'), '6.1.36', false],
  [kernel('6.1.34-59.116.amzn2023.x86_64'), '6.1.34', true],
  [
    kernel('6.2.0-39-generic', '#40-Ubuntu SMP', 'Ubuntu 6.2.0-39.40~22.04.1-generic 6.2.16'),
    '6.2.16',
    true,
  ],
  [kernel('6.3.9'), '6.3.9', true],
  [kernel('6.3.10'), '6.3.10', false],
  [kernel('6.4.0'), '6.4.0', false],
  [kernel('6.4-rc1'), '6.4.0', false],
  [kernel('6.18.44'), '6.18.44', false],
  [kernel('7.1.2'), '7.1.2', false],
];

test('versions as distributions hide them', () => {
  for (const [identity, upstream, freezes] of table) {
    assert.equal(upstreamVersion(identity)?.join('.'), upstream, identity.release);
    assert.equal(canFreeze(identity), freezes, identity.release);
  }
});

test('the refusal names kernel and way out; the override lets it pass', () => {
  const isRefusal = (error: unknown): boolean => {
    assert.ok(error instanceof OperatingError);
    return error.code === 'kernel-freezes' && error.message.includes('6.2.16');
  };
  const bad = kernel('6.2.16');
  assert.throws(() => refuseFreezingKernel(bad), isRefusal);
  process.env['FLAMEKEEPER_RISK_FREEZE'] = '1';
  refuseFreezingKernel(bad);
  delete process.env['FLAMEKEEPER_RISK_FREEZE'];
  refuseFreezingKernel(kernel('6.18.44'));
});

test('any text is answered', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (release, version, versionSignature) => {
      assert.equal(typeof canFreeze({ release, version, versionSignature }), 'boolean');
    }),
  );
});
