// Latency reports with hostile names before parsers that are not ours: of XML, and of HTML.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { flamegraphSvg } from '../../exporters/formats/flamegraph-svg.js';
import { latencyHtml, latencySvg } from '../../exporters/formats/latency-html.js';
import type { LatencyReport } from '../../exporters/formats/latency-report.js';
import { hostileNames, smallProfile } from '../support/profiles.js';
import { histogramOf } from '../cli/signals-store.js';

const hasParser = spawnSync('python3', ['-c', 'import xml.dom.minidom, html.parser']).status === 0;
const skip = hasParser ? false : 'there is no python3';

const parser = `
import json, sys, html.parser, xml.dom.minidom
tags = set()
class Reader(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        tags.add(tag)
        assert not [n for n, v in attributes if n.startswith('on') or 'href' in n or n == 'src'], attributes
given = json.load(sys.stdin)
for text in given['svg']:
    for element in xml.dom.minidom.parseString(text.encode()).getElementsByTagName('*'):
        tags.add(element.tagName)
for text in given['html']:
    reader = Reader()
    reader.feed(text)
    reader.close()
print(json.dumps(sorted(tags)))
`;

test('parsers of XML and HTML see only our elements', { skip }, () => {
  const steps = [histogramOf({ 1000: 5, 2e6: 1 }), undefined, histogramOf({ 50: 100 })];
  const reports = hostileNames.map((name): LatencyReport => ({
    title: name,
    parts: [{ title: name, steps }],
    stepStarts: [0n, 1n, 2n],
    coveredNs: [1, 0, 1],
    lines: [name, hostileNames.join(' ')],
    table: { titles: [name, 'count'], rows: [[name, '1']] },
  }));
  const axesOf = (name: string) => ({ time: () => name, latency: () => name });
  const before = smallProfile();
  const svg = reports.map((report) => latencySvg(report, axesOf(report.title)));
  svg.push(
    ...hostileNames.map((title) => {
      return flamegraphSvg(smallProfile(), { title, subtitle: title, valueIndex: 0, before });
    }),
  );
  const html = reports.map((report) => latencyHtml(report, axesOf(report.title)));
  const { stdout, stderr, status } = spawnSync('python3', ['-c', parser], {
    input: JSON.stringify({ svg, html }),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const ours = 'body div g h1 h2 head html line meta p rect script style svg table td text th title tr';
  assert.deepEqual(JSON.parse(stdout), ours.split(' '));
});
