// What a receiver says with a gRPC error, also when it is nonsense.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import fc from 'fast-check';
import { isGrpcRetryable, retryDelayMs } from '../../../exporters/push/grpc-status.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('grpc-status.test');

function errorWith(bytes: Uint8Array) {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  return { metadata };
}

const field = (number: number, bytes: Buffer) =>
  Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);

test('RetryInfo tells when to come again', () => {
  // seconds 2, nanos 500,000,000
  const delay = Buffer.from([0x08, 2, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]);
  const type = field(1, Buffer.from('type.googleapis.com/google.rpc.RetryInfo'));
  const other = field(3, field(1, Buffer.from('type.googleapis.com/google.rpc.Help')));
  const info = field(3, Buffer.concat([type, field(2, field(1, delay))]));
  const status = Buffer.concat([Buffer.from([8, 14]), field(2, Buffer.from('busy')), other, info]);
  assert.equal(retryDelayMs(errorWith(status)), 2500);
  assert.equal(retryDelayMs(errorWith(status.subarray(0, 12))), undefined);
  assert.equal(retryDelayMs({}), undefined);
});

test('bytes of any kind end in a number or nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const ms = retryDelayMs(errorWith(bytes));
      assert.ok(ms === undefined || ms >= 0);
    }),
    { numRuns: 2000 },
  );
});

test('what the specification calls retryable is, what is too large is not', () => {
  const retryable = Array.from({ length: 17 }, (_, code) => code).filter((c) => isGrpcRetryable(c, ''));
  assert.deepEqual(retryable, [1, 4, 7, 8, 10, 11, 12, 14, 15, 16]);
  assert.equal(isGrpcRetryable(8, 'grpc: received message larger than max (9 vs. 4)'), false);
});
