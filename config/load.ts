// The configuration in force: for each option the first of flag, environment, file,
// default, and where it came from. Problems are values, one for each wrong place, so that a
// user sees all of them at once.

import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultDataDir } from './data-dir.js';
import { readOptionFile } from './option-file.js';
import type { FileOptions, FileProblem, Knobs } from './option-file.js';
import { listOptions, textOptions } from './schema.js';
import type { ListOptionPath, ListValues, OptionValues } from './schema.js';
import type { SamplingEvent, TextOptionPath } from './schema.js';

/** **Units**: as the names end. **Limits**: those of the schema; `probes` is as
 *  written, for who knows the probes. */
export interface Config {
  readonly dataDir: string;
  readonly sampling: {
    readonly frequencyHz: number;
    readonly cpus: 'all' | readonly number[];
    readonly events: readonly SamplingEvent[];
  };
  readonly flush: { readonly intervalMs: number };
  readonly store: { readonly maxAgeMs: number };
  readonly symbols: { readonly maxBytes: number };
  readonly unwind: {
    readonly maxBytes: number;
    readonly maxFileBytes: number;
    /** Of one CPU. */
    readonly cpuShare: number;
    readonly maxFiles: number;
  };
  readonly limits: {
    /** 0: sized from the number of CPUs, the frequency and the interval. */
    readonly stackMapEntries: number;
    readonly countMapEntries: number;
    readonly eventsPerFlush: number;
    readonly counterDescriptors: number;
  };
  readonly counters: {
    /** Events by perf's names; those of one group are scheduled and read together. */
    readonly groups: readonly (readonly string[])[];
    /** Paths of cgroups of version 2 that are counted apart. */
    readonly cgroups: readonly string[];
  };
  readonly context: {
    /** How long readings of each second are kept in memory; 0: not at all. */
    readonly secondsMs: number;
    readonly processes: number;
    readonly cgroups: number;
    /** 0 emerg ... 7 debug; -1: none. */
    readonly kernelLevel: number;
  };
  readonly export: {
    readonly otlp: {
      /** Empty: nothing is pushed, unless OTEL_EXPORTER_OTLP_* says where to. */
      readonly endpoint: string;
      readonly protocol: 'http/protobuf' | 'http/json' | 'grpc';
      readonly temporality: 'cumulative' | 'delta';
      readonly timeoutMs: number;
      readonly compression: 'none' | 'gzip';
      /** Files; '' where there is none. */
      readonly headersFile: string;
      readonly certificate: string;
      readonly clientCertificate: string;
      readonly clientKey: string;
      readonly catchUpPerSecond: number;
      readonly maxBacklogMs: number;
    };
    /** Of one metric. */
    readonly maxSeries: number;
    readonly withProcesses: boolean;
    /** Attributes of the resource. */
    readonly resource: readonly (readonly [string, string])[];
  };
  /** `listen` is empty: no HTTP server. */
  readonly http: {
    readonly listen: string;
    readonly tokenFile: string;
    readonly certificate: string;
    readonly key: string;
    readonly clientCa: string;
  };
  readonly socket: { readonly mode: number; readonly group: string };
  readonly log: { readonly level: 'error' | 'warn' | 'info' | 'debug' };
  readonly probes: Knobs;
}

/** One option in force. `value` as it would be written; `origin`: `default`, `file FILE:LINE`,
 *  `environment NAME`, `flag --NAME`. */
export interface OptionOrigin {
  readonly option: string;
  readonly value: string;
  readonly origin: string;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly origins: readonly OptionOrigin[];
}

/** `line` is 0 where there is none; `file` is '' for flags and the environment. */
export interface ConfigProblem extends FileProblem {
  readonly source: 'flag' | 'environment' | 'file';
}

