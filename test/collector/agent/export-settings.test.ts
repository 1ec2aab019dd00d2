// Whether something is pushed, where to and how: the standard variables go before the options.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { otlpSettings } from '../../../collector/agent/export-settings.js';
import { loadConfig } from '../../../config/load.js';

function settings(env: Record<string, string>, options: Record<string, string> = {}) {
  const loaded = loadConfig({ env: options, flags: {} });
  assert.ok(loaded.ok);
  return otlpSettings(loaded.loaded.config, env);
}

const endpoint = { FLAMEKEEPER_EXPORT_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

test('nothing is pushed unless somebody says where to', () => {
  assert.equal(settings({}), undefined);
  assert.equal(settings({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_SERVICE_NAME: 'x' }), undefined);
  assert.equal(settings({}, endpoint)?.endpoint, 'http://127.0.0.1:4318');
  assert.ok(settings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c' }));
  assert.ok(settings({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c/v1/metrics' }));
  assert.ok(settings({ OTEL_METRICS_EXPORTER: 'console, otlp' }));
  for (const off of [{ OTEL_METRICS_EXPORTER: 'none' }, { OTEL_SDK_DISABLED: 'TRUE' }]) {
    assert.equal(settings(off as Record<string, string>, endpoint), undefined);
  }
});

test('protocol and temporality: of metrics, of all signals, of the options', () => {
  const options = {
    ...endpoint,
    FLAMEKEEPER_EXPORT_OTLP_PROTOCOL: 'http/json',
    FLAMEKEEPER_EXPORT_OTLP_TEMPORALITY: 'delta',
  };
  assert.equal(settings({}, endpoint)?.protocol, 'http/protobuf');
  assert.equal(settings({}, options)?.protocol, 'http/json');
  assert.equal(settings({}, options)?.temporality, 'delta');
  const all = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
  assert.equal(settings(all, options)?.protocol, 'grpc');
  const own = { ...all, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/protobuf' };
  assert.equal(settings(own, options)?.protocol, 'http/protobuf');
  const temporality = { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'Cumulative' };
  assert.equal(settings(temporality, options)?.temporality, 'cumulative');
  assert.throws(() => settings({ OTEL_EXPORTER_OTLP_PROTOCOL: 'thrift' }, endpoint), {
    code: 'bad-config',
  });
});
