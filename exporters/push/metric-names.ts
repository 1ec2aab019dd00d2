// What a stream is called outside: stream and key -> OpenTelemetry metric and attributes, by the
// rules of metric-table.ts. The names of Prometheus follow from those of OpenTelemetry. Pure.
//
//   host.cpu {cpu 0, mode irq} 1500 ms  ->  system.cpu.time {cpu.logical_number 0, cpu.mode interrupt} 1.5 s
//
// A stream that no rule knows keeps all it has: flamekeeper.STREAM, unit and fields from itself.

import type { MetricKey, MetricKind, StreamInfo } from '../../storage/model/stream.js';
import type { AttributeValues, MetricRule } from './metric-rule.js';
import { metricRules } from './metric-table.js';

/** Names of a stream that somebody else gave: a probe's descriptor. */
export interface GivenName {
  readonly stream: string;
  readonly name: string;
  readonly description: string;
}

export interface Metric {
  readonly name: string;
  /** As in MetricRule. */
  readonly prometheus?: string;
  readonly kind: MetricKind;
  readonly unit: string;
  readonly description: string;
  /** Stored values are multiplied by it, then divided. */
  readonly multiplier: number;
  readonly divisor: number;
}

/** One point that a key's value goes to. */
export interface Target {
  readonly metric: Metric;
  readonly attributes: AttributeValues;
}

const second = { unit: 's', multiplier: 1 };
const units: Readonly<Record<string, { unit: string; multiplier: number; divisor: number }>> = {
  nanoseconds: { ...second, divisor: 1e9 },
  microseconds: { ...second, divisor: 1e6 },
  milliseconds: { ...second, divisor: 1e3 },
  seconds: { ...second, divisor: 1 },
  bytes: { unit: 'By', multiplier: 1, divisor: 1 },
  megabits_per_second: { unit: 'By/s', multiplier: 125_000, divisor: 1 },
  millionths: { unit: '1', multiplier: 1, divisor: 1e6 },
};

/** Fields whose attribute does not depend on the stream. */
const fieldAttributes: Readonly<Record<string, string>> = {
  pid: 'process.pid',
  start: 'process.creation.time',
  comm: 'process.executable.name',
  exe: 'process.executable.path',
  user: 'process.owner',
  thread: 'thread.name',
  cgroup: 'process.linux.cgroup',
  device: 'system.device',
  cpu: 'cpu.logical_number',
};

/** What tells two processes of one program, or two of its threads, apart. */
const processField = /(?:^|_)(?:pid|start|thread)$/;
const containerId = /(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?=\/|$)/g;

export class MetricNames {
  readonly #rules: ReadonlyMap<string, readonly MetricRule[]>;
  readonly #withProcesses: boolean;

  /** Without `withProcesses` the processes of one program are one point. */
  constructor(given: readonly GivenName[], { withProcesses }: { readonly withProcesses: boolean }) {
    const rules = new Map<string, MetricRule[]>();
    for (const rule of [...metricRules, ...given]) {
      rules.set(rule.stream, [...(rules.get(rule.stream) ?? []), rule]);
    }
    this.#rules = rules;
    this.#withProcesses = withProcesses;
  }

  /** For one answer: remembers what it has worked out. */
  targetsOf(stream: StreamInfo, key: MetricKey): readonly Target[] {
    const fields = stream.fields ?? [];
    const values = new Map(fields.map(({ name }, i) => [name, key[i]!]));
    const container = containerOf(String(values.get('cgroup') ?? ''));
    const targets: Target[] = [];
    for (const rule of this.#rules.get(stream.name) ?? []) {
      if (rule.onlyContainers === true && container?.isWhole !== true) continue;
      if (!Object.entries(rule.when ?? {}).every(([f, v]) => v.includes(String(values.get(f))))) {
        continue;
      }
      targets.push(this.#target(stream, rule, values));
      if (rule.more !== true) return targets;
    }
    targets.push(this.#target(stream, defaultRule(stream), values));
    return targets;
  }

  #target(
    stream: StreamInfo,
    rule: MetricRule,
    values: ReadonlyMap<string, string | number>,
  ): Target {
    const attributes: Record<string, string | number | boolean> = { ...rule.constant };
    for (const [field, value] of values) {
      const given = rule.attributes?.[field];
      // Threads that a rule names are our own.
      if (given === undefined && !this.#withProcesses && processField.test(field)) continue;
      const name = given ?? attributeOf(field);
      if (name === '' || value === '' || value === -1) continue;
      attributes[name] = field === 'start' ? timeOf(value) : (rule.words?.[value] ?? value);
      const container = field === 'cgroup' ? containerOf(String(value)) : undefined;
      if (container !== undefined) attributes['container.id'] = container.id;
    }
    if (rule.onlyContainers === true) delete attributes['process.linux.cgroup'];
    return { metric: metricOf(stream, rule), attributes };
  }
}

export function metricOf(stream: StreamInfo, rule: MetricRule): Metric {
  const { type, unit } = stream.valueType;
  const own = unit === 'count' ? type : unit;
  const known = units[unit] ?? { unit: `{${own}}`, multiplier: 1, divisor: 1 };
  return {
    name: rule.name,
    ...(rule.prometheus === undefined ? {} : { prometheus: rule.prometheus }),
    kind: stream.kind as MetricKind,
    description: rule.description,
    ...known,
    unit: rule.unit ?? known.unit,
    multiplier: rule.isNegative === true ? -known.multiplier : known.multiplier,
  };
}

/** By the rules of OpenTelemetry's compatibility with Prometheus; `_total` comes by the type. */
export function prometheusName({ name, prometheus, unit, kind }: Metric): string {
  const words: Readonly<Record<string, string>> = {
    s: 'seconds',
    By: 'bytes',
    'By/s': 'bytes_per_second',
    '1': kind === 'gauge' ? 'ratio' : '',
  };
  const base = prometheus ?? name.replace(/[^A-Za-z0-9]+/g, '_');
  const suffix = words[unit] ?? '';
  return suffix === '' || base.endsWith(`_${suffix}`) ? base : `${base}_${suffix}`;
}

/** `culprit_pid` -> flamekeeper.culprit.pid. */
export function attributeOf(field: string): string {
  return fieldAttributes[field] ?? `flamekeeper.${field.replaceAll('_', '.')}`;
}

export function defaultRule({ name, valueType }: StreamInfo): MetricRule {
  const own = name.replace(/[^A-Za-z0-9.]+/g, '.');
  const description = `Stream ${name} of flamekeeper: ${valueType.type}, ${valueType.unit}.`;
  return { stream: name, name: `flamekeeper.${own}`, description };
}

/** Unix ms as ISO 8601. */
function timeOf(value: string | number): string {
  const date = new Date(Number(value));
  return Number.isNaN(date.getTime()) ? String(value) : date.toISOString();
}

/** The innermost container of a path, and whether the path ends with it. */
function containerOf(path: string): { readonly id: string; readonly isWhole: boolean } | undefined {
  const last = [...path.matchAll(containerId)].at(-1);
  if (last === undefined) return undefined;
  return { id: last[1]!, isWhole: last.index + last[0].length === path.length };
}
