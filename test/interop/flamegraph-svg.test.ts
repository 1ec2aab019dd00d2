// Hostile flame graphs before an XML parser that is not ours.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import fc from 'fast-check';

import { flamegraphSvg } from '../../exporters/formats/flamegraph-svg.js';
import { hostileNames, profiles, smallProfile } from '../support/profiles.js';
import { seedRandomTests } from '../support/random.js';

seedRandomTests('interop/flamegraph-svg.test');

const hasParser = spawnSync('python3', ['-c', 'import xml.dom.minidom']).status === 0;
const skip = hasParser ? false : 'there is no python3';

const parser = `
import json, sys, xml.dom.minidom
allowed = {'svg', 'style', 'rect', 'text', 'g', 'title', 'script'}
counts = []
for text in json.load(sys.stdin):
    elements = xml.dom.minidom.parseString(text.encode()).getElementsByTagName('*')
    names = [element.tagName for element in elements]
    attributes = [name for element in elements for name in element.attributes.keys()]
    handlers = [name for name in attributes if name.startswith('on') or 'href' in name]
    assert set(names) <= allowed and names.count('script') <= 1, set(names)
    assert not handlers, handlers
    counts.append(names.count('title'))
print(json.dumps(counts))
`;

test('an XML parser sees only our elements', { skip }, () => {
  const subtitle = hostileNames.join(' ');
  const svgs = [smallProfile(), ...fc.sample(profiles(), 200)].map((profile, i) => {
    const title = hostileNames[i % hostileNames.length]!;
    return flamegraphSvg(profile, { title, subtitle, valueIndex: 0, minWidthPx: 0 });
  });
  const { stdout, stderr, status } = spawnSync('python3', ['-c', parser], {
    input: JSON.stringify(svgs),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const drawn = svgs.map((svg) => svg.split('<title>').length - 1);
  assert.deepEqual(JSON.parse(stdout), drawn);
});
