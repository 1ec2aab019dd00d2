// How long tasks waited for a CPU, and who had it meanwhile: runqlat.bpf.c.

import type { CheckedInterval, FileTexts, KeyField, ProbeDescriptor } from '../descriptor.js';

/** Processes whose delay the kernel is asked for at a flush, taken in turn from the busiest. */
const SAMPLED_PROCESSES = 2;
const SAMPLED_FROM = 64;

/** Labels of the process at `from`, with `prefix` before their names. */
function processFields(from: string, prefix: string): KeyField[] {
  const image = `${from}.incarnation`;
  return [
    { name: `${prefix}pid`, from: image, as: 'pid' },
    { name: `${prefix}start`, from: image, as: 'startUnixMs', unit: 'milliseconds' },
    { name: `${prefix}comm`, from: image, as: 'comm' },
    { name: `${prefix}cgroup`, from: `${from}.cgroup`, as: 'cgroup' },
  ];
}

/** Delay per process of one interval, longest first. Folded processes have no pid. */
function delayByPid({ fields, keys, sumsNs }: CheckedInterval): Map<number, number> {
  const column = fields.indexOf('pid');
  const sums = new Map<number, number>();
  for (const [row, key] of keys.entries()) {
    const pid = Number(key[column]);
    if (pid > 0) sums.set(pid, (sums.get(pid) ?? 0) + sumsNs[row]!);
  }
  return new Map([...sums].sort(([, a], [, b]) => b - a));
}

function sampledFiles(interval: CheckedInterval, turn: number): string[] {
  const pids = [...delayByPid(interval).keys()].slice(0, SAMPLED_FROM);
  const first = turn * SAMPLED_PROCESSES;
  const chosen = new Set<number>();
  for (let i = 0; i < SAMPLED_PROCESSES && i < pids.length; i++) {
    chosen.add(pids[(first + i) % pids.length]!);
  }
  return Array.from(chosen, (pid) => `/proc/${pid}/task/*/schedstat`);
}

/** run_delay of each process's threads: second number of schedstat. */
function delays(texts: FileTexts): Map<number, { threads: string; ns: number }> {
  const byPid = new Map<number, { threads: string; ns: number }>();
  for (const [path, text] of texts) {
    const [, pid, tid] = /^\/proc\/(\d+)\/task\/(\d+)\//.exec(path) ?? [];
    const ns = Number(text.split(' ')[1]);
    if (pid === undefined || !Number.isFinite(ns)) continue;
    const { threads = '', ns: before = 0 } = byPid.get(Number(pid)) ?? {};
    byPid.set(Number(pid), { threads: `${threads} ${tid}`, ns: before + ns });
  }
  return byPid;
}

/** Processes with the same threads at both ends. */
function compareDelays(before: FileTexts, after: FileTexts, interval: CheckedInterval) {
  const [first, last] = [delays(before), delays(after)];
  const seen = delayByPid(interval);
  let kernel = 0;
  let ours = 0;
  for (const [pid, { threads, ns }] of last) {
    const start = first.get(pid);
    if (start === undefined || start.threads !== threads) continue;
    kernel += ns - start.ns;
    ours += seen.get(pid) ?? 0;
  }
  return kernel === 0 && ours === 0 ? undefined : { kernel, ours };
}

function switches(texts: FileTexts): number {
  return Number(/^ctxt (\d+)$/m.exec(texts.get('/proc/stat') ?? '')?.[1]);
}

function compareSwitches(before: FileTexts, after: FileTexts, { stats }: CheckedInterval) {
  const kernel = switches(after) - switches(before);
  return Number.isNaN(kernel) ? undefined : { kernel, ours: stats['switches'] ?? 0 };
}

const inStorage = ['tasks'];
const inHash = ['tasks_hash'];

export const descriptor: ProbeDescriptor = {
  name: 'runqlat',
  summary: 'Measures how long threads wait for a CPU, and names who had it meanwhile.',
  isOptional: true,
  hooks: [
    { program: 'wakeup', attach: 'auto', isRequired: true, group: 'wakeup', maps: inStorage },
    { program: 'wakeup_hash', attach: 'auto', isRequired: true, group: 'wakeup', maps: inHash },
    { program: 'wakeup_new', attach: 'auto', isRequired: true, group: 'new', maps: inStorage },
    { program: 'wakeup_new_hash', attach: 'auto', isRequired: true, group: 'new', maps: inHash },
    { program: 'switch_task', attach: 'auto', isRequired: true, group: 'switch', maps: inStorage },
    { program: 'switch_hash', attach: 'auto', isRequired: true, group: 'switch', maps: inHash },
    { program: 'new_task', attach: 'auto', isRequired: false, maps: inStorage },
    { program: 'old_tasks', attach: 'iter', isRequired: false, maps: inStorage },
  ],
  knobs: {
    enabled: { help: 'Measure it.', default: true },
    threads: {
      help: 'Keep the threads of a process apart.',
      default: false,
      rodata: 'fk_threads',
    },
    culpritUs: {
      help: 'Of waits of so many microseconds and more: tell who ran meanwhile. 0: never.',
      default: 1000,
      max: 1_000_000_000,
      rodata: 'fk_culprit_us',
    },
    mapEntries: {
      help: 'Octaves of delays, over all keys, that the kernel keeps between two flushes.',
      default: 8192,
      min: 64,
      max: 1 << 20,
      sizes: 'waits',
    },
    culpritEntries: {
      help: 'Pairs of who waited and who ran that the kernel keeps between two flushes.',
      default: 4096,
      min: 64,
      max: 1 << 20,
      sizes: 'culprits',
    },
  },
  constants: ['fk_cgroup_hierarchies'],
  outputs: [
    {
      kind: 'histogram',
      map: 'waits',
      stats: 'stats',
      stream: 'runq',
      valueType: { type: 'runq', unit: 'nanoseconds' },
      otel: 'flamekeeper.runq.latency',
      prometheus: 'flamekeeper_runq_latency_seconds',
      fields: [
        ...processFields('process', ''),
        { name: 'exe', from: 'process.incarnation', as: 'executable' },
        { name: 'user', from: 'uid', as: 'user' },
        {
          name: 'thread',
          from: 'tid',
          as: 'thread',
          image: 'process.incarnation',
          onlyWith: 'threads',
        },
        { name: 'cause', from: 'cause', as: 'word', words: ['queued', 'throttled'] },
      ],
    },
    {
      kind: 'counter',
      map: 'culprits',
      top: 64,
      foldFirst: ['pid', 'start', 'comm', 'cgroup'],
      stream: 'runq_culprit',
      valueType: { type: 'cpu', unit: 'nanoseconds' },
      otel: 'flamekeeper.runq.culprit',
      prometheus: 'flamekeeper_runq_culprit_seconds_total',
      fields: [...processFields('waiter', ''), ...processFields('holder', 'culprit_')],
    },
  ],
  checks: [
    { name: 'switches', files: () => ['/proc/stat'], compare: compareSwitches },
    { name: 'run_delay', files: sampledFiles, compare: compareDelays },
  ],
};
