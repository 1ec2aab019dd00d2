// Whether something is pushed, where to and how: the standard variables go before the options.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { otlpSettings, otlpVariables } from '../../../collector/agent/export-settings.js';
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

test('what only options say becomes variables; what is given as one stays', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'fk-settings-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = (name: string) => join(dir, name);
  writeFileSync(path('headers'), '# who we are\n\nauthorization = Bearer a,b=c%\nX-Tenant=one two \n');
  for (const name of ['ca', 'own', 'key']) writeFileSync(path(name), name);
  const variables = (options: Record<string, string>, env: Record<string, string> = {}) => {
    const prefix = 'FLAMEKEEPER_EXPORT_OTLP_';
    const own = Object.fromEntries(Object.entries(options).map(([name, text]) => [prefix + name, text]));
    const loaded = loadConfig({ env: own, flags: {} });
    assert.ok(loaded.ok, JSON.stringify(loaded));
    return otlpVariables(loaded.loaded.config, env);
  };
  const all = {
    TIMEOUT: '2s',
    COMPRESSION: 'gzip',
    HEADERS_FILE: path('headers'),
    CERTIFICATE: path('ca'),
    CLIENT_CERTIFICATE: path('own'),
    CLIENT_KEY: path('key'),
  };
  const prefix = 'OTEL_EXPORTER_OTLP_METRICS_';
  assert.deepEqual(variables(all), {
    [`${prefix}TIMEOUT`]: '2000',
    [`${prefix}COMPRESSION`]: 'gzip',
    [`${prefix}HEADERS`]: 'authorization=Bearer%20a%2Cb%3Dc%25,X-Tenant=one%20two',
    [`${prefix}CERTIFICATE`]: path('ca'),
    [`${prefix}CLIENT_CERTIFICATE`]: path('own'),
    [`${prefix}CLIENT_KEY`]: path('key'),
  });
  const given = { OTEL_EXPORTER_OTLP_TIMEOUT: '5', OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'a=b' };
  const left = Object.keys(variables(all, given)).map((name) => name.replace(prefix, ''));
  assert.deepEqual(left, ['COMPRESSION', 'CERTIFICATE', 'CLIENT_CERTIFICATE', 'CLIENT_KEY']);
  writeFileSync(path('bad'), 'authorization: secret-token\n');
  const refused = [{ HEADERS_FILE: path('bad') }, { CERTIFICATE: path('none') }, { CLIENT_KEY: path('key') }];
  for (const options of refused) {
    assert.throws(() => variables(options), (error: Error & { code?: string }) => {
      return error.code === 'bad-config' && !error.message.includes('secret-token');
    });
  }
});
