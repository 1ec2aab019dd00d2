// docs/metrics.md: the table of names, for people.

import type { StreamInfo } from '../../storage/model/stream.js';
import { isMetric } from '../../storage/model/stream.js';
import type { GivenName } from './metric-names.js';
import { attributeOf, metricOf, prometheusName } from './metric-names.js';
import type { MetricRule } from './metric-rule.js';
import { metricRules } from './metric-table.js';

const head = `# Metrics as they go out

How histograms, counters and gauges are called in OpenTelemetry (OTLP) and at /metrics for Prometheus.
Names, units and attributes are those of OpenTelemetry's semantic conventions where they exist, and
\`flamekeeper.*\` elsewhere. In Prometheus's labels dots become underscores.

- Histograms are OpenTelemetry's exponential ones of scale 3, in seconds, as they were counted in the
  kernel. Prometheus gets classic ones with bounds at powers of two of a second, 2^-20 to 2^6.
- Counters hold what was counted in the UTC day up to the point, and begin anew at midnight; a
  pushed point says when its counting began. With delta temporality each point holds its own 10 s.
- A metric has at most \`export.maxSeries\` series; the rest is summed in one with the attribute
  \`otel.metric.overflow\`.
- \`process.pid\`, \`process.creation.time\` and \`thread.name\` are told only with \`export.processes\`;
  else the processes of one program are one series (flamekeeper's own threads are always told). Where a control group belongs to a container,
  \`container.id\` stands beside \`process.linux.cgroup\`.
- A stream that is not in the table is called \`flamekeeper.\` and its name.

| stream | keys | OpenTelemetry | unit | attributes | Prometheus |
|---|---|---|---|---|---|
`;

/** One row a rule, in the order of the streams. */
export function metricsPage(
  streams: readonly StreamInfo[],
  given: readonly GivenName[],
): string {
  const rows = streams.flatMap((stream) => {
    if (!isMetric(stream.kind)) return [];
    const own = [...metricRules, ...given].filter((rule) => rule.stream === stream.name);
    return own.map((rule) => row(stream, rule));
  });
  return `${head}${rows.join('\n')}\n`;
}

function row(stream: StreamInfo, rule: MetricRule): string {
  const metric = metricOf(stream, rule);
  const when = Object.entries(rule.when ?? {}).map(([field, v]) => `${field}: ${v.join(', ')}`);
  const keys = [...when, ...(rule.onlyContainers === true ? ['containers'] : [])].join('; ');
  const attributes = (stream.fields ?? [])
    .map(({ name }) => rule.attributes?.[name] ?? attributeOf(name))
    .concat(Object.entries(rule.constant ?? {}).map(([name, value]) => `${name}=${value}`))
    .filter((name) => name !== '');
  const total = stream.kind === 'counter' ? '_total' : '';
  const sign = rule.isNegative === true ? ' (subtracted)' : '';
  const cells = [
    stream.name,
    keys,
    metric.name + sign,
    metric.unit,
    attributes.join(', '),
    prometheusName(metric) + total,
  ];
  return `| ${cells.join(' | ')} |`;
}
