// Records of /dev/kmsg.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseKernelMessage } from '../../../collector/pipeline/kernel-log.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('kernel-log.test');

test('a record with a dictionary behind it, one of user space, one of a newer kernel', () => {
  const record =
    '3,1234,98765432,-;Out of memory: Killed process 12 (a;b)\n SUBSYSTEM=mem\n DEVICE=c1:3\n';
  assert.deepEqual(parseKernelMessage(record), {
    level: 3,
    facility: 0,
    sequence: 1234,
    ktimeUs: 98765432,
    message: 'Out of memory: Killed process 12 (a;b)',
  });
  const user = parseKernelMessage('12,7,5,-,caller=T12;from user space\\x0a\n');
  assert.deepEqual([user?.level, user?.facility, user?.message], [4, 1, 'from user space\\x0a']);
});

test('any text is a message or none', () => {
  assert.equal(parseKernelMessage(''), undefined);
  assert.equal(parseKernelMessage('3,1,2'), undefined);
  fc.assert(
    fc.property(fc.string(), fc.string(), (head, text) => {
      const message = parseKernelMessage(`${head}3,1,2,-;${text}`)?.message ?? '';
      assert.ok(message.length <= 1024);
    }),
  );
});
