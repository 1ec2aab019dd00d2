// Every option: its schema, its default as it would be written, and what is allowed in words. An
// option is read from text, so that flag, environment, file and default go the same way; lists have
// no text: only the file can give them.

import * as v from 'valibot';
import { parseCpuList, parseDurationMs, parseFileMode, parseSizeBytes } from './units.js';

/** The sampling program knows 8 sample types; one of them is the clock. */
const maxEvents = 7;

function integerFrom(min: number, max: number) {
  return {
    allowed: `an integer from ${min} to ${max}`,
    schema: v.pipe(
      v.string(),
      v.regex(/^\d{1,10}$/),
      v.transform(Number),
      v.minValue(min),
      v.maxValue(max),
    ),
  };
}

function readBy<T>(
  allowed: string,
  parse: (text: string) => T | undefined,
  isAllowed: (value: T) => boolean = () => true,
) {
  const parsed = v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
    const value = parse(dataset.value);
    if (value !== undefined && isAllowed(value)) return value;
    addIssue({ message: allowed });
    return NEVER;
  });
  return { allowed, schema: v.pipe(v.string(), parsed) };
}

/** From the gravest on; `none` keeps none. */
const kernelLevels = [
  'none',
  'emerg',
  'alert',
  'crit',
  'err',
  'warning',
  'notice',
  'info',
  'debug',
] as const;
const otlpProtocols = ['http/protobuf', 'http/json', 'grpc'] as const;
const temporalities = ['cumulative', 'delta'] as const;
const compressions = ['none', 'gzip'] as const;
const logLevels = ['error', 'warn', 'info', 'debug'] as const;

const filePath = readBy(
  'an absolute path of at most 4096 bytes, or empty',
  (text) => text,
  (path) => path === '' || (path.startsWith('/') && path.length <= 4096 && !path.includes('\0')),
);

const eventSchema = v.pipe(
  v.strictObject({
    event: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_-]{1,64})?$/)),
    period: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    frequencyHz: v.exactOptional(
      v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(999)),
    ),
  }),
  v.check((e) => e.period === undefined || e.frequencyHz === undefined),
);

/** Path in the file -> what is read from text there. `dataDir` may be
 *  empty: then the place decides. */
