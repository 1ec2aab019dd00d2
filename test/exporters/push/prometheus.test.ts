// GET /metrics of a store: golden text, and the rules that promtool checks, by a reader of our own.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { hostStreams } from '../../../storage/model/host-streams.js';
import type { Store } from '../../../storage/store.js';
import { load, noon, openStore, runq, second, temporaryDir } from '../../storage/support.js';
import { writeFlush } from '../../storage/support.js';
import { serveMetrics } from '../../support/push.js';

const golden = 'test/golden/metrics.prom';
const noonBucket = Number(noon / (10n * second));

/** One bucket of each kind; `i` counts them. */
function write(store: Store, i: number): void {
  const { cpu, memory } = hostStreams;
  writeFlush(store, {
    startUnixNs: noon + BigInt(i) * 10n * second,
    lengthNs: 10n * second,
    metrics: [
      {
        stream: runq,
        rows: [
          { key: [7 + i, 'a"\\\n', '/x'], values: [0, 976_563, 2 ** 30, 90e9] },
          { key: [8, 'b', ''], values: [500, 3_906_250] },
        ],
      },
      { stream: cpu.info, rows: [{ key: [0, 'user'], values: [1500] }, { key: [0, 'irq'], values: [20] }] },
      { stream: memory.info, rows: [{ key: ['MemTotal'], values: [2 ** 33 + i] }] },
      { stream: load, rows: [{ key: [`d${i}`], values: [0.25] }] },
    ],
  });
}

test('a scrape is as it was read; counters go on, the same bucket says the same', async (t) => {
  const store = openStore(temporaryDir(t));
  t.after(() => store.close());
  const { exports, url } = await serveMetrics(t, store);
  write(store, 0);
  write(store, 1);
  exports.complete(noonBucket);
  const scrape = async () => {
    const answer = await fetch(url);
    assert.equal(answer.status, 200);
    return answer.text();
  };
  const [first, again, together] = await Promise.all([scrape(), scrape(), scrape()]);
  assert.equal(first, again);
  assert.equal(first, together);
  exports.complete(noonBucket + 1);
  const second = await scrape();
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, second);
  assert.equal(second, readFileSync(golden, 'utf8'));
  check(first);
  const samples = check(second);
  assert.equal(samples.get('system_cpu_time_seconds_total{cpu_logical_number="0",cpu_mode="user"}'), 3);
  assert.equal(exports.figures['prometheus.scrapes'], 4);
  for (const name of check(first).keys()) assert.ok(samples.has(name) || /load/.test(name), name);
});

/** What promtool looks at: names, help, types, `_total`, whole histograms, nothing twice. */
function check(text: string): Map<string, number> {
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  let help = '';
  let family = '';
  for (const line of text.trimEnd().split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      assert.ok(rest.length > 3 && !types.has(name), line);
      [help, family] = [name, name];
    } else if (kind === 'TYPE') {
      assert.equal(name, help);
      types.set(name, rest);
      assert.equal(name.endsWith('_total'), rest === 'counter', line);
    } else if (kind === undefined) {
      const [, own = '', value = ''] = /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
      assert.match(own, /^[a-z][a-z0-9_]*(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+\})?$/, line);
      const base = own.replace(/\{.*/, '');
      const isHistogram = types.get(family) === 'histogram';
      assert.equal(isHistogram ? base.replace(/_(bucket|sum|count)$/, '') : base, family);
      assert.ok(!samples.has(own), line);
      samples.set(own, Number(value));
    }
  }
  checkHistograms(samples);
  return samples;
}

function checkHistograms(samples: ReadonlyMap<string, number>): void {
  let last = -1;
  let bound = -1;
  for (const [name, value] of samples) {
    const [, labels, le] = /_bucket\{(.*),?le="([^"]+)"\}$/.exec(name) ?? [];
    if (le === undefined) [last, bound] = [-1, -1];
    else {
      const limit = le === '+Inf' ? Infinity : Number(le);
      assert.ok(limit > bound && value >= last, name);
      if (limit !== Infinity) assert.ok(Number.isInteger(Math.log2(limit)), le);
      const count = name.replace(/_bucket\{.*/, `_count{${labels!.replace(/,$/, '')}}`).replace('{}', '');
      if (limit === Infinity) assert.equal(samples.get(count), value, count);
      [last, bound] = limit === Infinity ? [-1, -1] : [value, limit];
    }
  }
}
