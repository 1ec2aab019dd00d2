// The dashboard and the alert rules ask for metrics and labels that there are. That Prometheus itself
// takes them is not checked here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { attributeOf, metricOf, prometheusName } from '../../exporters/push/metric-names.js';
import type { MetricRule } from '../../exporters/push/metric-rule.js';
import { metricRules } from '../../exporters/push/metric-table.js';
import { given, streams } from '../support/metric-streams.js';

interface Named {
  readonly metrics: ReadonlySet<string>;
  readonly labels: ReadonlySet<string>;
}

/** Names of samples, and of labels beside those that Prometheus adds. */
function known(): Named {
  const metrics = new Set(['up']);
  const labels = new Set(['le', 'instance', 'job']);
  const rules: readonly MetricRule[] = [...metricRules, ...given];
  for (const rule of rules) {
    const stream = streams.find(({ name }) => name === rule.stream)!;
    const name = prometheusName(metricOf(stream, rule));
    const ends = { counter: ['_total'], gauge: [''], histogram: ['_bucket', '_sum', '_count'] };
    for (const end of ends[stream.kind as keyof typeof ends]) metrics.add(name + end);
    for (const { name: field } of stream.fields ?? []) {
      labels.add((rule.attributes?.[field] ?? attributeOf(field)).replaceAll('.', '_'));
    }
  }
  return { metrics, labels };
}

/** Identifiers of an expression without what is quoted, and without functions. */
function check(expression: string, { metrics, labels }: Named): void {
  const bare = expression.replaceAll(/"[^"]*"/g, '""').replaceAll(/\[[^\]]*\]/g, '');
  const inBraces = [...bare.matchAll(/\{([^}]*)\}|\bby \(([^)]*)\)/g)];
  const used = inBraces.flatMap(([, a, b]) => (a ?? b ?? '').match(/[a-z_]+/g) ?? []);
  for (const label of used) assert.ok(labels.has(label), `${label} in ${expression}`);
  const outside = bare.replaceAll(/\{[^}]*\}|\bby \([^)]*\)/g, '');
  const names = outside.match(/\b[a-z][a-z0-9_]*\b(?!\s*\()/g) ?? [];
  const asked = names.filter((name) => !['sum', 'topk', 'by'].includes(name));
  assert.ok(asked.length > 0, expression);
  for (const name of asked) assert.ok(metrics.has(name), `${name} in ${expression}`);
}

test('alert rules', () => {
  const { groups } = parse(readFileSync('config/prometheus-rules.yaml', 'utf8')) as {
    groups: { rules: { alert: string; expr: string; for: string; annotations: object }[] }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length >= 3);
  for (const { alert, expr, for: time, annotations } of rules) {
    assert.match(alert, /^[A-Z][A-Za-z]+$/);
    assert.match(time, /^\d+m$/);
    assert.deepEqual(Object.keys(annotations), ['summary', 'description']);
    check(expr, known());
  }
  assert.throws(() => check('rate(flamekeeper_lost_total[5m])', known()));
  assert.throws(() => check('sum by (comm) (up)', known()));
});

test('dashboard', () => {
  const { panels } = JSON.parse(readFileSync('config/grafana-dashboard.json', 'utf8')) as {
    panels: { id: number; title: string; targets: { expr: string; legendFormat: string }[] }[];
  };
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { title, targets } of panels) {
    assert.ok(title.length > 0 && targets.length > 0);
    for (const { expr, legendFormat } of targets) {
      check(expr.replaceAll('$__rate_interval', '5m'), known());
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        assert.ok(known().labels.has(label!), label);
        assert.ok(expr.includes(`(${label}`) || expr.includes(` ${label}`) || !expr.includes('by ('));
      }
    }
  }
});