export const textOptions = {
  dataDir: {
    default: '',
    environment: 'FLAMEKEEPER_DATA',
    flag: 'data',
    ...readBy(
      'a path of at most 4096 bytes',
      (text) => text,
      (path) => path.length <= 4096 && !path.includes('\0'),
    ),
  },
  'sampling.frequencyHz': {
    default: '47',
    environment: 'FLAMEKEEPER_SAMPLING_FREQUENCY_HZ',
    flag: 'frequency',
    ...integerFrom(1, 999),
  },
  'sampling.cpus': {
    default: 'all',
    environment: 'FLAMEKEEPER_SAMPLING_CPUS',
    flag: 'cpus',
    ...readBy('all, or CPU numbers and ranges like 0-3,8', parseCpuList),
  },
  'flush.interval': {
    default: '10s',
    environment: 'FLAMEKEEPER_FLUSH_INTERVAL',
    flag: 'interval',
    ...readBy(
      'a duration from 200ms to 10s',
      parseDurationMs,
      (ms) => Number.isInteger(ms) && ms >= 200 && ms <= 10_000,
    ),
  },
  'store.maxAge': {
    default: '30d',
    environment: 'FLAMEKEEPER_STORE_MAX_AGE',
    ...readBy(
      'a duration from 1h to 3650d',
      parseDurationMs,
      (ms) => ms >= 3600e3 && ms <= 3650 * 86400e3,
    ),
  },
  'symbols.maxSize': {
    default: '64MiB',
    environment: 'FLAMEKEEPER_SYMBOLS_MAX_SIZE',
    ...readBy(
      'a size from 1MiB to 16GiB',
      parseSizeBytes,
      (bytes) => bytes >= 2 ** 20 && bytes <= 2 ** 34,
    ),
  },
  'unwind.maxSize': {
    default: '64MiB',
    environment: 'FLAMEKEEPER_UNWIND_MAX_SIZE',
    ...readBy(
      'a size from 1MiB to 16GiB',
      parseSizeBytes,
      (bytes) => bytes >= 2 ** 20 && bytes <= 2 ** 34,
    ),
  },
  'unwind.maxFileSize': {
    default: '16MiB',
    environment: 'FLAMEKEEPER_UNWIND_MAX_FILE_SIZE',
    ...readBy(
      'a size from 4KiB to 16MiB',
      parseSizeBytes,
      (bytes) => bytes >= 4096 && bytes <= 2 ** 24,
    ),
  },
  'unwind.cpuPercent': {
    default: '5',
    environment: 'FLAMEKEEPER_UNWIND_CPU_PERCENT',
    ...integerFrom(1, 100),
  },
  'unwind.maxFiles': {
    default: '8192',
    environment: 'FLAMEKEEPER_UNWIND_MAX_FILES',
    ...integerFrom(16, 2 ** 20),
  },
  'limits.stackMapEntries': {
    default: '0',
    environment: 'FLAMEKEEPER_LIMITS_STACK_MAP_ENTRIES',
    ...integerFrom(0, 2 ** 20),
  },
  'limits.countMapEntries': {
    default: '0',
    environment: 'FLAMEKEEPER_LIMITS_COUNT_MAP_ENTRIES',
    ...integerFrom(0, 2 ** 20),
  },
  'limits.eventsPerFlush': {
    default: '20000',
    environment: 'FLAMEKEEPER_LIMITS_EVENTS_PER_FLUSH',
    ...integerFrom(1, 1_000_000),
  },
  'limits.counterDescriptors': {
    default: '4096',
    environment: 'FLAMEKEEPER_LIMITS_COUNTER_DESCRIPTORS',
    ...integerFrom(0, 2 ** 20),
  },
  'context.seconds': {
    default: '15m',
    environment: 'FLAMEKEEPER_CONTEXT_SECONDS',
    ...readBy(
      'a duration from 1m to 1h, or 0s',
      parseDurationMs,
      (ms) => ms === 0 || (ms >= 60e3 && ms <= 3600e3),
    ),
  },
  'context.processes': {
    default: '50',
    environment: 'FLAMEKEEPER_CONTEXT_PROCESSES',
    ...integerFrom(0, 500),
  },
  'context.cgroups': {
    default: '64',
    environment: 'FLAMEKEEPER_CONTEXT_CGROUPS',
    ...integerFrom(0, 1000),
  },
  'context.kernelLevel': {
    default: 'warning',
    environment: 'FLAMEKEEPER_CONTEXT_KERNEL_LEVEL',
    allowed: `one of ${kernelLevels.join(', ')}`,
    schema: v.pipe(
      v.picklist(kernelLevels),
      v.transform((level) => kernelLevels.indexOf(level) - 1),
    ),
  },
  'socket.mode': {
    default: '0660',
    environment: 'FLAMEKEEPER_SOCKET_MODE',
    ...readBy('an octal file mode like 0660', parseFileMode),
  },
  'socket.group': {
    default: '',
    environment: 'FLAMEKEEPER_SOCKET_GROUP',
    ...readBy(
      'the name or number of a group, or empty',
      (text) => text,
      (name) => /^[A-Za-z0-9_.-]{0,32}\$?$/.test(name),
    ),
  },
  'export.otlp.endpoint': {
    default: '',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_ENDPOINT',
    ...readBy(
      'a URL that begins with http:// or https://, or empty',
      (text) => text,
      (text) => text === '' || /^https?:\/\/[^\s]{1,2000}$/.test(text),
    ),
  },
  'export.otlp.protocol': {
    default: 'http/protobuf',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_PROTOCOL',
    allowed: `one of ${otlpProtocols.join(', ')}`,
    schema: v.picklist(otlpProtocols),
  },
  'export.otlp.temporality': {
    default: 'cumulative',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_TEMPORALITY',
    allowed: `one of ${temporalities.join(', ')}`,
    schema: v.picklist(temporalities),
  },
  'export.otlp.timeout': {
    default: '10s',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_TIMEOUT',
    ...readBy(
      'a duration from 100ms to 5m',
      parseDurationMs,
      (ms) => Number.isInteger(ms) && ms >= 100 && ms <= 300e3,
    ),
  },
  'export.otlp.compression': {
    default: 'none',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_COMPRESSION',
    allowed: `one of ${compressions.join(', ')}`,
    schema: v.picklist(compressions),
  },
  'export.otlp.headersFile': {
    default: '',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_HEADERS_FILE',
    ...filePath,
  },
  'export.otlp.certificate': {
    default: '',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_CERTIFICATE',
    ...filePath,
  },
  'export.otlp.clientCertificate': {
    default: '',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_CLIENT_CERTIFICATE',
    ...filePath,
  },
  'export.otlp.clientKey': {
    default: '',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_CLIENT_KEY',
    ...filePath,
  },
  'export.otlp.catchUp': {
    default: '10',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_CATCH_UP',
    ...integerFrom(1, 1000),
  },
  'export.otlp.maxBacklog': {
    default: '24h',
    environment: 'FLAMEKEEPER_EXPORT_OTLP_MAX_BACKLOG',
    ...readBy(
      'a duration from 1m to 3650d',
      parseDurationMs,
      (ms) => ms >= 60e3 && ms <= 3650 * 86400e3,
    ),
  },
  'export.maxSeries': {
    default: '2000',
    environment: 'FLAMEKEEPER_EXPORT_MAX_SERIES',
    ...integerFrom(1, 100_000),
  },
  'export.processes': {
    default: 'false',
    environment: 'FLAMEKEEPER_EXPORT_PROCESSES',
    allowed: 'true or false',
    schema: v.pipe(
      v.picklist(['true', 'false']),
      v.transform((text) => text === 'true'),
    ),
  },
  'http.listen': {
    default: '',
    environment: 'FLAMEKEEPER_HTTP_LISTEN',
    ...readBy(
      'an address and a port like 127.0.0.1:9464 or [::1]:9464, or empty',
      (text) => text,
      (text) => text === '' || /^(?:\[[0-9a-fA-F:]{2,45}\]|[A-Za-z0-9_.-]{1,253}):\d{1,5}$/.test(text),
    ),
  },
  'http.tokenFile': { default: '', environment: 'FLAMEKEEPER_HTTP_TOKEN_FILE', ...filePath },
  'http.certificate': { default: '', environment: 'FLAMEKEEPER_HTTP_CERTIFICATE', ...filePath },
  'http.key': { default: '', environment: 'FLAMEKEEPER_HTTP_KEY', ...filePath },
  'http.clientCa': { default: '', environment: 'FLAMEKEEPER_HTTP_CLIENT_CA', ...filePath },
  'log.level': {
    default: 'info',
    environment: 'FLAMEKEEPER_LOG_LEVEL',
    allowed: `one of ${logLevels.join(', ')}`,
    schema: v.picklist(logLevels),
  },
} as const;