export type ConfigResult =
  | { readonly ok: true; readonly loaded: LoadedConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Where options may come from. A `file` that is not there is a problem only when it is required;
 *  `flags` by their long name without dashes, others than the schema's are not looked at. */
export interface ConfigSources {
  readonly file?: string;
  readonly fileIsRequired?: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, unknown>>;
}

interface Given {
  readonly text: string;
  readonly origin: string;
  readonly source: ConfigProblem['source'] | 'default';
  readonly line: number;
}

/** Reads one file, bounded in size, and nothing else. Never throws. */
export function loadConfig(sources: ConfigSources): ConfigResult {
  const file = sources.file ?? '';
  const read = file === '' ? noFile : readOptionFile(file, sources.fileIsRequired === true);
  const problems: ConfigProblem[] = read.problems.map((problem) => ({
    ...problem,
    source: 'file',
  }));
  const origins: OptionOrigin[] = [];
  const values: Partial<Record<TextOptionPath, unknown>> = {};

  for (const path of Object.keys(textOptions) as TextOptionPath[]) {
    const given = findGiven(path, sources, read.texts, file);
    const parsed = v.safeParse(textOptions[path].schema, given.text);
    if (parsed.success) {
      values[path] = path === 'dataDir' ? dataDirOf(given, file) : parsed.output;
      origins.push({
        option: path,
        value: path === 'dataDir' ? String(values[path]) : given.text,
        origin: given.origin,
      });
    } else if (given.source !== 'default') {
      const name = given.source === 'file' ? path : given.origin;
      const { allowed } = textOptions[path];
      const message = `${name}: ${quote(given.text)} is not allowed; allowed: ${allowed}`;
      problems.push({
        file: given.source === 'file' ? file : '',
        line: given.line,
        message,
        source: given.source,
      });
    }
  }

  const lists: Partial<Record<ListOptionPath, unknown>> = {};
  for (const path of Object.keys(listOptions) as ListOptionPath[]) {
    const { schema, allowed, default: fallback } = listOptions[path];
    const written = read.lists.get(path);
    const parsed = v.safeParse(schema, written?.value ?? fallback);
    if (parsed.success) {
      lists[path] = parsed.output;
      const origin = written === undefined ? 'default' : `file ${file}:${written.line}`;
      origins.push({ option: path, value: JSON.stringify(parsed.output), origin });
    } else {
      const value = quote(JSON.stringify(written?.value));
      const message = `${path}: ${value} is not allowed; allowed: ${allowed}`;
      problems.push({ file, line: written?.line ?? 0, message, source: 'file' });
    }
  }
  for (const [probe, knobs] of Object.entries(read.probes)) {
    for (const [knob, { value, line }] of Object.entries(knobs)) {
      origins.push({
        option: `probes.${probe}.${knob}`,
        value: String(value),
        origin: `file ${file}:${line}`,
      });
    }
  }

  if (problems.length > 0) {
    return { ok: false, problems: problems.sort((a, b) => a.line - b.line) };
  }
  return {
    ok: true,
    loaded: { config: configOf(values as OptionValues, lists as ListValues, read.probes), origins },
  };
}

const noFile: FileOptions = { texts: new Map(), lists: new Map(), probes: {}, problems: [] };

function findGiven(
  path: TextOptionPath,
  sources: ConfigSources,
  texts: FileOptions['texts'],
  file: string,
): Given {
  const option: { readonly default: string; readonly environment: string; readonly flag?: string } =
    textOptions[path];
  const flagged = option.flag === undefined ? undefined : sources.flags[option.flag];
  if (flagged !== undefined) {
    return { text: String(flagged), origin: `flag --${option.flag}`, source: 'flag', line: 0 };
  }
  const fromEnvironment = sources.env[option.environment];
  if (fromEnvironment !== undefined && fromEnvironment !== '') {
    return {
      text: fromEnvironment,
      origin: `environment ${option.environment}`,
      source: 'environment',
      line: 0,
    };
  }
  const written = texts.get(path);
  if (written !== undefined) {
    return {
      text: written.text,
      origin: `file ${file}:${written.line}`,
      source: 'file',
      line: written.line,
    };
  }
  return { text: option.default, origin: 'default', source: 'default', line: 0 };
}

/** A relative path starts where it was written: at the file's folder,
 *  or at the working directory. */
function dataDirOf(given: Given, file: string): string {
  if (given.text === '') return defaultDataDir();
  return given.source === 'file'
    ? resolve(dirname(resolve(file)), given.text)
    : resolve(given.text);
}

function configOf(values: OptionValues, lists: ListValues, probes: Knobs): Config {
  return {
    dataDir: values.dataDir,
    sampling: {
      frequencyHz: values['sampling.frequencyHz'],
      cpus: values['sampling.cpus'],
      events: lists['sampling.events'],
    },
    flush: { intervalMs: values['flush.interval'] },
    store: { maxAgeMs: values['store.maxAge'] },
    symbols: { maxBytes: values['symbols.maxSize'] },
    unwind: {
      maxBytes: values['unwind.maxSize'],
      maxFileBytes: values['unwind.maxFileSize'],
      cpuShare: values['unwind.cpuPercent'] / 100,
      maxFiles: values['unwind.maxFiles'],
    },
    limits: {
      stackMapEntries: values['limits.stackMapEntries'],
      countMapEntries: values['limits.countMapEntries'],
      eventsPerFlush: values['limits.eventsPerFlush'],
      counterDescriptors: values['limits.counterDescriptors'],
    },
    counters: { groups: lists['counters.events'], cgroups: lists['counters.cgroups'] },
    context: {
      secondsMs: values['context.seconds'],
      processes: values['context.processes'],
      cgroups: values['context.cgroups'],
      kernelLevel: values['context.kernelLevel'],
    },
    export: {
      otlp: {
        endpoint: values['export.otlp.endpoint'],
        protocol: values['export.otlp.protocol'],
        temporality: values['export.otlp.temporality'],
        timeoutMs: values['export.otlp.timeout'],
        compression: values['export.otlp.compression'],
        headersFile: values['export.otlp.headersFile'],
        certificate: values['export.otlp.certificate'],
        clientCertificate: values['export.otlp.clientCertificate'],
        clientKey: values['export.otlp.clientKey'],
        catchUpPerSecond: values['export.otlp.catchUp'],
        maxBacklogMs: values['export.otlp.maxBacklog'],
      },
      maxSeries: values['export.maxSeries'],
      withProcesses: values['export.processes'],
      resource: lists['export.resource'],
    },
    http: {
      listen: values['http.listen'],
      tokenFile: values['http.tokenFile'],
      certificate: values['http.certificate'],
      key: values['http.key'],
      clientCa: values['http.clientCa'],
    },
    socket: { mode: values['socket.mode'], group: values['socket.group'] },
    log: { level: values['log.level'] },
    probes,
  };
}

/** Control characters made visible, long values cut. */
function quote(text: string | undefined): string {
  const quoted = JSON.stringify(text ?? '').replace(/[\x7f-\x9f]/g, escapeUnit);
  return quoted.length > 120 ? `${quoted.slice(0, 117)}..."` : quoted;
}

/** JSON leaves DEL and the C1 control characters as they are; a terminal obeys some. */
function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
