// Rules of what the daemon tells of itself.

import type { MetricRule } from './metric-rule.js';

export const selfRules: readonly MetricRule[] = [
  {
    stream: 'self.samples',
    name: 'flamekeeper.samples',
    unit: '{sample}',
    description: 'Samples expected, captured, idle, not fired and lost, in ticks.',
  },
  {
    stream: 'self.stacks',
    name: 'flamekeeper.stacks',
    unit: '{stack}',
    description: 'Stacks of captured samples by where they end.',
  },
  {
    stream: 'self.frames',
    name: 'flamekeeper.frames',
    unit: '{frame}',
    description: 'Frames of distinct stacks, named or not.',
  },
  {
    stream: 'self.cpu',
    name: 'flamekeeper.cpu.time',
    attributes: { thread: 'thread.name' },
    description: 'CPU time of the daemon.',
  },
  {
    stream: 'self.memory',
    name: 'flamekeeper.memory.usage',
    description: 'Memory of the daemon.',
  },
  {
    stream: 'self.maps',
    name: 'flamekeeper.bpf.map.fill',
    description: 'Share of a bounded BPF map that was in use.',
  },
  {
    stream: 'self.stall',
    name: 'flamekeeper.thread.stall',
    attributes: { thread: 'thread.name' },
    description: 'Longest time since the last flush in which a thread of the daemon was not to be had.',
  },
  { stream: 'self.store', name: 'flamekeeper.store.size', description: 'Size of the store.' },
  {
    stream: 'self.store.age',
    name: 'flamekeeper.store.age',
    description: 'Time since the oldest segment of the store began.',
  },
  {
    stream: 'self.flush',
    name: 'flamekeeper.flush.duration',
    description: 'How long flushes took.',
  },
  {
    stream: 'self.query',
    name: 'flamekeeper.query.duration',
    description: 'How long answers to queries took.',
  },
  {
    stream: 'self.export',
    name: 'flamekeeper.export.duration',
    description: 'How long exports took.',
  },
  {
    stream: 'self.bpf.runs',
    name: 'flamekeeper.bpf.program.runs',
    unit: '{run}',
    description: 'Runs of BPF programs, while the kernel counts them.',
  },
  {
    stream: 'self.bpf.time',
    name: 'flamekeeper.bpf.program.time',
    description: 'Time that BPF programs took, while the kernel measures it.',
  },
];
