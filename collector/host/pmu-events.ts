// An event as a user writes it -> what perf_event_open takes: perf's own names, raw events (rNNNN),
// and events of the units that the machine describes in sysfs (cpu/event=0x3c,umask=1/, msr/tsc/),
// each with :u or :k for user space or the kernel alone. Hybrid CPUs have a unit for each kind of
// core, and a hardware event must say which.

import { readdirSync } from 'node:fs';
import { perfType } from '../../ffi/perf-event.js';
import type { PerfFlag } from '../../ffi/perf-event.js';
import { countOf } from '../pipeline/host-text.js';
import { encodePmuTerms, parsePmuFormat, parsePmuTerms } from '../pipeline/pmu-text.js';
import type { PmuTerm } from '../pipeline/pmu-text.js';
import { parseCpuList } from './cpus.js';
import { readOnce } from './kept-file.js';
import { findNamedEvent } from './perf-events.js';

export interface CounterEvent {
  /** As it was written. */
  readonly name: string;
  readonly type: number;
  readonly config: bigint;
  readonly config1: bigint;
  readonly config2: bigint;
  /** nanoseconds, count, or what sysfs calls it, with the factor that makes that of a count. */
  readonly unit: string;
  readonly scale: number;
  readonly flags: readonly PerfFlag[];
  /** CPUs on which the unit counts for others too; undefined: each counts for itself. */
  readonly cpus: readonly number[] | undefined;
}

const DEVICES = '/sys/bus/event_source/devices';
const MAX_TERM_FILES = 256;
const HYBRID_TYPE_SHIFT = 32n;

/** Reads sysfs below `devices`. What cannot be is a sentence with the reason. */
export function resolveEvent(written: string, devices = DEVICES): CounterEvent | string {
  const match = /^([^:/]+|[^/]+\/[^/]*\/)(?::?([uk]{1,2}))?$/.exec(written);
  if (match === null) return 'no event is written like this';
  const [, name = '', modifiers = ''] = match;
  const flags = modifierFlags(modifiers);
  const plain = { name: written, config1: 0n, config2: 0n, scale: 1, flags, cpus: undefined };
  const raw = /^r([\da-fA-F]{1,16})$/.exec(name);
  if (raw !== null) {
    return { ...plain, type: perfType.raw, config: BigInt(`0x${raw[1]}`), unit: 'count' };
  }
  const known = findNamedEvent(name);
  if (known !== undefined) return { ...plain, ...known, name: written, config: BigInt(known.config) };
  const unit = /^([A-Za-z0-9_][\w.-]{0,63})\/(.*)\/$/.exec(name);
  if (unit === null) return 'perf has no event of this name';
  return resolvePmuEvent(plain, `${devices}/${unit[1]}`, unit[2]!);
}

function resolvePmuEvent(
  plain: Omit<CounterEvent, 'type' | 'config' | 'unit'>,
  folder: string,
  text: string,
): CounterEvent | string {
  const type = countOf(readAttribute(`${folder}/type`));
  if (type === undefined) return 'this machine has no such unit';
  const given = parsePmuTerms(text);
  if (given === undefined) return 'its terms are not written as name=number, separated by commas';
  const terms: PmuTerm[] = [];
  let [unit, scale] = ['count', 1];
  for (const term of given) {
    const alias = readAttribute(`${folder}/events/${term.name}`);
    if (alias === undefined) {
      terms.push(term);
      continue;
    }
    const expanded = parsePmuTerms(alias);
    if (expanded === undefined) return `what sysfs says of ${term.name} is not understood`;
    terms.push(...expanded);
    unit = readAttribute(`${folder}/events/${term.name}.unit`) ?? 'count';
    scale = Number(readAttribute(`${folder}/events/${term.name}.scale`) ?? 1);
    if (!Number.isFinite(scale) || scale <= 0) return `the scale of ${term.name} is no number`;
  }
  let files = 0;
  const config = encodePmuTerms(terms, (name) =>
    files++ < MAX_TERM_FILES
      ? parsePmuFormat(readAttribute(`${folder}/format/${name}`) ?? '')
      : undefined,
  );
  if (typeof config === 'string') return config;
  const mask = readAttribute(`${folder}/cpumask`) ?? readAttribute(`${folder}/cpus`);
  const cpus = mask === undefined ? undefined : parseCpuList(mask);
  return { ...plain, type, ...config, unit, scale, cpus };
}

/** On a hybrid machine: CPU -> the type of its core's unit, which a hardware or cache event carries
 *  in the upper half of its config. Empty elsewhere. */
export function hybridTypes(devices = DEVICES): ReadonlyMap<number, bigint> {
  const types = new Map<number, bigint>();
  for (const name of namesIn(devices)) {
    if (!/^cpu_\w+$/.test(name)) continue;
    const type = countOf(readAttribute(`${devices}/${name}/type`));
    const cpus = parseCpuList(readAttribute(`${devices}/${name}/cpus`) ?? '');
    if (type === undefined || cpus === undefined) continue;
    for (const cpu of cpus) types.set(cpu, BigInt(type) << HYBRID_TYPE_SHIFT);
  }
  return types;
}

function modifierFlags(modifiers: string): readonly PerfFlag[] {
  if (modifiers === '' || (modifiers.includes('u') && modifiers.includes('k'))) return [];
  if (modifiers.includes('u')) return ['excludeKernel', 'excludeHypervisor'];
  return ['excludeUser', 'excludeHypervisor'];
}

function readAttribute(path: string): string | undefined {
  return readOnce(path)?.trim();
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
