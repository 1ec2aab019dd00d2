// Whether and how metrics leave the host: OpenTelemetry's own variables before flamekeeper's options.
// Source: the OpenTelemetry specification, "OpenTelemetry Protocol Exporter".

import type { Config } from '../../config/load.js';
import type { OtlpOptions } from '../../exporters/push/exports.js';
import { OperatingError } from '../../storage/model/errors.js';
import { readSecretFile } from './secret-file.js';

type Environment = Readonly<Record<string, string | undefined>>;

const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;
const TEMPORALITIES = ['cumulative', 'delta'] as const;
const PREFIX = 'OTEL_EXPORTER_OTLP';
const MAX_HEADERS = 64;
/** RFC 9110, 5.6.2 and 5.5. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)$/;

/** Undefined: nothing is pushed. **Errors**: `bad-config`: a variable with a value that is not known. */
export function otlpSettings({ export: { otlp } }: Config, env: Environment): OtlpOptions | undefined {
  const exporters = (env['OTEL_METRICS_EXPORTER'] ?? '').split(',').map((name) => name.trim());
  const isOff = exporters.includes('none') || /^true$/i.test(env['OTEL_SDK_DISABLED']?.trim() ?? '');
  const isGiven = [`${PREFIX}_METRICS_ENDPOINT`, `${PREFIX}_ENDPOINT`].some(
    (name) => (env[name] ?? '') !== '',
  );
  if (isOff || !(isGiven || otlp.endpoint !== '' || exporters.includes('otlp'))) return undefined;
  const temporality = `${PREFIX}_METRICS_TEMPORALITY_PREFERENCE`;
  return {
    ...otlp,
    protocol:
      oneOf(env, `${PREFIX}_METRICS_PROTOCOL`, PROTOCOLS) ??
      oneOf(env, `${PREFIX}_PROTOCOL`, PROTOCOLS) ??
      otlp.protocol,
    temporality: oneOf(env, temporality, TEMPORALITIES) ?? otlp.temporality,
  };
}

/** The options that the SDK's exporters read from variables, as such: those that the environment does
 *  not give itself. **Errors**: `bad-config`: a file that cannot be read, a line that is no header, a
 *  certificate without its key. */
export function otlpVariables({ export: { otlp } }: Config, env: Environment): Record<string, string> {
  if ((otlp.clientCertificate === '') !== (otlp.clientKey === '')) {
    const sentence = 'export.otlp.clientCertificate and export.otlp.clientKey belong together';
    throw new OperatingError('bad-config', sentence);
  }
  const files = [
    ['CERTIFICATE', 'certificate'],
    ['CLIENT_CERTIFICATE', 'clientCertificate'],
    ['CLIENT_KEY', 'clientKey'],
  ] as const;
  for (const [, option] of files) {
    if (otlp[option] !== '') readSecretFile(`export.otlp.${option}`, otlp[option]);
  }
  const wanted: readonly (readonly [string, string])[] = [
    ['TIMEOUT', String(otlp.timeoutMs)],
    ['COMPRESSION', otlp.compression],
    ['HEADERS', otlp.headersFile === '' ? '' : headersOf(otlp.headersFile)],
    ...files.map(([name, option]) => [name, otlp[option]] as const),
  ];
  const given = wanted.filter(([name, text]) => {
    return text !== '' && !env[`${PREFIX}_METRICS_${name}`] && !env[`${PREFIX}_${name}`];
  });
  return Object.fromEntries(given.map(([name, text]) => [`${PREFIX}_METRICS_${name}`, text]));
}

/** As in OTEL_EXPORTER_OTLP_HEADERS, whose values are URL-encoded. */
function headersOf(path: string): string {
  const lines = readSecretFile('export.otlp.headersFile', path).toString('latin1').split(/\r?\n/);
  const headers = lines.flatMap((line, i) => {
    if (/^\s*(?:#|$)/.test(line)) return [];
    const [, name, value] = HEADER.exec(line.trim()) ?? [];
    if (name !== undefined && value !== undefined) return [`${name}=${encodeURIComponent(value)}`];
    // Not what stands there: it may be a secret.
    const sentence = `export.otlp.headersFile: line ${i + 1} of ${path} is no NAME=VALUE`;
    throw new OperatingError('bad-config', sentence);
  });
  if (headers.length <= MAX_HEADERS) return headers.join(',');
  const sentence = `export.otlp.headersFile: ${path} holds more than ${MAX_HEADERS} headers`;
  throw new OperatingError('bad-config', sentence);
}

function oneOf<T extends string>(
  env: Environment,
  name: string,
  allowed: readonly T[],
): T | undefined {
  const text = env[name]?.trim().toLowerCase() ?? '';
  if (text === '') return undefined;
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  const sentence = `environment ${name}: ${JSON.stringify(text)} is not allowed`;
  throw new OperatingError('bad-config', sentence, `Allowed: ${allowed.join(', ')}.`);
}
