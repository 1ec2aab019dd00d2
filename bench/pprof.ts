// How long pprofGzip keeps the event loop busy, and what it costs: 200,000 stacks of 30 frames in 2,000
// series.
//
//   node dist/bench/pprof.js [--stacks 200000]

import { setImmediate as turn } from 'node:timers/promises';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

import { pprofGzip } from '../exporters/formats/pprof.js';
import type { Profile } from '../storage/model/profile.js';
import { checkValid } from '../storage/model/profile.js';
import { printFigure, printNote, printTitle, readOptions } from './support.js';

const framesPerStack = 30;
const functionCount = 20_000;
const seriesCount = 2_000;
const trunkCount = 10_000;
const periodNs = 10_101_010;

/** Built in place: what a ProfileBuilder would leave to the garbage collector is freed in the middle of the
 *  measurement,  and shows there as stalls of its own. */
function buildProfile(stacks: number): Profile {
  let state = 1;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  // Trunks are shared, the other half of each stack is its own.
  const half = framesPerStack / 2;
  const parents = new Uint32Array(1 + (trunkCount + stacks) * half);
  for (let i = 1; i < parents.length; i++) {
    const isTrunk = i <= trunkCount * half;
    const startsBranch = (i - 1) % half === 0;
    if (!startsBranch) parents[i] = i - 1;
    else parents[i] = isTrunk ? 0 : (1 + below(trunkCount)) * half;
  }
  const counts = Float64Array.from({ length: stacks }, () => 1 + below(9));
  return {
    name: 'cpu',
    valueTypes: [
      { type: 'samples', unit: 'count' },
      { type: 'cpu', unit: 'nanoseconds' },
    ],
    period: periodNs,
    functions: Array.from({ length: functionCount }, (_, i) => {
      const name = `lib${i % 150}.so`;
      const module = { name, path: `/usr/lib/${name}`, buildId: (i % 150).toString(16).padStart(40, '0') };
      return { module, frameType: 'native', name: `namespace::Class${i % 97}::function_${i}` } as const;
    }),
    parents,
    nodeFunctions: parents.map(() => below(functionCount)),
    series: Array.from({ length: seriesCount }, (_, i) => {
      const comm = `program-${i % 100}`;
      const paths = { exe: `/usr/bin/${comm}`, cgroup: `/system.slice/${comm}.service` };
      return { pid: 1000 + i, startUnixMs: i, comm, thread: `worker-${i}`, uid: 0, user: 'root', ...paths };
    }),
    rowSeries: Uint32Array.from({ length: stacks }, () => below(seriesCount)),
    rowNodes: Uint32Array.from({ length: stacks }, (_, i) => (trunkCount + i + 1) * half),
    values: [counts, counts.map((count) => count * periodNs)],
  };
}

const { stacks } = readOptions({ stacks: 200_000 }, {});
printTitle('pprof', { stacks });
const profile = buildProfile(stacks);
checkValid(profile);
for (let i = 0; i < 5; i++) await turn();
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await turn();
const started = performance.now();
const cpuBefore = process.cpuUsage();
let bytes = 0;
let largest = 0;
for await (const chunk of pprofGzip(profile, { timeUnixNs: 0n, durationNs: 0n, comments: [] })) {
  bytes += chunk.length;
  largest = Math.max(largest, chunk.length);
}
const seconds = ((performance.now() - started) / 1e3).toFixed(2);
const cpu = process.cpuUsage(cpuBefore);
const cpuSeconds = ((cpu.user + cpu.system) / 1e6).toFixed(2);
await turn();
delay.disable();
const rssMb = process.resourceUsage().maxRSS / 1024;
printFigure('longest stall of the event loop', delay.max / 1e6, 'ms', { atMost: 20 });
printNote(`99th percentile ${(delay.percentile(99) / 1e6).toFixed(1)} ms; ${seconds} s, CPU ${cpuSeconds} s`);
printNote(
  `${stacks} stacks x ${framesPerStack} frames, ${profile.parents.length} nodes: ` +
    `${(bytes / 1e6).toFixed(1)} MB`,
);
printNote(`chunks of at most ${largest} bytes; largest RSS ${rssMb.toFixed(0)} MB, the profile included`);
