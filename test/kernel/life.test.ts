// The life of a probe on this kernel: what is set before the load arrives, hooks give way to others, errors
// speak, and nothing stays behind, whichever way it ends.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import type { Hook } from '../../bpf/descriptor.js';
import { closeFd } from '../../ffi/libc.js';
import { enablePerfEvent, openPerfEvent, perfType, softwareEvent } from '../../ffi/perf-event.js';
import { OperatingError } from '../../storage/model/errors.js';
import { areGone, compileBpf, idsOf, kernelIds, loadFixture } from '../support/bpf-fixture.js';
import { requiredHook, skipReason } from '../support/bpf-fixture.js';

const skip = skipReason() ?? false;
const object = skip === false ? compileBpf('hooks') : '';
const works = requiredHook('works');
const optional: Hook = { program: 'rejected', attach: 'auto', isRequired: false };
const holdScript = fileURLToPath(new URL('../support/hold-probe.js', import.meta.url));

/** Makes system calls until the program has run, or for 10 s. */
async function untilRun(runs: BigUint64Array): Promise<void> {
  for (let round = 0; round < 1000 && runs[0] === 0n; round++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('constants, globals and the gate', { skip }, async () => {
  const probe = loadFixture(object, [works], {
    rodata: { fixed_u8: 200, fixed_s16: -300, fixed_u64: 2n ** 63n + 1n, fixed_array: [7, 8, 4294967295] },
  });
  try {
    const runs = probe.globals.u64('runs');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(runs[0], 0n, 'the gate is shut');
    probe.openGate();
    await untilRun(runs);
    assert.ok(runs[0]! > 0n);
    assert.equal(probe.globals.u64('seen_u8')[0], 200n);
    assert.equal(BigInt.asIntN(64, probe.globals.u64('seen_s16')[0]!), -300n);
    assert.equal(probe.globals.u64('seen_u64')[0], 2n ** 63n + 1n);
    assert.deepEqual([...probe.globals.u32('seen_array')], [7, 8, 4294967295]);
  } finally {
    probe.close();
  }
});

test('programmers are told what the object does not have', { skip }, () => {
  assert.throws(() => loadFixture(object, [works], { rodata: { nothing: 1 } }), /constant nothing/);
  assert.throws(() => loadFixture(object, [works], { rodata: { fixed_u8: 256 } }), /256 fits into 8 bits/);
  assert.throws(() => loadFixture(object, [works], { rodata: { fixed_array: [1, 2] } }), /fixed_array/);
  assert.throws(() => loadFixture(object, [works], { maxEntries: { nothing: 1 } }), /map nothing/);
  assert.throws(() => loadFixture(object, [requiredHook('nothing')]), /program nothing/);
  const probe = loadFixture(object, [works], { maxEntries: { table: 77 } });
  assert.throws(() => probe.map('nothing'), /map nothing/);
  assert.throws(() => probe.globals.u32('nothing'), /global nothing/);
  assert.throws(() => probe.attachPerfEvent('nothing', 0), /program nothing/);
  assert.equal(probe.map('table').maxEntries, 77);
  assert.ok(probe.kernelMemoryBytes() > 0);
  probe.close();
  probe.close();
});

test('a hook gives way to the next of its group, and says why', { skip }, () => {
  const group = (program: string): Hook => ({ program, attach: 'auto', isRequired: true, group: 'one' });
  const probe = loadFixture(object, ['missing', 'rejected', 'unattachable', 'works'].map(group));
  assert.deepEqual(probe.programs().map(({ name }) => name), ['works']);
  const told = probe.notes.filter((note) => !note.startsWith('RLIMIT'));
  assert.equal(told.length, 3);
  assert.match(told[0]!, /^missing: ESRCH, .*no_such_tracepoint/);
  assert.match(told[1]!, /^rejected: EACCES, R\d invalid mem access 'map_value_or_null'$/);
  assert.match(told[2]!, /^unattachable: /);
  probe.close();
});

test('an optional hook is left out; a required one without a substitute is an error', { skip }, () => {
  const probe = loadFixture(object, [works, optional]);
  assert.deepEqual(probe.programs().map(({ name }) => name), ['works']);
  probe.close();

  const codeOf = (program: string): unknown => {
    try {
      loadFixture(object, [works, requiredHook(program)]).close();
      return undefined;
    } catch (error) {
      assert.ok(error instanceof OperatingError);
      return [error.code, error.message];
    }
  };
  assert.deepEqual(codeOf('rejected'), [
    'bpf-failed',
    "probe fixture: rejected cannot be used: EACCES, R0 invalid mem access 'map_value_or_null'",
  ]);
  assert.equal((codeOf('missing') as string[])[0], 'kernel-unsupported');
});

test('libbpf speaks by verbosity', { skip }, () => {
  const listen = (verbosity: number): Map<string, number> => {
    const levels = new Map<string, number>();
    const log = (level: string): void => void levels.set(level, (levels.get(level) ?? 0) + 1);
    loadFixture(object, [works, optional], { verbosity, log }).close();
    return levels;
  };
  assert.deepEqual([...listen(0).keys()], []);
  assert.ok(listen(1).has('warn'));
  assert.ok(listen(2).get('debug')! > listen(1).get('debug')!);
});

test('no such object, no such library', { skip }, () => {
  const isError = (code: string, text: RegExp) => (error: unknown) =>
    error instanceof OperatingError && error.code === code && text.test(error.message);
  assert.throws(() => loadFixture('/nowhere.bpf.o', [works]), isError('bpf-failed', /nowhere/));
  assert.throws(() => loadFixture(process.execPath, [works]), isError('bpf-failed', /cannot be opened/));
  const env = { ...process.env, FLAMEKEEPER_LIBBPF: '/nowhere/libbpf.so' };
  const { stderr } = spawnSync(process.execPath, [holdScript, object], { env, encoding: 'utf8' });
  assert.match(stderr, /OperatingError: \/nowhere\/libbpf\.so cannot be used.*No such file/);
});

test('a perf event runs its program', { skip }, async () => {
  const probe = loadFixture(object, [{ program: 'ticks', attach: 'perf_event', isRequired: true }]);
  const clock = { type: perfType.software, config: softwareEvent.cpuClock };
  const opened = openPerfEvent({ ...clock, frequencyHz: 999, flags: ['disabled'] }, { cpu: 0 });
  assert.ok('fd' in opened, JSON.stringify(opened));
  probe.attachPerfEvent('ticks', opened.fd);
  probe.openGate();
  assert.equal(enablePerfEvent(opened.fd), undefined);
  await untilRun(probe.globals.u64('runs'));
  assert.ok(probe.globals.u64('runs')[0]! > 0n);
  closeFd(opened.fd);
  const ids = probe.programs().map(({ id }) => id);
  probe.close();
  assert.ok(await areGone('prog', ids));
});

test('nothing stays in the kernel after close, nor after kill -9', { skip }, async () => {
  const probe = loadFixture(object, [works]);
  probe.openGate();
  const own = idsOf(probe);
  assert.ok(own.programs.every((id) => kernelIds('prog').has(id)));
  assert.ok(own.maps.length >= 3 && own.maps.every((id) => kernelIds('map').has(id)));
  probe.close();
  assert.ok(await areGone('prog', own.programs));
  assert.ok(await areGone('map', own.maps));

  const child = spawn(process.execPath, [holdScript, object], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const held = JSON.parse(line.toString()) as typeof own;
  assert.ok(held.programs.every((id) => kernelIds('prog').has(id)));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(await areGone('prog', held.programs));
  assert.ok(await areGone('map', held.maps));
});
