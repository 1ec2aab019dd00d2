// Profiles for tests: one built by hand, random ones with hostile names, and the plain rows of both, read
// in the most naive way there is.

import fc from 'fast-check';

import type { FunctionInfo } from '../../storage/model/frame.js';
import { cutFunction, kernelModule, noModule } from '../../storage/model/frame.js';
import type { Profile } from '../../storage/model/profile.js';
import { ProfileBuilder } from '../../storage/model/profile.js';
import type { SeriesInfo } from '../../storage/model/series.js';
import type { StreamInfo } from '../../storage/model/stream.js';

export const periodNs = 10_101_010;

export const cpuStream: StreamInfo = {
  name: 'cpu',
  kind: 'samples',
  valueType: { type: 'samples', unit: 'count' },
  period: { type: 'cpu', unit: 'nanoseconds', value: periodNs },
};

export function seriesOf(comm: string, pid: number): SeriesInfo {
  const exe = `/usr/bin/${comm}`;
  return { pid, startUnixMs: 1, comm, thread: `${comm}-1`, exe, uid: 33, user: 'www', cgroup: '/web.slice' };
}

export function nativeFunction(name: string, moduleName = 'app'): FunctionInfo {
  const module = { name: moduleName, path: `/usr/bin/${moduleName}`, buildId: 'c0ffee' };
  return { module, frameType: 'native', name };
}

export function kernelFunction(name: string): FunctionInfo {
  return { module: kernelModule, frameType: 'kernel', name };
}

export interface TestRow {
  readonly series: SeriesInfo;
  /** Root first; a cut may only be the first. */
  readonly stack: readonly FunctionInfo[];
  readonly count: number;
}

export function buildProfile(rows: readonly TestRow[], stream: StreamInfo = cpuStream): Profile {
  const builder = new ProfileBuilder(stream);
  for (const { series, stack, count } of rows) {
    const node = stack.reduce((parent, fn) => builder.node(parent, builder.functionId(fn)), 0);
    builder.add(builder.seriesId(series), node, count);
  }
  return builder.build();
}

/** Recursion, a cut, kernel and unnamed code, an empty stack, and a name that looks like markup. */
export function smallProfile(): Profile {
  const app = seriesOf('app', 41);
  const db = seriesOf('db', 42);
  const main = nativeFunction('main');
  const work = nativeFunction('ns::work<int>(char)');
  const read = kernelFunction('vfs_read');
  const unnamed: FunctionInfo = { ...nativeFunction('', 'libx.so'), reason: 'no-symbols', start: 0x2000 };
  const deepKernel: FunctionInfo = { ...kernelFunction(''), reason: 'no-match', start: -0x7f000000 };
  return buildProfile([
    { series: app, stack: [main, work], count: 3 },
    { series: app, stack: [main, work, work], count: 4 },
    { series: app, stack: [main, work, read], count: 5 },
    { series: app, stack: [main, work, read, deepKernel], count: 1 },
    { series: app, stack: [cutFunction('unreadable'), work], count: 7 },
    { series: app, stack: [main, nativeFunction('</title><script>;alert(1)')], count: 2 },
    { series: db, stack: [main, work], count: 6 },
    { series: db, stack: [nativeFunction('main', 'db'), unnamed], count: 8 },
    { series: db, stack: [cutFunction('unreadable')], count: 9 },
    { series: db, stack: [], count: 10 },
  ]);
}

export interface PlainRow {
  readonly series: SeriesInfo;
  /** Root first, without the cut. */
  readonly frames: readonly FunctionInfo[];
  readonly cut: string | undefined;
  readonly values: readonly number[];
}

export function plainRowsOf(profile: Profile): PlainRow[] {
  return [...profile.rowNodes].map((leaf, row) => {
    const stack: FunctionInfo[] = [];
    for (let node = leaf; node !== 0; node = profile.parents[node]!) {
      stack.unshift(profile.functions[profile.nodeFunctions[node]!]!);
    }
    return {
      series: profile.series[profile.rowSeries[row]!]!,
      frames: stack.filter((fn) => fn.frameType !== 'cut'),
      cut: stack.find((fn) => fn.frameType === 'cut')?.name,
      values: profile.values.map((column) => column[row]!),
    };
  });
}

/** Adds up values under a key each. */
export function sumBy<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  valueOf: (item: T) => number,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const item of items) sums.set(keyOf(item), (sums.get(keyOf(item)) ?? 0) + valueOf(item));
  return new Map([...sums].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const hostileNames = [
  '</script><script>alert(1)</script>',
  ']]>',
  '<!--',
  '&amp;&#0;',
  `"' onload="alert(1)`,
  'a;b 12\nc 3',
  '\u0000\u001b[31m\r\u0085',
  '\ud800 half',
  'half \udfff',
  '\ufffe\uffff',
  '\u202egnp.exe',
  '__proto__',
  'constructor',
  'ns::f<a, b>(c)::{lambda()#1}',
  '\u{1f525} 火',
  ' ',
];

const nameText = fc.oneof(
  fc.constantFrom('main', 'work', 'read', ...hostileNames),
  fc.string({ unit: 'binary', maxLength: 12 }),
);

/** Random profiles of few different parts, so that stacks share and repeat them. */
export function profiles(name: fc.Arbitrary<string> = nameText): fc.Arbitrary<Profile> {
  const fn = fc.oneof(
    fc.tuple(name, name).map(([text, module]) => nativeFunction(text || 'f', module)),
    name.map((text) => kernelFunction(text)),
    fc.nat(0xfffff).map((start): FunctionInfo => ({ ...nativeFunction(''), reason: 'no-match', start })),
    fc.constant<FunctionInfo>({ module: noModule, frameType: 'native', name: '', reason: 'no-mapping' }),
  );
  const parts = fc.record({
    functions: fc.array(fn, { minLength: 1, maxLength: 8 }),
    comms: fc.array(name, { minLength: 1, maxLength: 3 }),
    cuts: fc.array(name, { minLength: 1, maxLength: 2 }),
    rows: fc.array(
      fc.record({
        series: fc.nat(),
        cut: fc.option(fc.nat(), { freq: 2 }),
        stack: fc.array(fc.nat(), { maxLength: 7 }),
        count: fc.integer({ min: 1, max: 1000 }),
      }),
      { maxLength: 30 },
    ),
  });
  return parts.map(({ functions, comms, cuts, rows }) =>
    buildProfile(
      rows.map(({ series, cut, stack, count }) => {
        const frames = stack.map((i) => functions[i % functions.length]!);
        const marker = cut === null ? [] : [cutFunction(cuts[cut % cuts.length]!)];
        const comm = comms[series % comms.length]!;
        return { series: seriesOf(comm, series % 5), stack: [...marker, ...frames], count };
      }),
    ),
  );
}
