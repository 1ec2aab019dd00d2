// The poller by both of its ways of waiting. It counts wakes; how much CPU an idle one
// takes is printed, not asserted.

import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { CallError } from '../../ffi/errno.js';
import { closeFd } from '../../ffi/libc.js';
import { libcFunction } from '../../ffi/native.js';
import { Poller, type WaitMethod } from '../../ffi/poller.js';

const eventfd = libcFunction('eventfd', 'int', ['uint', 'int']);
const newEvent = () => eventfd(0, 0o2000000) as number;
const signal = (fd: number) => writeSync(fd, new BigUint64Array([1n]));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const onError = (error: unknown) => assert.fail(String(error));

/** Waits until it holds, or for 10 s. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let round = 0; round < 1000 && !isTrue(); round++) await pause(10);
  assert.ok(isTrue());
}

for (const method of ['uv', 'thread'] as const satisfies WaitMethod[]) {
  test(`${method}: each signal wakes once, though nobody takes it away`, async () => {
    let wakes = 0;
    const poller = new Poller({ method, onReadable: () => wakes++, onError });
    assert.equal(poller.method, method);
    const [one, two] = [newEvent(), newEvent()];
    poller.add(one);
    poller.add(two);
    await pause(20);
    assert.equal(wakes, 0);
    signal(one);
    await until(() => wakes === 1);
    const cpu = process.cpuUsage();
    await pause(400);
    const { user, system } = process.cpuUsage(cpu);
    console.log(
      `${method}: ${user + system} µs of CPU in 400 ms with a descriptor that stays readable`,
    );
    assert.equal(wakes, 1);
    signal(two);
    await until(() => wakes === 2);
    poller.remove(one);
    signal(one);
    await pause(100);
    assert.equal(wakes, 2);
    poller.close();
    poller.close();
    closeFd(one);
    closeFd(two);
  });

  test(`${method}: a storm costs a bounded number of wakes`, async () => {
    let wakes = 0;
    const poller = new Poller({ method, onReadable: () => wakes++, onError });
    const fd = newEvent();
    poller.add(fd);
    let signals = 0;
    for (; signals < 500; signals++) {
      signal(fd);
      if (signals % 10 === 0) await pause(1);
    }
    await until(() => wakes > 0);
    console.log(`${method}: ${signals} signals, ${wakes} wakes`);
    assert.ok(wakes < signals / 10);
    poller.close();
    closeFd(fd);
  });

  test(`${method}: what the callback throws is handed over, and waiting goes on`, async () => {
    const errors: unknown[] = [];
    let wakes = 0;
    const onReadable = (): void => {
      if (wakes++ === 0) throw new Error('the first one');
    };
    const poller = new Poller({ method, onReadable, onError: (error) => errors.push(error) });
    const fd = newEvent();
    poller.add(fd);
    signal(fd);
    await until(() => wakes === 1);
    signal(fd);
    await until(() => wakes === 2);
    assert.deepEqual(errors.map(String), ['Error: the first one']);
    poller.close();
    closeFd(fd);
  });

  test(`${method}: closed inside its callback`, async () => {
    let isClosed = false;
    const poller: Poller = new Poller({
      method,
      onReadable: () => {
        poller.close();
        isClosed = true;
      },
      onError,
    });
    const fd = newEvent();
    poller.add(fd);
    signal(fd);
    await until(() => isClosed);
    closeFd(fd);
  });
}

test('what cannot wake cannot be added', () => {
  const poller = new Poller({ onReadable: () => {}, onError: () => {} });
  assert.throws(
    () => poller.add(987_654),
    (error) => error instanceof CallError && error.errno === 'EBADF',
  );
  poller.close();
});
