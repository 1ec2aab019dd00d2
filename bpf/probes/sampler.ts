// Samples of the clock and of every other perf event: sampler.bpf.c.

import type { ProbeDescriptor } from '../descriptor.js';

export const descriptor: ProbeDescriptor = {
  name: 'sampler',
  summary: 'Takes kernel and user stacks on perf events and counts them in the kernel.',
  hooks: [{ program: 'sample', attach: 'perf_event', isRequired: true }],
  knobs: {},
  constants: ['fk_period_ns', 'fk_cgroup_hierarchies'],
  outputs: [
    { kind: 'stack', counts: 'counts', stacks: 'stacks', stats: 'stats', clocks: 'clocks' },
    {
      kind: 'unwind',
      files: 'files',
      tables: 'tables',
      requests: 'requests',
      stats: 'unwind_stats',
    },
  ],
};
