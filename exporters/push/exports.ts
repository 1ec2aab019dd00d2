// What goes out through the OpenTelemetry SDK: the push over OTLP and the answer to Prometheus. Loaded
// only when one of them is on, since the SDK takes 25 MB. (back)

import type { IncomingMessage, ServerResponse } from 'node:http';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { metrics, resources } from '@opentelemetry/sdk-node';
import type { DirectoryState } from '../../storage/lock.js';
import type { GiveWay, ReadMetrics } from './day-totals.js';
import { bucketNs, DayTotals, windowOf } from './day-totals.js';
import { otlpMetric, prometheusMetrics } from './metric-data.js';
import type { Temporality } from './metric-data.js';
import { MetricNames } from './metric-names.js';
import type { GivenName } from './metric-names.js';
import type { Protocol } from './otlp-client.js';
import { OtlpClient } from './otlp-client.js';
import { PointTable } from './point-table.js';
import type { PointTableOptions } from './point-table.js';
import { PushLoop } from './push-loop.js';

export interface ExportOptions {
  readonly read: ReadMetrics;
  readonly giveWay: GiveWay;
  /** So long an export took. */
  readonly took: (phase: 'read' | 'send' | 'scrape', durationMs: number) => void;
  readonly state: DirectoryState;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (text: string) => void;
  readonly version: string;
  /** Names by the probes' descriptors. */
  readonly names: readonly GivenName[];
  readonly withProcesses: boolean;
  readonly maxPoints: number;
  readonly resource: Readonly<Record<string, string>>;
  readonly otlp: OtlpOptions | undefined;
  readonly prometheus: boolean;
}

export interface OtlpOptions {
  readonly protocol: Protocol;
  readonly endpoint: string;
  readonly temporality: Temporality;
  readonly catchUpPerSecond: number;
  readonly maxBacklogMs: number;
}

/** A reader that is asked for a collection, and never asks itself. */
class AskedReader extends metrics.MetricReader {
  protected async onForceFlush(): Promise<void> {}
  protected async onShutdown(): Promise<void> {}
}

export class Exports {
  readonly #options: ExportOptions;
  readonly #tables: PointTableOptions;
  readonly #push: PushLoop | undefined;
  readonly #prometheus: PrometheusExporter | undefined;
  readonly #prometheusTotals: DayTotals;
  #head = -1;
  #scrapes = 0;
  #overflowedValues = 0;
  /** Scrapes one after the other: they share the totals. */
  #scraping: Promise<unknown> = Promise.resolve();

  private constructor(options: ExportOptions, resource: resources.Resource) {
    this.#options = options;
    const names = new MetricNames(options.names, options);
    const overflowed = () => void this.#overflowedValues++;
    this.#tables = { names, maxPoints: options.maxPoints, overflowed };
    this.#prometheusTotals = new DayTotals(options.read, this.#tables, options.giveWay);
    this.#push = options.otlp === undefined ? undefined : this.#openPush(options.otlp, resource);
    if (options.prometheus) {
      this.#prometheus = new PrometheusExporter({
        preventServerStart: true,
        withoutScopeInfo: true,
        withoutTargetInfo: true,
        metricProducers: [{ collect: () => this.#scrape() }],
      });
      bind(this.#prometheus, resource);
    }
  }

  /** Resolves once the attributes of the host are known. */
  static async start(options: ExportOptions): Promise<Exports> {
    const { envDetector, hostDetector, osDetector } = resources;
    const detectors = [envDetector, hostDetector, osDetector];
    const given = {
      'service.name': 'flamekeeper',
      'service.version': options.version,
      ...options.resource,
    };
    // The environment's attributes go before the configuration's, as everywhere.
    const resource = resources
      .resourceFromAttributes(given)
      .merge(resources.detectResources({ detectors }));
    await resource.waitForAsyncAttributes?.();
    return new Exports(options, resource);
  }

  /** All buckets up to this one are complete. */
  complete(bucket: number): void {
    if (bucket > this.#head) this.#head = bucket;
    this.#push?.complete(bucket);
  }

  /** Answers GET /metrics. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#prometheus?.getMetricsRequestHandler(request, response);
  }

  /** For `status`. */
  get figures(): Readonly<Record<string, number | string>> {
    const push = Object.entries(this.#push?.figures ?? {}).map(([k, v]) => [`push.${k}`, v]);
    const scrapes = this.#prometheus === undefined ? {} : { 'prometheus.scrapes': this.#scrapes };
    const overflowed = { 'export.overflowedValues': this.#overflowedValues };
    return { ...overflowed, ...Object.fromEntries(push), ...scrapes };
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#push?.stop(deadlineMs);
  }

  #openPush(otlp: OtlpOptions, resource: resources.Resource): PushLoop {
    const { env, giveWay, log, state, took } = this.#options;
    let collected: metrics.MetricData[] = [];
    const collect = async () => collectionOf(collected, this.#options.version);
    const reader = new AskedReader({ metricProducers: [{ collect }] });
    bind(reader, resource);
    const pointsAt = this.#pointsOf(otlp.temporality);
    return new PushLoop({
      client: new OtlpClient({ ...otlp, env, log }),
      state,
      took,
      catchUpPerSecond: otlp.catchUpPerSecond,
      maxBacklogBuckets: Math.floor(otlp.maxBacklogMs / 10_000),
      log,
      collect: async (bucket) => {
        const { fromUnixNs: startUnixNs, toUnixNs: endUnixNs } = windowOf(bucket, 1);
        const table = await pointsAt(bucket);
        if (table === undefined) return undefined;
        const times = { temporality: otlp.temporality, startUnixNs, endUnixNs };
        collected = [];
        for (const counted of table.metrics) {
          collected.push(otlpMetric(counted, times));
          await giveWay();
        }
        return (await reader.collect()).resourceMetrics;
      },
    });
  }

  /** The points of a bucket; undefined when the store holds none of it. */
  #pointsOf(temporality: Temporality): (bucket: number) => Promise<PointTable | undefined> {
    const { giveWay, read } = this.#options;
    const totals = new DayTotals(read, this.#tables, giveWay);
    const table = new PointTable(this.#tables);
    return async (bucket) => {
      const answers = await read(windowOf(bucket, 1), bucketNs);
      if (answers.length === 0) return undefined;
      if (temporality === 'cumulative') return totals.upTo(bucket, answers);
      table.clear();
      for (const answer of answers) {
        table.add(answer, 0);
        await giveWay();
      }
      return table;
    };
  }

  async #scrape(): Promise<metrics.CollectionResult> {
    this.#scrapes++;
    const startedMs = performance.now();
    const scrape = this.#scraping.then(async () => {
      if (this.#head < 0) return [];
      const table = await this.#prometheusTotals.upTo(this.#head);
      return prometheusMetrics(table.metrics, windowOf(this.#head, 1).toUnixNs);
    });
    this.#scraping = scrape.catch(() => undefined);
    const data = await scrape;
    this.#options.took('scrape', performance.now() - startedMs);
    return collectionOf(data, this.#options.version);
  }
}

function bind(reader: metrics.IMetricReader, resource: resources.Resource): void {
  // The provider lives as long as its reader.
  new metrics.MeterProvider({ resource, readers: [reader] });
}

function collectionOf(data: metrics.MetricData[], version: string): metrics.CollectionResult {
  const scopeMetrics = [{ scope: { name: 'flamekeeper', version }, metrics: data }];
  return { resourceMetrics: { resource: resources.emptyResource(), scopeMetrics }, errors: [] };
}
