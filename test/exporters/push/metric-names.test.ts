// Names outside: the table covers the host's streams, agrees with the probes' descriptors, and one
// name means one thing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metric } from '../../../exporters/push/metric-names.js';
import { MetricNames, metricOf, prometheusName } from '../../../exporters/push/metric-names.js';
import { metricRules } from '../../../exporters/push/metric-table.js';
import { hostStreams } from '../../../storage/model/host-streams.js';
import type { MetricKey, StreamInfo } from '../../../storage/model/stream.js';
import { overflowKey } from '../../../storage/model/stream.js';
import { given, hostMetrics, probes, probeStreams, streams } from '../../support/metric-streams.js';

const container = 'c0ffee'.repeat(11).slice(0, 64);

/** `name unit {attributes} value of a stored 1500`. */
function targets(info: StreamInfo, key: MetricKey, withProcesses = false): string[] {
  return new MetricNames(given, { withProcesses })
    .targetsOf(info, key)
    .map(({ metric: { name, unit, multiplier, divisor }, attributes }) => {
      const pairs = Object.entries(attributes).map((pair) => pair.join('='));
      return `${name} ${unit} {${pairs.join(' ')}} ${(1500 * multiplier) / divisor}`;
    });
}

test('every stream of the host and of the probes has a name of the table', () => {
  assert.ok(hostMetrics.length > 30 && probeStreams.length >= 2);
  for (const stream of streams) {
    const [first] = new MetricNames(given, { withProcesses: true }).targetsOf(
      stream,
      overflowKey(stream.fields ?? []),
    );
    const known = [...metricRules, ...given].filter((rule) => rule.stream === stream.name);
    assert.ok(known.some(({ name }) => name === first!.metric.name), stream.name);
  }
  for (const rule of metricRules) {
    const stream = streams.find(({ name }) => name === rule.stream);
    assert.ok(stream !== undefined, rule.stream);
    const names = (stream.fields ?? []).map(({ name }) => name);
    for (const field of [...Object.keys(rule.when ?? {}), ...Object.keys(rule.attributes ?? {})]) {
      assert.ok(names.includes(field), `${rule.stream} has a field ${field}`);
    }
  }
});

test('one name has one kind, unit and description, here and in Prometheus', () => {
  const byName = new Map<string, string>();
  for (const rule of [...metricRules, ...given]) {
    const metric: Metric = metricOf(streams.find(({ name }) => name === rule.stream)!, rule);
    const meaning = JSON.stringify([metric.kind, metric.unit, metric.description, metric.name]);
    for (const name of [`otel ${metric.name}`, `prometheus ${prometheusName(metric)}`]) {
      assert.equal(byName.get(name) ?? meaning, meaning, name);
      byName.set(name, meaning);
    }
    assert.match(prometheusName(metric), /^[a-z][a-z0-9_]*[a-z0-9]$/);
    assert.ok(metric.description.length > 5);
  }
});

test("names in Prometheus are those of the probes' descriptors", () => {
  for (const { descriptor } of probes) {
    for (const output of descriptor.outputs) {
      if (output.kind !== 'histogram' && output.kind !== 'counter') continue;
      const rule = given.find(({ stream }) => stream === output.stream)!;
      const total = output.kind === 'counter' ? '_total' : '';
      const name = prometheusName(metricOf(probeStreams.find((s) => s.name === output.stream)!, rule));
      assert.equal(name + total, output.prometheus);
    }
  }
});

// What promtool's linter says of names; the test with real servers asks it of a page.
test('names in Prometheus have base units, and no endings of other kinds', () => {
  for (const stream of streams) {
    const own = [...metricRules, ...given].filter((rule) => rule.stream === stream.name);
    for (const rule of own) {
      const name = prometheusName(metricOf(stream, rule));
      assert.doesNotMatch(name, /_(?:bits|milliseconds|microseconds|nanoseconds|minutes|hours|percent|kilobytes)(?:_|$)/);
      assert.doesNotMatch(name, /_(?:total|bucket|sum|info)$/);
      if (stream.kind !== 'counter') assert.doesNotMatch(name, /_count$/);
    }
  }
});

test('keys become attributes, units those of the conventions', () => {
  const { cpu, vm, cgroupCpu, netSpeed, memory, perfScaled } = hostStreams;
  assert.deepEqual(targets(cpu.info, [3, 'softirq']), [
    'system.cpu.time s {cpu.logical_number=3 cpu.mode=interrupt} 1.5',
  ]);
  assert.deepEqual(targets(cpu.info, [3, 'guest']), [
    'flamekeeper.host.cpu.guest.time s {cpu.logical_number=3 cpu.mode=guest} 1.5',
  ]);
  assert.deepEqual(targets(vm.info, ['pgmajfault']), [
    'system.paging.faults {fault} {system.paging.fault.type=major} 1500',
    'system.paging.faults {fault} {system.paging.fault.type=minor} -1500',
  ]);
  assert.deepEqual(targets(cgroupCpu.info, [`/docker/${container}`, 'user']), [
    `container.cpu.time s {container.id=${container} cpu.mode=user} 0.0015`,
    `flamekeeper.cgroup.cpu.time s {process.linux.cgroup=/docker/${container} container.id=${container} cpu.mode=user} 0.0015`,
  ]);
  const inner = `/system.slice/docker-${container}.scope/init`;
  assert.deepEqual(targets(cgroupCpu.info, [inner, 'user']), [
    `flamekeeper.cgroup.cpu.time s {process.linux.cgroup=${inner} container.id=${container} cpu.mode=user} 0.0015`,
  ]);
  assert.deepEqual(targets(netSpeed.info, ['eth0', 'full']), [
    'flamekeeper.host.net.speed By/s {network.interface.name=eth0 flamekeeper.duplex=full} 187500000',
  ]);
  assert.deepEqual(targets(memory.info, ['Cached']), [
    'system.memory.usage By {system.memory.state=cached} 1500',
  ]);
  assert.deepEqual(targets(perfScaled.info, ['power/energy-pkg/', 'Joules', -1, '']), [
    'flamekeeper.perf.scaled 1 {flamekeeper.event=power/energy-pkg/ flamekeeper.unit=Joules} 0.0015',
  ]);
});

test('processes are told apart on request; what nobody named keeps all it has', () => {
  const stream: StreamInfo = {
    name: 'my_probe',
    kind: 'counter',
    valueType: { type: 'retries', unit: 'count' },
    fields: [
      { name: 'pid', type: 'number' },
      { name: 'start', type: 'number', unit: 'milliseconds' },
      { name: 'comm', type: 'string' },
      { name: 'peer_pid', type: 'number' },
    ],
  };
  const key = [7, 1_750_000_000_000, 'cc1', 9];
  assert.deepEqual(targets(stream, key), [
    'flamekeeper.my.probe {retries} {process.executable.name=cc1} 1500',
  ]);
  assert.deepEqual(targets(stream, key, true), [
    'flamekeeper.my.probe {retries} {process.pid=7 process.creation.time=2025-06-15T15:06:40.000Z ' +
      'process.executable.name=cc1 flamekeeper.peer.pid=9} 1500',
  ]);
});
