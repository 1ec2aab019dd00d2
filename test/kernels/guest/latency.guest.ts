// Run-queue latency on this kernel: as many waits as switches, as long as schedstat says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { descriptor } from '../../../bpf/probes/runqlat.js';
import { endAll, measure, startPinned, stopAndAsk, sumOf, type SwitchAccount } from '../../kernel/metric-support.js';

const program = '/programs/pinned';

test('run-queue latency', async (t) => {
  const accounts: SwitchAccount[] = [];
  const spin = { cpu: 0 };
  const nap = { cpu: 0, workUs: 3000, napUs: 7000 };
  const children: ReturnType<typeof startPinned>[] = [];
  try {
    const [measured] = await measure(descriptor, [
      async () => {
        children.push(...[spin, spin, nap].map((each) => startPinned(each, program)));
        await sleep(8000);
        for (const child of children) accounts.push(await stopAndAsk(child));
      },
    ]);
    const { rows, counters } = measured!.get('runq')!;
    t.diagnostic(`run-queue latency: ${JSON.stringify(counters)}`);
    for (const [i, { pid, switches, runDelayNs }] of accounts.entries()) {
      const own = rows.filter(({ labels }) => labels['pid'] === pid);
      const [waits, waitedNs] = [sumOf(own, 'count'), sumOf(own)];
      t.diagnostic(
        `run-queue latency: ${waits} waits of ${switches} switches, ` +
          `${(waitedNs / 1e6).toFixed(1)} ms of ${(runDelayNs / 1e6).toFixed(1)} ms by schedstat`,
      );
      assert.ok(Math.abs(waits - switches) <= 1, `${waits} waits of ${switches} switches`);
      // The kernel accounts a wake-up earlier than it tells of it.
      const tolerance = i < 2 ? 0.02 : 0.1;
      assert.ok(Math.abs(waitedNs / runDelayNs - 1) < tolerance, `${waitedNs} of ${runDelayNs} ns`);
    }
  } finally {
    await endAll(children);
  }
});
