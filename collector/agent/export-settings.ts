// Whether and how metrics leave the host: OpenTelemetry's own variables before flamekeeper's options.
// Source: the OpenTelemetry specification, "OpenTelemetry Protocol Exporter".

import type { Config } from '../../config/load.js';
import type { OtlpOptions } from '../../exporters/push/exports.js';
import { OperatingError } from '../../storage/model/errors.js';

type Environment = Readonly<Record<string, string | undefined>>;

const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;
const TEMPORALITIES = ['cumulative', 'delta'] as const;
const PREFIX = 'OTEL_EXPORTER_OTLP';

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
