import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planSampling } from '../../../collector/agent/sampling-plan.js';
import { onlineCpus } from '../../../collector/host/cpus.js';
import { loadConfig } from '../../../config/load.js';
import type { Config } from '../../../config/load.js';
import { OperatingError } from '../../../storage/model/errors.js';

function configWith(part: Partial<Config>): Config {
  const result = loadConfig({ env: {}, flags: { data: '/nowhere' } });
  assert.ok(result.ok);
  return { ...result.loaded.config, ...part };
}

function sampling(part: Partial<Config['sampling']>): Config {
  const config = configWith({});
  return { ...config, sampling: { ...config.sampling, ...part } };
}

test('the period is what the kernel makes of the frequency', () => {
  assert.equal(planSampling(sampling({ frequencyHz: 47 })).periodNs, 21_276_595n);
  assert.equal(planSampling(sampling({ frequencyHz: 999 })).periodNs, 1_001_001n);
});

test('what the maps cannot hold in one interval is drained more often, in equal parts of it', () => {
  const quiet = planSampling(sampling({ frequencyHz: 47 }));
  assert.equal(quiet.intervalMs, 10_000);
  const { limits } = configWith({});
  const config = configWith({ limits: { ...limits, stackMapEntries: 1024 } });
  const dense = planSampling({ ...config, sampling: { ...config.sampling, frequencyHz: 999 } });
  assert.ok((999 * onlineCpus().length * dense.intervalMs) / 1000 <= 1024 || dense.intervalMs === 200);
  assert.equal(10_000 % dense.intervalMs, 0);
});

test('extra events are sample types of their own', () => {
  const plan = planSampling(sampling({ events: [{ event: 'page-faults', period: 100 }, { event: 'cs', frequencyHz: 5 }] }));
  assert.deepEqual(plan.triggers.map(({ stream, sampleType }) => [stream.name, sampleType]), [['cpu', 0], ['page-faults', 1], ['cs', 2]]);
});

test('what does not exist is named', () => {
  const bad = (part: Partial<Config['sampling']>, text: RegExp) =>
    assert.throws(() => planSampling(sampling(part)), (error) => error instanceof OperatingError && text.test(error.message));
  bad({ events: [{ event: 'page-fault' }] }, /no event page-fault; there are page-faults/);
  bad({ cpus: [100_000] }, /CPU 100000 does not exist/);
  bad({ events: Array.from({ length: 8 }, () => ({ event: 'cs' })) }, /8 events; at most 7/);
});
