// free: where the memory is.

import type { HostFacts } from './facts.js';
import type { Mark, View } from './view.js';
import { missingView } from './view.js';

const titles = ['', 'total', 'used', 'free', 'shared', 'buff/cache', 'available'];

export function freeView({ streams: { memory, vm } }: HostFacts): View {
  const tool = 'free';
  if (memory === undefined) return missingView(tool, '/proc/meminfo');
  const kib = (kind: string) => (memory.values.get(kind) ?? 0) / 1024;
  const [total, available] = [kib('MemTotal'), kib('MemAvailable')];
  const [swap, swapFree] = [kib('SwapTotal'), kib('SwapFree')];
  const cache = kib('Buffers') + kib('Cached') + kib('SReclaimable');
  const rows = [
    ['Mem:', total, total - available, kib('MemFree'), kib('Shmem'), cache, available],
    ['Swap:', swap, swap - swapFree, swapFree, '', '', ''],
  ];
  const columns = titles.map((title, i) =>
    i === 0 ? { title, align: 'left' as const } : { title },
  );
  const marks: Mark[] = [];
  const percent = (100 * available) / total;
  if (percent < 10) {
    marks.push({ kind: 'saturation', why: `available ${percent.toFixed(1)} % of all memory` });
  }
  const kills = vm?.values.get('oom_kill') ?? 0;
  if (kills > 0) {
    marks.push({ kind: 'errors', why: `the kernel killed ${kills} processes to free memory` });
  }
  return { tool, lines: [], tables: [{ columns, rows }], marks };
}
