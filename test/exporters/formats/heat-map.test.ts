// Heat maps: which counts end up in which cell, how they look as text, and that no text leaves its place
// in SVG and HTML.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { bar, sparkline } from '../../../exporters/formats/bars.js';
import { heatMapText } from '../../../exporters/formats/heat-map-text.js';
import { colourAt, heatMapOf, heatOf, ramps } from '../../../exporters/formats/heat-map.js';
import { latencyHtml, latencySvg } from '../../../exporters/formats/latency-html.js';
import { barRows, quantileRows } from '../../../exporters/formats/latency-report.js';
import type { LatencyReport } from '../../../exporters/formats/latency-report.js';
import type { Histogram } from '../../../storage/model/histogram.js';
import { firstSlot, lastSlot, slotBoundsNs } from '../../../storage/model/histogram.js';
import { hostileNames } from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('heat-map.test');

function histogramOf(bySlot: Readonly<Record<number, number>>): Histogram {
  const sorted = Object.entries(bySlot)
    .map(([slot, count]) => [Number(slot), count] as const)
    .sort(([a], [b]) => a - b);
  const count = sorted.reduce((sum, [, n]) => sum + n, 0);
  return {
    slots: Int16Array.from(sorted, ([slot]) => slot),
    counts: Float64Array.from(sorted, ([, n]) => n),
    count,
    sumNs: 0,
  };
}

const axes = {
  time: (column: number) => `t${column}`,
  latency: (ns: number) => `${Math.round(ns)}`,
};

// Slots -160 to -153 are an octave: up to 2^-19 s, 1907 ns.
const steps = [
  histogramOf({ [-160]: 1 }),
  undefined,
  histogramOf({ [-160]: 10, [-159]: 100 }),
  undefined,
  histogramOf({ [-157]: 1000 }),
];
const covered = [1e10, 0, 1e10, 1e10, 1e10];

test('a map without colours: slow at the top, what is not recorded is a dot', () => {
  const map = heatMapOf(steps, covered, { columns: 80, rows: 20 });
  assert.deepEqual(heatMapText(map, { axes, hasColour: false }), [
    '1349 ▏ ·  █',
    '1237 ▏ ·',
    '1134 ▏ ·▓',
    '1040 ▏░·▒',
    ' 954 ▔',
    '      t0',
    '      1 ░▒▓█ 1,000 a cell, logarithmic  · not recorded',
  ]);
});

