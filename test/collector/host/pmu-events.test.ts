// Events as users write them, against sysfs as it looks on bare metal: an Intel core's unit, one that
// counts for a whole package, two kinds of cores, and what makes no sense.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { hybridTypes, resolveEvent } from '../../../collector/host/pmu-events.js';
import {
  encodePmuTerms,
  parsePmuFormat,
  parsePmuTerms,
} from '../../../collector/pipeline/pmu-text.js';
import { seedRandomTests } from '../../support/random.js';

seedRandomTests('pmu-events.test');

const devices = mkdtempSync(join(tmpdir(), 'fk-devices-'));
after(() => rmSync(devices, { recursive: true }));

const files: Readonly<Record<string, string>> = {
  'cpu/type': '4\n',
  'cpu/format/event': 'config:0-7\n',
  'cpu/format/umask': 'config:8-15\n',
  'cpu/format/inv': 'config:23\n',
  'cpu/format/cmask': 'config:24-31\n',
  'cpu/format/ldlat': 'config1:0-15\n',
  'cpu/events/mem-loads': 'event=0xcd,umask=0x1,ldlat=3\n',
  'cpu/events/open': 'event=0x1,core=?\n',
  'amd/type': '10\n',
  'amd/format/event': 'config:0-7,32-35\n',
  'power/type': '20\n',
  'power/cpumask': '0,16\n',
  'power/format/event': 'config:0-7\n',
  'power/events/energy-pkg': 'event=0x02\n',
  'power/events/energy-pkg.scale': '2.3283064365386962890625e-10\n',
  'power/events/energy-pkg.unit': 'Joules\n',
  'hybrid/cpu_core/type': '4\n',
  'hybrid/cpu_core/cpus': '0-1\n',
  'hybrid/cpu_atom/type': '10\n',
  'hybrid/cpu_atom/cpus': '2-3\n',
};
for (const [path, text] of Object.entries(files)) {
  mkdirSync(dirname(join(devices, path)), { recursive: true });
  writeFileSync(join(devices, path), text);
}

function resolved(written: string): string {
  const event = resolveEvent(written, devices);
  if (typeof event === 'string') return event;
  const { type, config, config1, config2, unit, flags, cpus } = event;
  const configs = [config, config1, config2].map((value) => value.toString(16)).join(' ');
  return [type, configs, unit, ...flags, ...(cpus === undefined ? [] : [cpus.join(',')])].join(' ');
}


test("perf's own names, raw events and modifiers", () => {
  assert.equal(resolved('cycles'), '0 0 0 0 count');
  assert.equal(resolved('branch-misses:u'), '0 5 0 0 count excludeKernel excludeHypervisor');
  assert.equal(resolved('L1-dcache-load-misses'), '3 10000 0 0 count');
  assert.equal(resolved('dTLB-store-misses:k'), '3 10103 0 0 count excludeUser excludeHypervisor');
  assert.equal(resolved('LLC-prefetches'), '3 202 0 0 count');
  assert.equal(resolved('task-clock'), '1 1 0 0 nanoseconds');
  assert.equal(resolved('cgroup-switches'), '1 b 0 0 count');
  assert.equal(resolved('r01c2'), '4 1c2 0 0 count');
  assert.equal(resolved('rffffffffffffffff'), '4 ffffffffffffffff 0 0 count');
});

test('units of the machine: terms in their places, named events, scale and CPUs', () => {
  assert.equal(resolved('cpu/event=0x3c,umask=0x1,inv,cmask=2/'), '4 280013c 0 0 count');
  assert.equal(resolved('cpu/mem-loads,ldlat=30/'), '4 1cd 1f 0 count');
  assert.equal(resolved('cpu/config=0x1c2,config1=5/u'), '4 1c2 5 0 count excludeKernel excludeHypervisor');
  assert.equal(resolved('amd/event=0xfab/'), '10 f000000ab 0 0 count');
  assert.equal(resolved('power/energy-pkg/'), '20 2 0 0 Joules 0,16');
  const event = resolveEvent('power/energy-pkg/', devices);
  assert.ok(typeof event !== 'string' && event.scale === 2 ** -32);
});

test('what cannot be is told with the reason', () => {
  assert.equal(resolved('cycle'), 'perf has no event of this name');
  assert.equal(resolved('L1-dcache-'), 'perf has no event of this name');
  assert.equal(resolved('constructor'), 'perf has no event of this name');
  assert.equal(resolved('gpu/busy/'), 'this machine has no such unit');
  assert.equal(resolved('cpu/event=0x3c,edge/'), 'the unit has no such event or term');
  assert.equal(resolved('cpu/event=0x1ff/'), 'event=511 is too large');
  assert.equal(resolved('cpu/open/'), 'what sysfs says of open is not understood');
  assert.equal(resolved('cpu/../'), "its terms are not written as name=number, separated by commas");
  assert.equal(resolved('../event=1/'), 'perf has no event of this name');
  assert.equal(resolved('cycles:x'), 'no event is written like this');
});

test('on a hybrid machine each CPU has the type of its own kind of core', () => {
  const types = hybridTypes(join(devices, 'hybrid'));
  const [core, atom] = [4n << 32n, 10n << 32n];
  const ofCpus = [0, 1, 2, 3, 4].map((cpu) => types.get(cpu));
  assert.deepEqual(ofCpus, [core, core, atom, atom, undefined]);
  assert.equal(hybridTypes(devices).size, 0);
});

test('a value spread over ranges of bits can be gathered again', () => {
  const ranges = fc.uniqueArray(fc.nat(63), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(ranges, fc.bigInt(0n, 2n ** 12n - 1n), (bits, value) => {
      const format = parsePmuFormat(`config:${bits.join(',')}`)!;
      const encoded = encodePmuTerms([{ name: 'x', value }], () => format);
      if (value >= 2n ** BigInt(bits.length)) return assert.equal(typeof encoded, 'string');
      assert.ok(typeof encoded !== 'string');
      const gathered = bits.reduce((sum, bit, i) => sum | (((encoded.config >> BigInt(bit)) & 1n) << BigInt(i)), 0n);
      assert.equal(gathered, value);
    }),
  );
});

test('any text is an event or a reason', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      resolveEvent(text, devices);
      resolveEvent(`cpu/${text}/`, devices);
      parsePmuFormat(text);
      assert.ok((parsePmuTerms(text)?.length ?? 0) <= 32);
    }),
  );
});
