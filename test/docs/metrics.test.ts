// docs/metrics.md keeps up with the names in the code and in the probes' descriptors.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { metricsPage } from '../../exporters/push/metrics-page.js';
import { given, streams } from '../support/metric-streams.js';

test('docs/metrics.md is the table of names; UPDATE_GOLDEN=1 prints it anew', () => {
  const page = metricsPage(streams, given);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync('docs/metrics.md', page);
  assert.equal(readFileSync('docs/metrics.md', 'utf8'), page);
});