export type TextOptionPath = keyof typeof textOptions;

/** What each text option becomes. */
export type OptionValues = {
  readonly [P in TextOptionPath]: v.InferOutput<(typeof textOptions)[P]['schema']>;
};

const counterName = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,128}$/));

/** A counter, or those that are to be scheduled and read together. */
const counterGroup = v.union([
  v.pipe(
    counterName,
    v.transform((name) => [name]),
  ),
  v.pipe(v.array(counterName), v.minLength(1), v.maxLength(32)),
]);

/** Path in the file -> a list that stands there; only the file can give it. */
export const listOptions = {
  'sampling.events': {
    default: [] as unknown[],
    allowed:
      `a list of at most ${maxEvents} entries like { event: page-faults, period: 100 }, ` +
      'each with a period or a frequencyHz (1 to 999), not both',
    schema: v.pipe(v.array(eventSchema), v.maxLength(maxEvents)),
  },
  'counters.events': {
    default: [
      ['context-switches', 'cpu-migrations', 'minor-faults', 'major-faults'],
      ['msr/tsc/', 'msr/aperf/', 'msr/mperf/'],
      ['cycles', 'instructions'],
      ['branches', 'branch-misses'],
      ['cache-references', 'cache-misses'],
    ] as unknown[],
    allowed: "a list of at most 64 events by perf's names, or lists of those to be read together",
    schema: v.pipe(v.array(counterGroup), v.maxLength(64)),
  },
  'export.resource': {
    default: [] as unknown[],
    allowed: 'a list of at most 64 attributes like deployment.environment.name=production',
    schema: v.pipe(
      v.array(v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_.-]{0,127}=[^\0-\x1f]{1,1024}$/))),
      v.maxLength(64),
      v.transform((list) =>
        list.map((text) => {
          const at = text.indexOf('=');
          return [text.slice(0, at), text.slice(at + 1)] as const;
        }),
      ),
    ),
  },
  'counters.cgroups': {
    default: [] as unknown[],
    allowed: 'a list of at most 64 paths of cgroups like /system.slice/nginx.service',
    schema: v.pipe(
      v.array(v.pipe(v.string(), v.regex(/^(?:\/(?!\.\.?(?:\/|$))[^/\0]{1,255}){1,64}$/))),
      v.maxLength(64),
    ),
  },
} as const;

export type ListOptionPath = keyof typeof listOptions;

/** What each list becomes. */
export type ListValues = {
  readonly [P in ListOptionPath]: v.InferOutput<(typeof listOptions)[P]['schema']>;
};

export type SamplingEvent = v.InferOutput<typeof eventSchema>;
