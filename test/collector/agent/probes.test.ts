import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { findProbes, loadProbes } from '../../../collector/agent/probes.js';
import { loadConfig } from '../../../config/load.js';
import type { Config } from '../../../config/load.js';
import { OperatingError } from '../../../storage/model/errors.js';

const facts = { periodNs: 1n, cgroupHierarchies: [0, 0, 0, 0], possibleCpus: 1, countMapEntries: 1, stackMapEntries: 1, unwindFiles: 64 };
const options = { verbosity: 0, log: () => undefined };

async function refusal(probes: Config['probes']): Promise<string> {
  const result = loadConfig({ env: {}, flags: { data: '/nowhere' } });
  assert.ok(result.ok);
  const files = await findProbes();
  try {
    for (const { probe } of loadProbes(files, { ...result.loaded.config, probes }, facts, options)) probe.close();
  } catch (error) {
    assert.ok(error instanceof OperatingError && error.code === 'bad-config', String(error));
    return error.message;
  }
  return 'none';
}

test('probes are found by listing their folder', async () => {
  const names = (await findProbes()).map(({ descriptor }) => descriptor.name);
  const sources = readdirSync('bpf/probes').filter((file) => file.endsWith('.bpf.c'));
  assert.deepEqual(names, sources.map((file) => file.replace('.bpf.c', '')).sort());
  assert.ok(names.includes('sampler'));
});

test('options that no descriptor has are refused with their line', async () => {
  assert.match(await refusal({ nosuch: { x: { value: 1, line: 12 } } }), /line 12: there is no probe nosuch; there are .*process, .*sampler/);
  assert.match(await refusal({ process: { argument: { value: true, line: 3 } } }), /line 3: .* no option argument; its options are arguments/);
  assert.match(await refusal({ process: { arguments: { value: 'yes', line: 4 } } }), /line 4: probes.process.arguments: "yes" is not true or false/);
});
