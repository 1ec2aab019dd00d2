// Small numbers that outlive the daemon, in state.db; and all metrics of a window at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { faults, load, noon, openStore, runq, second, temporaryDir, windowOf } from './support.js';
import { writeFlush } from './support.js';

test('state outlives the store that set it', (t) => {
  const dir = temporaryDir(t);
  const first = openStore(dir);
  assert.equal(first.state.get('otlp.next'), undefined);
  first.state.set({ 'otlp.next': 5, 'otlp.sending': -1 });
  first.state.set({ 'otlp.next': 2 ** 40 });
  first.close();
  const again = openStore(dir);
  t.after(() => again.close());
  assert.deepEqual(
    ['otlp.next', 'otlp.sending', 'other'].map((name) => again.state.get(name)),
    [2 ** 40, -1, undefined],
  );
});

test('metrics of a window are what series says of each stream', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  for (let i = 0; i < 30; i++) {
    writeFlush(store, {
      // Over midnight: two segments.
      startUnixNs: noon + 43_000n * second + BigInt(i) * 10n * second,
      lengthNs: 10n * second,
      metrics: [
        { stream: runq, rows: [{ key: [i % 3, 'a', ''], values: [i, 2 ** i] }] },
        ...(i < 5 ? [{ stream: faults, rows: [{ key: [i, 'sda'], values: [i + 1] }] }] : []),
        { stream: load, rows: [{ key: [`d${i % 2}`], values: [i] }] },
      ],
    });
  }
  const query = store.query();
  for (const [from, seconds, step] of [[43_000, 300, 10n], [43_150, 100, 20n], [43_190, 20, 600n]] as const) {
    const window = windowOf(noon + BigInt(from) * second, seconds);
    const stepNs = step * second;
    const { answers, brokenBlobs } = await store.metrics(window, stepNs, immediate);
    assert.equal(brokenBlobs, 0);
    assert.deepEqual(answers.map(({ stream }) => stream.name), from === 43_000 ? ['runq', 'faults', 'load'] : ['runq', 'load']);
    for (const answer of answers) {
      assert.deepEqual(answer, await query.series({ window, stepNs, filter: {}, stream: answer.stream.name }));
    }
  }
  const before = await store.metrics(windowOf(noon - 900n * second, 10), 10n * second, immediate);
  assert.deepEqual(before.answers, []);
});

test('flushes come in the pauses of a read: it says what it would have said without them', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  let bucket = 0;
  const write = () => {
    const i = bucket++;
    writeFlush(store, {
      // From 20 buckets before midnight on: the segment changes in the middle.
      startUnixNs: noon + 43_000n * second + BigInt(i) * 10n * second,
      lengthNs: 10n * second,
      metrics: [
        { stream: runq, rows: [{ key: [i, 'a', ''], values: [i, 2 ** (i % 40)] }] },
        { stream: faults, rows: [{ key: [i, 'sda'], values: [i + 1] }] },
        { stream: load, rows: [{ key: [`d${i % 3}`], values: [i] }] },
      ],
    });
  };
  for (let i = 0; i < 15; i++) write();
  const window = windowOf(noon + 43_000n * second, 150);
  const undisturbed = await store.metrics(window, 10n * second, immediate);
  let pauses = 0;
  const disturbed = await store.metrics(window, 10n * second, async () => {
    pauses++;
    write();
    await immediate();
  });
  assert.ok(pauses > 15 && bucket > 30, `${pauses} pauses`);
  // How far the store reaches is as of the read's end.
  const withoutStore = ({ answers }: typeof disturbed) =>
    answers.map(({ stream, steps, keys, counters, coveredNs }) => ({ stream, steps, keys, counters, coveredNs }));
  assert.deepEqual(withoutStore(disturbed), withoutStore(undisturbed));
  assert.equal(disturbed.brokenBlobs, 0);
});
