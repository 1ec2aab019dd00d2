// The probes: found by listing a folder, configured from their descriptors and
// flamekeeper.yaml, loaded and attached.

import { readdirSync } from 'node:fs';
import type { Knob, ProbeDescriptor } from '../../bpf/descriptor.js';
import { loadProbe } from '../../bpf/life.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { RodataValue } from '../../bpf/rodata.js';
import type { Config } from '../../config/load.js';
import type { GivenName } from '../../exporters/push/metric-names.js';
import { OperatingError } from '../../storage/model/errors.js';
import type { Log } from './log.js';

const FOLDER = new URL('../../bpf/probes/', import.meta.url);

export interface ProbeFile {
  readonly descriptor: ProbeDescriptor;
  readonly objectPath: string;
}

/** What the collector knows of the host and the load, for the probes' constants and map sizes. */
export interface HostFacts {
  readonly periodNs: bigint;
  readonly cgroupHierarchies: readonly number[];
  readonly possibleCpus: number;
  readonly countMapEntries: number;
  readonly stackMapEntries: number;
  readonly unwindFiles: number;
}

/** Every NAME.js of the folder with its NAME.bpf.o. */
export async function findProbes(folder: URL = FOLDER): Promise<ProbeFile[]> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.js'));
  return Promise.all(
    names.sort().map(async (name) => {
      const { descriptor } = (await import(new URL(name, folder).href)) as {
        descriptor: ProbeDescriptor;
      };
      return { descriptor, objectPath: new URL(name.replace(/\.js$/, '.bpf.o'), folder).pathname };
    }),
  );
}

/** How the probes call their histograms and counters outside. */
export function givenNames(files: readonly ProbeFile[]): GivenName[] {
  return files.flatMap(({ descriptor: { outputs, summary } }) =>
    outputs.flatMap((output) =>
      output.kind === 'histogram' || output.kind === 'counter'
        ? [{ stream: output.stream, name: output.otel, description: summary }]
        : [],
    ),
  );
}

/** A probe that runs, and the values of its knobs. */
export interface RunningProbe {
  readonly file: ProbeFile;
  readonly probe: LoadedProbe;
  readonly settings: KnobSettings;
}

/** Values of a probe's knobs by name. */
export type KnobSettings = Readonly<Record<string, number | boolean>>;

export interface LoadOptions {
  readonly verbosity: number;
  readonly log: Log;
  /** Told of an optional probe that cannot be, and why; without it that is an error too. */
  readonly note?: (text: string) => void;
}

/** **Errors**: `bad-config` for probes.* options that no descriptor has; what loadProbe throws. */
export function loadProbes(
  files: readonly ProbeFile[],
  config: Config,
  facts: HostFacts,
  options: LoadOptions,
): RunningProbe[] {
  refuseUnknownProbes(files, config);
  const running: RunningProbe[] = [];
  try {
    for (const file of files) {
      const settings = knobSettings(file.descriptor, config);
      if (settings['enabled'] === false) continue;
      const probe = loadOne(file, facts, settings, options);
      if (probe !== undefined) running.push({ file, probe, settings });
    }
    return running;
  } catch (error) {
    for (const { probe } of running) probe.close();
    throw error;
  }
}

/** Undefined for an optional probe that this kernel refuses. */
function loadOne(
  { descriptor, objectPath }: ProbeFile,
  facts: HostFacts,
  settings: KnobSettings,
  { verbosity, log, note }: LoadOptions,
): LoadedProbe | undefined {
  const rodata = { ...hostConstants(descriptor, facts), ...knobConstants(descriptor, settings) };
  const maxEntries = mapSizes(descriptor, facts, settings);
  try {
    return loadProbe({ objectPath, descriptor, rodata, maxEntries, verbosity, log });
  } catch (error) {
    const isRefused = error instanceof OperatingError && refusals.includes(error.code);
    if (descriptor.isOptional !== true || !isRefused || note === undefined) throw error;
    note(error.message);
    return undefined;
  }
}

const refusals: readonly string[] = ['kernel-unsupported', 'bpf-failed'];

function hostConstants(descriptor: ProbeDescriptor, facts: HostFacts): Record<string, RodataValue> {
  const known = { fk_period_ns: facts.periodNs, fk_cgroup_hierarchies: facts.cgroupHierarchies };
  return Object.fromEntries(descriptor.constants.map((name) => [name, known[name]]));
}

function mapSizes(
  { knobs, outputs }: ProbeDescriptor,
  facts: HostFacts,
  settings: KnobSettings,
): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const output of outputs) {
    if (output.kind === 'unwind') sizes[output.files] = facts.unwindFiles;
    if (output.kind !== 'stack') continue;
    sizes[output.counts] = facts.countMapEntries;
    sizes[output.stacks] = facts.stackMapEntries;
    sizes[output.clocks] = facts.possibleCpus;
  }
  for (const [name, { sizes: map }] of Object.entries(knobs)) {
    if (map !== undefined) sizes[map] = Number(settings[name]);
  }
  return sizes;
}

function knobSettings({ name: probe, knobs }: ProbeDescriptor, config: Config): KnobSettings {
  const given = config.probes[probe] ?? {};
  const settings: Record<string, number | boolean> = {};
  for (const [name, knob] of Object.entries(knobs)) {
    const option = given[name];
    if (option !== undefined) checkKnob(`probes.${probe}.${name}`, knob, option);
    settings[name] = (option?.value as number | boolean | undefined) ?? knob.default;
  }
  return settings;
}

function knobConstants(
  { knobs }: ProbeDescriptor,
  settings: KnobSettings,
): Record<string, RodataValue> {
  const constants: Record<string, RodataValue> = {};
  for (const [name, { rodata }] of Object.entries(knobs)) {
    if (rodata !== undefined) constants[rodata] = Number(settings[name]);
  }
  return constants;
}

function checkKnob(
  option: string,
  knob: Knob,
  given: { readonly value: unknown; readonly line: number },
): void {
  const { value, line } = given;
  const at = `line ${line}: ${option}: ${JSON.stringify(value)}`;
  if (typeof knob.default === 'boolean') {
    if (typeof value !== 'boolean') {
      throw new OperatingError('bad-config', `${at} is not true or false`);
    }
    return;
  }
  const { min = 0, max = 2 ** 32 - 1 } = knob;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new OperatingError('bad-config', `${at} is no whole number from ${min} to ${max}`);
  }
}

function refuseUnknownProbes(files: readonly ProbeFile[], config: Config): void {
  const knobsOf = new Map(
    files.map(({ descriptor }) => [descriptor.name, Object.keys(descriptor.knobs)]),
  );
  for (const [probe, options] of Object.entries(config.probes)) {
    const knobs = knobsOf.get(probe);
    const first = Object.values(options)[0]?.line ?? 0;
    if (knobs === undefined) {
      throw new OperatingError(
        'bad-config',
        `line ${first}: there is no probe ${probe}; there are ${[...knobsOf.keys()].join(', ')}`,
      );
    }
    for (const [name, { line }] of Object.entries(options)) {
      if (knobs.includes(name)) continue;
      const allowed =
        knobs.length === 0 ? 'it has no options' : `its options are ${knobs.join(', ')}`;
      throw new OperatingError(
        'bad-config',
        `line ${line}: the probe ${probe} has no option ${name}; ${allowed}`,
      );
    }
  }
}
