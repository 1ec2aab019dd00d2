// Run-queue latency on this kernel, beside the kernel's own tracer: as many waits as switches, as long
// as between the same tracepoints.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { descriptor } from '../../../bpf/probes/runqlat.js';
import type { Measured, SwitchAccount } from '../../kernel/metric-support.js';
import { endAll, measure, quantilesOff, startPinned, stopAndAsk, sumOf } from '../../kernel/metric-support.js';
import { traceEvents, type TraceEvent } from '../../support/ftrace.js';

const program = '/programs/pinned';
/** Emulated, the tracer takes its time between its look at the clock and ours. */
const emulated = { apartNs: 50_000 };
const tracepoints = ['wakeup', 'wakeup_new', 'switch'].map((name) => `sched/sched_${name}`);

test('run-queue latency', async (t) => {
  const spin = { cpu: 0 };
  const nap = { cpu: 0, workUs: 3000, napUs: 7000 };
  const { accounts, runq, events } = await watch([spin, spin, nap]);
  t.diagnostic(`run-queue latency: ${JSON.stringify(runq.counters)}`);
  const total = { ours: 0, tracer: 0, schedstat: 0 };
  for (const { pid, switches, runDelayNs } of accounts) {
    const own = runq.rows.filter(({ labels }) => labels['pid'] === pid);
    const waits = sumOf(own, 'count');
    const traced = waitsOf(pid, events);
    const ms = { ours: sumOf(own) / 1e6, tracer: sum(traced) / 1000, schedstat: runDelayNs / 1e6 };
    const off = quantilesOff(own, traced.map((us) => us * 1000), emulated);
    for (const who of observers) total[who] += ms[who];
    t.diagnostic(
      `run-queue latency: ${waits} waits, tracer ${traced.length}, ${switches} switches; ` +
        `${observers.map((who) => `${who} ${ms[who].toFixed(1)} ms`).join(', ')}; slots off ${off.join(' ')}`,
    );
    assert.equal(waits, traced.length);
    assert.ok(Math.abs(waits - switches) <= 1, `${waits} waits of ${switches} switches`);
    assert.ok(off.every((slots) => Math.abs(slots) <= 1), 'every quantile within one slot');
  }
  // The scheduler looks at its clock on its way in, or at the wake-up before; its tracepoints come
  // later, by any time on a virtual CPU that has lost its own CPU meanwhile.
  const late = Math.abs(total.tracer - total.schedstat);
  const apart = Math.abs(total.ours - total.schedstat);
  assert.ok(apart < 0.01 * total.schedstat + late, JSON.stringify(total));
});

const observers = ['ours', 'tracer', 'schedstat'] as const;
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

interface Watched {
  readonly accounts: readonly SwitchAccount[];
  readonly runq: Measured;
  readonly events: readonly TraceEvent[];
}

async function watch(programs: readonly Parameters<typeof startPinned>[0][]): Promise<Watched> {
  const accounts: SwitchAccount[] = [];
  const children: ReturnType<typeof startPinned>[] = [];
  let runq: Measured | undefined;
  try {
    const events = await traceEvents(tracepoints, async () => {
      const [measured] = await measure(descriptor, [
        async () => {
          children.push(...programs.map((each) => startPinned(each, program)));
          await sleep(8000);
          for (const child of children) accounts.push(await stopAndAsk(child));
        },
      ]);
      runq = measured!.get('runq')!;
    });
    return { accounts, runq: runq!, events };
  } finally {
    await endAll(children);
  }
}

/** From a wake-up, or a switch-out while it wants to run, to the switch-in. **Units**: us. */
function waitsOf(pid: number, events: readonly TraceEvent[]): number[] {
  const waits: number[] = [];
  let since: number | undefined;
  let isRunning = false;
  for (const { us, name, text } of events) {
    if (name !== 'sched_switch') {
      if (text.includes(` pid=${pid} `) && !isRunning) since ??= us;
    } else if (text.includes(` prev_pid=${pid} `)) {
      isRunning = false;
      since = / prev_state=R/.test(text) ? us : undefined;
    } else if (text.includes(` next_pid=${pid} `) && since !== undefined) {
      isRunning = true;
      waits.push(us - since);
      since = undefined;
    }
  }
  return waits;
}
