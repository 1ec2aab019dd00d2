// A probe whose outputs are histograms and counters by key: drained generation by generation,
// labelled, and checked against the kernel's own counts. (front)

import type { MetricOutput, Output, SelfCheck } from '../../bpf/descriptor.js';
import { KeyedMaps, type DrainedKeys } from '../../bpf/keyed-maps.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { MapFill } from '../../bpf/map.js';
import type { Btf, BtfStruct } from '../../elf/btf.js';
import type { Counters } from '../../storage/model/completeness.js';
import { assert } from '../../storage/model/errors.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import { objectBtf } from '../agent/object-btf.js';
import type { RunningProbe } from '../agent/probes.js';
import type { HistogramColumns, PointColumns } from '../messages.js';
import { counterColumns, histogramColumns, KeyLabels } from '../pipeline/metric-columns.js';
import type { KeyNaming } from '../pipeline/metric-columns.js';
import type { MetricSource, TakenStream } from './metric-sources.js';
import { SelfChecks } from './self-checks.js';

/** Undefined for a probe without such outputs. */
export function openProbeMetrics(running: RunningProbe): ProbeMetrics | undefined {
  const { file, probe, settings } = running;
  const { outputs, checks = [] } = file.descriptor;
  const metrics = outputs.filter(isMetricOutput);
  if (metrics.length === 0) return undefined;
  return new ProbeMetrics(probe, metrics, { btf: objectBtf(file.objectPath), checks, settings });
}

function isMetricOutput(output: Output): output is MetricOutput {
  return output.kind === 'histogram' || output.kind === 'counter';
}

interface Stream {
  readonly output: MetricOutput;
  readonly info: StreamInfo;
  readonly labels: KeyLabels;
  /** Names of the header's counters, in the order of the struct's members. */
  readonly statNames: readonly string[];
}

export class ProbeMetrics implements MetricSource {
  readonly #probe: LoadedProbe;
  readonly #maps: KeyedMaps;
  readonly #streams: readonly Stream[];
  readonly #checks: SelfChecks;
  #retired = 0;
  #recursionMisses = 0;

  /** `btf` is that of the probe's object; `settings` are the values of its knobs. */
  constructor(
    probe: LoadedProbe,
    outputs: readonly MetricOutput[],
    options: {
      readonly btf: Btf;
      readonly checks: readonly SelfCheck[];
      readonly settings: Readonly<Record<string, number | boolean>>;
    },
  ) {
    this.#probe = probe;
    this.#maps = new KeyedMaps(probe, outputs);
    this.#checks = new SelfChecks(options.checks);
    this.#streams = outputs.map((output) => {
      const { stream: name, kind, valueType } = output;
      const key = structOf(options.btf, output.map, 'key');
      const stats =
        output.stats === undefined ? [] : structOf(options.btf, output.stats, 'value').members;
      const labels = new KeyLabels(output, key, options.settings);
      const info = { name, kind, valueType, fields: labels.fields };
      return { output, info, labels, statNames: stats.map((member) => member.name) };
    });
  }

  flip(): void {
    this.#retired = this.#maps.flip().retired;
    this.#checks.read();
  }

  *take({ naming }: { readonly naming: KeyNaming }): Generator<TakenStream | undefined> {
    const drained = this.#maps.drain(this.#retired);
    yield undefined;
    for (const [i, stream] of this.#streams.entries()) {
      const { info, stats, columns } = yield* takeStream(stream, drained[i]!, naming);
      const own = headerCounters(stats);
      const checked = i === 0 ? { stats, ...checkedRows(info, columns) } : undefined;
      const beside = checked && { ...this.#takeMisses(), ...this.#checks.compare(checked) };
      yield { info, counters: { ...own, ...beside }, columns };
    }
  }

  /** An interrupt's event inside the program that takes such events is not seen. */
  #takeMisses(): Counters {
    const runs = this.#probe.programRuns();
    const total = runs.reduce((sum, { recursionMisses }) => sum + recursionMisses, 0);
    const fresh = total - this.#recursionMisses;
    this.#recursionMisses = total;
    return fresh > 0 ? { missed_runs: fresh } : {};
  }

  takeFills(): readonly MapFill[] {
    return this.#maps.fills;
  }

  close(): void {
    // All it holds is the probe's.
  }
}

function* takeStream(
  { output, info, labels, statNames }: Stream,
  drained: DrainedKeys,
  naming: KeyNaming,
) {
  const stats = Object.fromEntries(statNames.map((name, i) => [name, drained.stats[i]!]));
  const read = output.kind === 'histogram' ? histogramColumns : counterColumns;
  return { info, stats, columns: yield* read(drained, labels, naming) };
}

/** The key's or the value's struct of a map, or of the maps of an array of maps. */
function structOf(btf: Btf, name: string, part: 'key' | 'value'): BtfStruct {
  const map = btf.maps().find((each) => each.name === name);
  const type = (map?.inner ?? map)?.[part];
  assert(type?.kind === 'struct', `map ${name} has a struct as its ${part}`);
  return type.struct;
}

/** Losses that did not happen are not told. */
function headerCounters(stats: Readonly<Record<string, number>>): Counters {
  return Object.fromEntries(
    Object.entries(stats)
      .filter(([name, value]) => value !== 0 || !name.startsWith('lost_'))
      .map(([name, value]) => [name.replace(/^lost_/, 'lost.'), value]),
  );
}

function checkedRows({ fields = [] }: StreamInfo, columns: HistogramColumns | PointColumns) {
  const { keys } = columns;
  const isHistogram = columns.kind === 'histogram';
  return {
    fields: fields.map(({ name }) => name),
    keys,
    counts: isHistogram ? columns.totals : columns.values,
    sumsNs: isHistogram ? columns.sumsNs : columns.values,
  };
}
