// Flame graphs: the geometry, and that no name leaves its place in the XML.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { flamegraphScript } from '../../../exporters/formats/flamegraph-script.js';
import { flamegraphSvg } from '../../../exporters/formats/flamegraph-svg.js';
import { totalOf } from '../../../storage/model/profile.js';
import {
  buildProfile,
  hostileNames,
  nativeFunction,
  profiles,
  seriesOf,
  smallProfile,
} from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('flamegraph-svg.test');

const options = { title: 'cpu', subtitle: '12:00 to 12:01 · all captured', valueIndex: 0 };

interface Rect {
  readonly kind: string;
  readonly x: number;
  readonly width: number;
  readonly y: number;
  readonly title: readonly string[];
}

const rowPattern = /<g data-y="(\d+)"[^>]*>\n([^]*?)<\/g>/g;
const rectPattern =
  /<rect class="(\S+)[^"]*" x="(\d+)" width="(\d+)" height="15"><title>([^<]*)<\/title>/g;

function rectsOf(svg: string): Rect[] {
  return [...svg.matchAll(rowPattern)].flatMap(([, y, row]) =>
    [...row!.matchAll(rectPattern)].map(([, kind, x, width, title]) => ({
      kind: kind!,
      x: Number(x),
      width: Number(width),
      y: Number(y),
      title: title!.split('\n'),
    })),
  );
}

/** What is left without the tags a picture may have, its style sheet and its one
 *  script: text, all of it escaped. */