test('a map with colours: two rows a line, each cell in the colour of its heat', () => {
  const map = heatMapOf(steps, covered, { columns: 80, rows: 20 });
  const lines = heatMapText(map, { axes, hasColour: true });
  assert.equal(lines.length, 2 + 3);
  const hottest = colourAt(ramps.dark, 1).join(';');
  assert.ok(lines[0]!.includes(`\x1b[0;38;2;${hottest}m▀`), JSON.stringify(lines[0]));
  assert.ok(lines.every((line) => !line.includes('\x1b[') || line.includes('\x1b[0m')));
  const plain = lines.map((line) => line.replace(/\x1b\[[\d;]*m/g, ''));
  assert.deepEqual(plain.slice(0, 3), ['1349 ▏ ▀  ▀', '1134 ▏▄▀▀  ', ' 954 ▔']);
});

test('steps and slots are put together until they fit, and no count gets lost', () => {
  const counts = fc.array(
    fc.option(
      fc.dictionary(
        fc.integer({ min: firstSlot, max: lastSlot }).map(String),
        fc.integer({ min: 1, max: 1e6 }),
        {
          maxKeys: 8,
        },
      ),
      { nil: undefined, freq: 4 },
    ),
    { minLength: 1, maxLength: 60 },
  );
  const limits = fc.record({
    columns: fc.integer({ min: 1, max: 40 }),
    rows: fc.integer({ min: 2, max: 40 }),
  });
  fc.assert(
    fc.property(counts, limits, (bySlots, limit) => {
      const histograms = bySlots.map((bySlot) => bySlot && histogramOf(bySlot));
      const map = heatMapOf(
        histograms,
        histograms.map(() => 1),
        limit,
      );
      assert.ok(map.columns <= limit.columns && map.rows.length <= limit.rows);
      const total = histograms.reduce((sum, histogram) => sum + (histogram?.count ?? 0), 0);
      assert.equal(
        map.counts.reduce((sum, n) => sum + n, 0),
        total,
      );
      for (const [i, { lowerNs, upperNs }] of map.rows.entries()) {
        assert.ok(lowerNs < upperNs || i === 0);
        // No delay lies between 0 and the first slot's bound.
        const before = map.rows[i - 1]?.upperNs ?? 0;
        if (before > 0) assert.equal(lowerNs, before);
      }
      for (const slot of histograms.flatMap((histogram) => [...(histogram?.slots ?? [])])) {
        const { lowerNs, upperNs } = slotBoundsNs(slot);
        assert.ok(map.rows.some((row) => row.lowerNs <= lowerNs && upperNs <= row.upperNs));
      }
      for (const hasColour of [false, true]) assert.ok(heatMapText(map, { axes, hasColour }).length !== 1);
    }),
  );
});

test('bars and quantiles hold all that was counted, between the bounds of their slots', () => {
  const narrow = histogramOf({ [-160]: 5, [-158]: 1 });
  assert.deepEqual(
    barRows(narrow).map(({ count }) => count),
    [5, 0, 1],
  );
  const wide = histogramOf({ [-160]: 5, [-100]: 7 });
  assert.deepEqual(
    barRows(wide).map(({ count }) => count),
    [5, 0, 0, 0, 0, 0, 0, 7],
  );
  assert.deepEqual(barRows(histogramOf({})), []);
  assert.deepEqual(quantileRows(histogramOf({})), []);
  const [p50, , , , max] = quantileRows(wide);
  assert.ok(p50!.lowerNs < p50!.valueNs && p50!.valueNs <= p50!.upperNs);
  assert.equal(max!.valueNs, slotBoundsNs(-100).upperNs);
});

test('bars and sparklines: eighths, something for anything, nothing for nothing', () => {
  assert.deepEqual(
    [0, 1, 50, 100].map((value) => bar(value, 100, 4)),
    ['', '▏', '██', '████'],
  );
  assert.equal(bar(5, 0, 4), '');
  assert.equal(sparkline([0, 0.5, undefined, 8, 4]), '▁▁ █▅');
  assert.equal(sparkline([0, 0]), '▁▁');
  assert.ok(heatOf(1, 1e9) > 0 && heatOf(1e9, 1e9) === 1 && heatOf(0, 5) === 0);
});

/** What is left without the tags that there may be is text, all of it escaped. */
function checkMarkup(text: string): void {
  const tags =
    /<\/?(svg|style|rect|text|title|line|html|head|meta|body|h1|h2|p|table|tr|td|th|div)( [a-zA-Z0-9-]+="[^"<>&]*")*\/?>/g;
  const rest = text.replace(/^<!DOCTYPE html>\n/, '').replace(tags, '');
  assert.doesNotMatch(rest, /[<>]|&(?!(amp|lt|gt|quot|#39);)/);
  assert.doesNotMatch(text, /[^\P{Cc}\n]|\p{Surrogate}|[\ufffe\uffff]/u);
}

test('no name leaves its place in SVG and HTML', () => {
  const reports = hostileNames.map((name): LatencyReport => ({
    title: name,
    parts: [{ title: name, steps }],
    stepStarts: steps.map((_, i) => BigInt(i)),
    coveredNs: covered,
    lines: [name, hostileNames.join('\n')],
    table: { titles: [name, 'count'], rows: [[name, '1']] },
  }));
  for (const report of reports) {
    const hostileAxes = { time: () => report.title, latency: () => report.title };
    checkMarkup(latencyHtml(report, hostileAxes));
    checkMarkup(latencySvg(report, hostileAxes));
  }
  const nothing = { ...reports[0]!, parts: [{ title: 'none', steps: [] }] };
  assert.match(latencyHtml(nothing, axes), /Nothing was seen/);
  assert.match(latencySvg(nothing, axes), /Nothing was seen/);
});
