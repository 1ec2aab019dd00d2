// The systemd unit: well-formed, and hardened only as far as the daemon can bear.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

function parseUnit(text: string): Map<string, string> {
  const settings = new Map<string, string>();
  let section = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const title = /^\[([A-Z][a-z]+)\]$/.exec(line);
    if (title !== null) {
      section = title[1]!;
      continue;
    }
    const setting = /^([A-Za-z]+)=(.+)$/.exec(line);
    assert.ok(setting !== null && section !== '', `not a setting: ${line}`);
    assert.ok(!settings.has(`${section}.${setting[1]}`), `twice: ${line}`);
    settings.set(`${section}.${setting[1]}`, setting[2]!);
  }
  return settings;
}

const unit = parseUnit(readFileSync('config/flamekeeper.service', 'utf8'));

test('it starts the daemon and may do what sampling needs', () => {
  assert.match(unit.get('Service.ExecStart')!, / flamekeeper run$/);
  assert.equal(unit.get('Service.StateDirectory'), 'flamekeeper');
  for (const setting of ['AmbientCapabilities', 'CapabilityBoundingSet']) {
    assert.match(unit.get(`Service.${setting}`)!, /CAP_BPF CAP_PERFMON/);
  }
  assert.match(unit.get('Service.SystemCallFilter')!, /@system-service bpf perf_event_open/);
});

test('it leaves off what would break V8, kernel symbols and the kernel log', () => {
  const off = ['MemoryDenyWriteExecute', 'ProtectKernelLogs', 'ProtectKernelTunables'];
  for (const setting of [...off, 'PrivateDevices']) {
    assert.equal(unit.get(`Service.${setting}`), undefined);
  }
});
