// How long block I/O takes, waiting in its queue and at the device: biolatency.bpf.c.

import type { CheckedInterval, Comparison, FileTexts, ProbeDescriptor } from '../descriptor.js';

const operations = ['read', 'write', 'discard', 'flush', 'other'];
/** By the size class of the key. */
const sizes = ['none', '<=4K', '<=16K', '<=64K', '<=256K', '<=1M', '>1M'];

/** Columns of /sys/block/DEVICE/stat that count requests: reads, writes, discards, flushes. */
const requestColumns = [0, 4, 11, 15];

function requests(stat: string | undefined): number {
  const columns = (stat ?? '').trim().split(/\s+/).map(Number);
  return requestColumns.reduce((sum, column) => sum + (columns[column] ?? 0), 0);
}

/** Completed requests by device. Empty flushes are not among them: they are never issued. */
function seenByDevice({ fields, keys, counts }: CheckedInterval): Map<string, number> {
  const [device, phase, operation] = ['device', 'phase', 'operation'].map((name) =>
    fields.indexOf(name),
  ) as [number, number, number];
  const seen = new Map<string, number>();
  for (const [row, key] of keys.entries()) {
    if (key[phase] !== 'device' || key[operation] === 'other') continue;
    const name = String(key[device]);
    seen.set(name, (seen.get(name) ?? 0) + counts[row]!);
  }
  return seen;
}

/** A device that makes requests has hardware queues; what those without one do is not measured. */
function compareRequests(
  before: FileTexts,
  after: FileTexts,
  interval: CheckedInterval,
): Comparison {
  const seen = seenByDevice(interval);
  const more: Record<string, number> = {};
  let kernel = 0;
  let ours = interval.stats['empty_flushes'] ?? 0;
  for (const [path, text] of after) {
    const [, folder, file] = /^\/sys\/block\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const start = before.get(path);
    if (folder === undefined || file !== 'stat' || start === undefined) continue;
    const completed = requests(text) - requests(start);
    const device = folder.replaceAll('!', '/');
    if (after.has(`/sys/block/${folder}/mq/0/nr_tags`)) {
      kernel += completed;
      ours += seen.get(device) ?? 0;
    } else if (completed > 0) {
      more[`unmeasured.${device}`] = completed;
    }
  }
  return { kernel, ours, more };
}

export const descriptor: ProbeDescriptor = {
  name: 'biolatency',
  summary: 'Measures how long block I/O waits in its queue and how long the device takes.',
  isOptional: true,
  hooks: [
    { program: 'rq_insert', attach: 'auto', isRequired: true },
    { program: 'rq_issue', attach: 'auto', isRequired: true },
    { program: 'rq_requeue', attach: 'auto', isRequired: true },
    { program: 'rq_merge', attach: 'auto', isRequired: false },
    { program: 'rq_complete', attach: 'auto', isRequired: true },
  ],
  knobs: {
    enabled: { help: 'Measure it.', default: true },
    inFlightEntries: {
      help: 'Requests under way that the kernel can keep.',
      default: 8192,
      min: 64,
      max: 1 << 20,
      sizes: 'in_flight',
    },
    mapEntries: {
      help: 'Octaves of delays, over all keys, that the kernel keeps between two flushes.',
      default: 4096,
      min: 64,
      max: 1 << 20,
      sizes: 'phases',
    },
  },
  constants: ['fk_cgroup_hierarchies'],
  outputs: [
    {
      kind: 'histogram',
      map: 'phases',
      stats: 'stats',
      stream: 'block',
      valueType: { type: 'block', unit: 'nanoseconds' },
      otel: 'flamekeeper.block.latency',
      prometheus: 'flamekeeper_block_latency_seconds',
      fields: [
        { name: 'device', from: 'device', as: 'device' },
        { name: 'phase', from: 'phase', as: 'word', words: ['queue', 'device'] },
        { name: 'operation', from: 'operation', as: 'word', words: operations },
        { name: 'size', from: 'size', as: 'word', words: sizes },
        { name: 'cgroup', from: 'cgroup', as: 'cgroup' },
      ],
    },
  ],
  checks: [
    {
      name: 'requests',
      files: () => ['/sys/block/*/stat', '/sys/block/*/mq/0/nr_tags'],
      compare: compareRequests,
    },
  ],
};
