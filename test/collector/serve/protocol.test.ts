import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeRequest, encodeRequest, PROTOCOL_VERSION } from '../../../collector/serve/protocol.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('collector/serve/protocol');

test('a request comes back as it was, bigints too', () => {
  const request = {
    v: PROTOCOL_VERSION,
    method: 'aggregate' as const,
    params: { windows: [{ fromUnixNs: 1n, toUnixNs: 2n ** 62n }], filter: { comm: ['node'], pid: [1] }, stream: 'cpu' },
  };
  deepEqual(decodeRequest(encodeRequest(request).trim()), request);
});

test('what is no request is refused with a sentence', () => {
  equal(decodeRequest('{'), 'the request is no JSON');
  for (const text of ['null', '[]', '{"v":1}', '{"v":2,"method":"status","params":{}}', '{"v":1,"method":"status","params":{"x":1}}']) {
    equal(typeof decodeRequest(text), 'string', text);
  }
});

test('no text makes the decoder throw', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.jsonValue().map((v) => JSON.stringify(v))), (text) => {
    decodeRequest(text);
  }));
});