function checkMarkup(svg: string): void {
  const parts = svg.split(`<script><![CDATA[${flamegraphScript}]]></script>`);
  assert.ok(parts.length <= 2);
  const text = parts
    .join('')
    .replace(/<\/?(svg|style|rect|text|g|title)( [a-zA-Z-]+="[^"<>&]*")*\/?>/g, '');
  assert.doesNotMatch(text, /[<>]|&(?!(amp|lt|gt|quot|#39);)/);
  assert.doesNotMatch(svg, /[^\P{Cc}\n]|\p{Surrogate}|[\ufffe\uffff]/u);
}

test('draws the root at the top, comms below it, siblings by name', () => {
  const rects = rectsOf(flamegraphSvg(smallProfile(), options));
  const shown = rects.map(({ kind, x, width, y, title }) => {
    const [start, value] = [x, width].map((millionths) => Math.round((millionths * 55) / 1e6));
    return `${y} ${start}+${value} ${kind.replace(/\d+/, '')} ${title[0]}`;
  });
  assert.deepEqual(shown, [
    '0 0+55 comm all',
    '16 0+22 comm app',
    '16 22+33 comm db',
    '32 0+15 n main',
    '32 15+7 n ns::work&lt;int&gt;(char)',
    '32 22+6 n main',
    '32 28+8 n main',
    '48 0+2 n &lt;/title&gt;&lt;script&gt;;alert(1)',
    '48 2+13 n ns::work&lt;int&gt;(char)',
    '48 22+6 n ns::work&lt;int&gt;(char)',
    '48 28+8 u [libx.so+0x2000]',
    '64 2+4 n ns::work&lt;int&gt;(char)',
    '64 6+6 k vfs_read',
    '80 6+1 k [kernel+0xffffffff81000000]',
  ]);
  assert.deepEqual(rects[12]!.title, ['vfs_read', '6 samples, 10.91 %', '[kernel]']);
});

test('shows cuts when asked to', () => {
  const rects = rectsOf(flamegraphSvg(smallProfile(), { ...options, showCuts: true }));
  const cuts = rects.filter(({ kind }) => kind === 'cut').map(({ title }) => title.join(', '));
  assert.deepEqual(cuts, [
    '[cut: unreadable], 7 samples, 12.73 %',
    '[cut: unreadable], 9 samples, 16.36 %',
  ]);
});

test('says what is too narrow to be drawn, and that there is nothing', () => {
  const series = seriesOf('app', 1);
  const profile = buildProfile([
    { series, stack: [nativeFunction('large')], count: 100_000 },
    { series, stack: [nativeFunction('small'), nativeFunction('on top of small')], count: 1 },
  ]);
  const svg = flamegraphSvg(profile, options);
  assert.ok(svg.includes('100,001 samples in 4 frames; 2 narrower than 0.3 px are not drawn'));
  assert.deepEqual(rectsOf(svg).map(({ title }) => title[0]), ['all', 'app', 'large']);
  const nothing = flamegraphSvg(buildProfile([]), options);
  assert.ok(nothing.includes('No samples.'));
  checkMarkup(nothing);
});

test('a difference is coloured, and says what the value was', () => {
  const app = seriesOf('app', 1);
  const rows = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]) => {
      return { series: app, stack: [nativeFunction(name)], count };
    });
  const now = buildProfile(rows({ fresh: 30, grown: 40, same: 20, shrunk: 10 }));
  const before = buildProfile(rows({ gone: 50, grown: 20, same: 20, shrunk: 20 }));
  const svg = flamegraphSvg(now, { ...options, before });
  checkMarkup(svg);
  assert.deepEqual(
    rectsOf(svg).map(({ kind, title }) => `${kind} ${title[0]}: ${title[1]}`),
    [
      's0 all: 100 samples, 100.00 %; before: 110 samples',
      's0 app: 100 samples, 100.00 %; before: 110 samples',
      'g5 fresh: 30 samples, 30.00 %; before: 0 samples',
      'g3 grown: 40 samples, 40.00 %; before: 20 samples',
      'g0 same: 20 samples, 20.00 %; before: 20 samples',
      's3 shrunk: 10 samples, 10.00 %; before: 20 samples',
    ],
  );
  assert.match(svg, /100 samples in 5 frames[^;]/);
});

test('no name, title or subtitle leaves its place', () => {
  const hostile = hostileNames.join(' ');
  for (const name of hostileNames) {
    const stack = [nativeFunction(name, name)];
    const profile = buildProfile([{ series: seriesOf(name, 1), stack, count: 1 }]);
    checkMarkup(flamegraphSvg(profile, { ...options, title: name, subtitle: hostile }));
  }
  const chosen = fc.record({
    showCuts: fc.boolean(),
    subtitle: fc.string({ unit: 'binary' }),
    valueIndex: fc.constantFrom(0, 1),
  });
  fc.assert(
    fc.property(profiles(), chosen, (profile, { showCuts, subtitle, valueIndex }) => {
      const svg = flamegraphSvg(profile, {
        ...options,
        showCuts,
        subtitle,
        valueIndex,
        minWidthPx: 0,
      });
      checkMarkup(svg);
      if (totalOf(profile) > 0) checkGeometry(rectsOf(svg));
    }),
  );
});

/** Frames of a row do not overlap, and each hangs below one of the row above. */
function checkGeometry(rects: readonly Rect[]): void {
  const [root] = rects;
  assert.deepEqual([root!.x, root!.width, root!.title[0]], [0, 1e6, 'all']);
  for (const rect of rects) {
    const row = rects.filter(({ y }) => y === rect.y);
    const overlapping = row.filter(({ x, width }) => x < rect.x + rect.width && rect.x < x + width);
    assert.deepEqual(overlapping, [rect]);
    const rowAbove = rects.filter(({ y }) => y === rect.y - 16);
    const above = rowAbove.filter(
      ({ x, width }) => x <= rect.x && x + width >= rect.x + rect.width,
    );
    assert.equal(above.length, rect === root ? 0 : 1);
  }
}

test('20,000 frames stay below 3 MB', () => {
  const series = seriesOf('app', 1);
  const rows = Array.from({ length: 1000 }, (_, i) => {
    const names = Array.from(
      { length: 20 },
      (_, depth) => `some_function_of_30_letters_${i}_${depth}`,
    );
    return { series, stack: names.map((name) => nativeFunction(name, 'libsome.so.1')), count: 5 };
  });
  const svg = flamegraphSvg(buildProfile(rows), options);
  assert.equal(rectsOf(svg).length, 20_002);
  assert.ok(svg.length < 3e6, `${svg.length} bytes`);
});
