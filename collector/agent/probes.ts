// The probes: found by listing a folder, configured from their descriptors and
// flamekeeper.yaml, loaded and attached.

import { readdirSync } from 'node:fs';
import type { Knob, ProbeDescriptor } from '../../bpf/descriptor.js';
import { loadProbe } from '../../bpf/life.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { RodataValue } from '../../bpf/rodata.js';
import type { Config } from '../../config/load.js';
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

/** **Errors**: `bad-config` for probes.* options that no descriptor has; what loadProbe throws. */
export function loadProbes(
  files: readonly ProbeFile[],
  config: Config,
  facts: HostFacts,
  options: { readonly verbosity: number; readonly log: Log },
): { readonly file: ProbeFile; readonly probe: LoadedProbe }[] {
  refuseUnknownProbes(files, config);
  const loaded: { file: ProbeFile; probe: LoadedProbe }[] = [];
  try {
    for (const file of files) {
      const { descriptor, objectPath } = file;
      const rodata = { ...hostConstants(descriptor, facts), ...knobValues(descriptor, config) };
      loaded.push({
        file,
        probe: loadProbe({
          objectPath,
          descriptor,
          rodata,
          maxEntries: mapSizes(descriptor, facts),
          ...options,
        }),
      });
    }
    return loaded;
  } catch (error) {
    for (const { probe } of loaded) probe.close();
    throw error;
  }
}

function hostConstants(descriptor: ProbeDescriptor, facts: HostFacts): Record<string, RodataValue> {
  const known = { fk_period_ns: facts.periodNs, fk_cgroup_hierarchies: facts.cgroupHierarchies };
  return Object.fromEntries(descriptor.constants.map((name) => [name, known[name]]));
}

function mapSizes(descriptor: ProbeDescriptor, facts: HostFacts): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const output of descriptor.outputs) {
    if (output.kind === 'unwind') sizes[output.files] = facts.unwindFiles;
    if (output.kind !== 'stack') continue;
    sizes[output.counts] = facts.countMapEntries;
    sizes[output.stacks] = facts.stackMapEntries;
    sizes[output.clocks] = facts.possibleCpus;
  }
  return sizes;
}

function knobValues(descriptor: ProbeDescriptor, config: Config): Record<string, RodataValue> {
  const given = config.probes[descriptor.name] ?? {};
  const values: Record<string, RodataValue> = {};
  for (const [name, knob] of Object.entries(descriptor.knobs)) {
    const option = given[name];
    if (option !== undefined) checkKnob(`probes.${descriptor.name}.${name}`, knob, option);
    if (knob.rodata !== undefined) values[knob.rodata] = Number(option?.value ?? knob.default);
  }
  return values;
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
