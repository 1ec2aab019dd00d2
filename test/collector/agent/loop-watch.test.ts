// The longest stall of a loop, against work of a known length.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoopWatch } from '../../../collector/agent/loop-watch.js';

function work(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

//  loop   wait 3 s | wait | 50 | 150 | wait | 70
test('rounds are told apart, waits do not count, the round under way does', async () => {
  const watch = new LoopWatch();
  await sleep(20);
  watch.takeLongestMs();
  await sleep(3000);
  const quietMs = watch.takeLongestMs();
  assert.ok(quietMs < 1500, `${quietMs} ms of a wait of 3 s`);
  setTimeout(() => work(50), 30);
  setTimeout(() => work(150), 40);
  await sleep(400);
  const longestMs = watch.takeLongestMs();
  assert.ok(longestMs >= 149, `${longestMs} ms`);
  await sleep(10);
  watch.takeLongestMs();
  work(70);
  assert.ok(watch.takeLongestMs() >= 70, 'it is asked in the middle of a round');
});

test('nothing is kept awake for it', async () => {
  const watch = new LoopWatch();
  const before = performance.nodeTiming.idleTime;
  await sleep(300);
  assert.ok(performance.nodeTiming.idleTime - before > 100, 'the loop waits');
  assert.ok(watch.takeLongestMs() >= 0);
});
