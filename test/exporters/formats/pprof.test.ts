// pprof, read back by pprof-format's own decoder.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import fc from 'fast-check';
import { Profile as Message } from 'pprof-format';

import type { PprofOptions } from '../../../exporters/formats/pprof.js';
import { pprofGzip } from '../../../exporters/formats/pprof.js';
import { printable } from '../../../exporters/formats/text.js';
import { functionLabel } from '../../../storage/model/frame.js';
import type { Profile } from '../../../storage/model/profile.js';
import { noFramesLabel } from '../../../storage/model/stacks.js';
import {
  buildProfile,
  kernelFunction,
  nativeFunction,
  periodNs,
  plainRowsOf,
  profiles,
  seriesOf,
  smallProfile,
  sumBy,
} from '../../support/profiles.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('pprof.test');

const options: PprofOptions = {
  timeUnixNs: 1_750_000_000_123_456_789n,
  durationNs: 60_000_000_000n,
  comments: ['one', 'two'],
};

async function decode(profile: Profile): Promise<Message> {
  const chunks: Buffer[] = [];
  for await (const chunk of pprofGzip(profile, options)) chunks.push(chunk);
  assert.ok(chunks.every((chunk) => chunk.length <= 32 * 1024));
  return Message.decode(gunzipSync(Buffer.concat(chunks)));
}

test('says what the values are, when they were taken and where code comes from', async () => {
  const message = await decode(smallProfile());
  const text = (index: number | bigint): string => message.stringTable.strings[Number(index)]!;
  const types = message.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`);
  assert.deepEqual(types, ['samples/count', 'cpu/nanoseconds']);
  assert.equal(text(message.periodType!.type), 'cpu');
  assert.equal(text(message.defaultSampleType), 'cpu');
  assert.equal(Number(message.period), periodNs);
  assert.equal(message.timeNanos, options.timeUnixNs);
  assert.equal(message.durationNanos, options.durationNs);
  assert.deepEqual(message.comment.map(text), ['one', 'two']);
  assert.deepEqual(
    message.mapping.map(
      (m) => `${Number(m.id)} ${text(m.filename)} ${text(m.buildId)} ${m.hasFunctions}`,
    ),
    [
      '1 /usr/bin/db c0ffee true',
      '2 /usr/bin/app c0ffee true',
      '3 [kernel.kallsyms]  true',
      '4 /usr/bin/libx.so c0ffee true',
    ],
  );
  const addresses = message.location.map(({ address }) => BigInt(address));
  assert.deepEqual(
    addresses.filter((address) => address !== 0n),
    [0xffff_ffff_8100_0000n, 0x2000n],
  );
});

test('gives each sample its labels, and the cut as one of them', async () => {
  const message = await decode(smallProfile());
  const text = (index: number | bigint): string => message.stringTable.strings[Number(index)]!;
  const labels = message.sample.map(({ label }) =>
    label
      .map(({ key, str, num }) => `${text(key)}=${Number(str) === 0 ? Number(num) : text(str)}`)
      .join(' '),
  );
  const app = 'pid=41 comm=app thread=app-1 user=www cgroup=/web.slice exe=/usr/bin/app';
  assert.equal(labels[0], app);
  assert.equal(labels[4], `${app} cut=unreadable`);
});

test('the profile is named after the executable with most samples, else the kernel', async () => {
  const firstMapping = async (profile: Profile): Promise<string> => {
    const message = await decode(profile);
    return message.stringTable.strings[Number(message.mapping[0]!.filename)]!;
  };
  const [app, db] = [seriesOf('app', 1), seriesOf('db', 2)];
  const start = nativeFunction('__libc_start_main', 'libc.so.6');
  const stack = [start, nativeFunction('main'), kernelFunction('vfs_read')];
  assert.equal(
    await firstMapping(buildProfile([{ series: app, stack, count: 1 }])),
    '/usr/bin/app',
  );
  const both = [app, db].map((series) => ({ series, stack, count: 1 }));
  assert.equal(await firstMapping(buildProfile(both)), '[kernel.kallsyms]');
});

test('keeps every stack with its values', async () => {
  const property = fc.asyncProperty(profiles(), async (profile) => {
    const message = await decode(profile);
    const text = (index: number | bigint): string => message.stringTable.strings[Number(index)]!;
    const names = new Map(message.function.map(({ id, name }) => [Number(id), text(name)]));
    const locations = new Map(
      message.location.map(({ id, line }) => [Number(id), names.get(Number(line[0]!.functionId))!]),
    );
    assert.equal(names.size, message.function.length, 'function ids are unique');
    assert.equal(locations.size, message.location.length, 'location ids are unique');
    const stackOf = ({ locationId }: Message['sample'][number]): string =>
      locationId.map((id) => locations.get(Number(id))!).reverse().join('\0');
    const rows = plainRowsOf(profile);
    profile.valueTypes.forEach((_, i) => {
      assert.deepEqual(
        sumBy(message.sample, stackOf, ({ value }) => Number(value[i])),
        sumBy(
          rows,
          ({ frames }) =>
            frames.map((fn) => printable(functionLabel(fn))).join('\0') || noFramesLabel,
          ({ values }) => values[i]!,
        ),
      );
    });
  });
  await fc.assert(property);
});

test('a reader may stop early, and learns of an error', async () => {
  for await (const chunk of pprofGzip(smallProfile(), options)) {
    assert.ok(chunk.length > 0);
    break;
  }
  const broken = { ...smallProfile(), series: [] };
  await assert.rejects(async () => {
    for await (const chunk of pprofGzip(broken, options)) assert.ok(chunk.length > 0);
  });
});
