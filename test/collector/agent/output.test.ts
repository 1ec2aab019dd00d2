import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../../collector/agent/log.js';
import { FlushTimer } from '../../../collector/agent/flush-timer.js';
import { statusText } from '../../../collector/agent/status-line.js';

test('the log keeps to its level, and foreign names cannot write control characters', () => {
  const lines: string[] = [];
  const log = createLog('warn', (line) => lines.push(line));
  log('info', 'not shown');
  log('warn', 'process \x1b[31m\n evil');
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /warn/);
  assert.ok(!lines[0]!.slice(0, -1).match(/[\x00-\x1f]/));
});

test('the status line says what is known before the first flush and after', () => {
  const figures = {
    samplesPerSecond: 93.94,
    processes: 61,
    accounted: 0.9999,
    cpuPercent: 0.123,
    rssBytes: 71e6,
    storeBytes: 1.25e6,
    flushes: 0,
  };
  assert.match(statusText(figures), /first flush pending/);
  const text = statusText({ ...figures, flushes: 3 });
  for (const part of ['93.9 samples/s', '61 processes', '99.99 %', 'CPU 0.12 %', 'RSS 71 MB', 'store 1.3 MB']) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
});

test('flushes come right after multiples of the interval, and none after stop', async () => {
  const at: number[] = [];
  await new Promise<void>((resolve) => {
    const timer = new FlushTimer(200, async () => {
      at.push(Date.now() % 200);
      if (at.length === 3) {
        void timer.stop();
        resolve();
      }
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(at.length, 3);
});
