// What the verifier of this kernel makes of each program: printed, so that a growth is seen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import koffi from 'koffi';
import type { Hook } from '../../../bpf/descriptor.js';
import { openConfigured } from '../../../bpf/object.js';
import { partsOf } from '../../../bpf/trial.js';
import { findProbes, type ProbeFile } from '../../../collector/agent/probes.js';
import {
  closeObject,
  loadObject,
  setVerifierLog,
  type ProgramHandle,
} from '../../../ffi/libbpf.js';
import { raiseMemlock } from '../../../ffi/libc.js';

/** BPF_LOG_STATS: the last line only, as every kernel since 5.2 has it. */
const logStatistics = 4;
const logBytes = 1 << 16;
/** The verifier treats them as constants, so they are what they are in use, or like it. */
const constants = { fk_period_ns: 10_101_010n, fk_cgroup_hierarchies: [0, 0, 0, 0] };

const setLogLevel = koffi
  .load('libbpf.so.1')
  .func('bpf_program__set_log_level', 'int', ['void *', 'uint32']) as (
  program: ProgramHandle,
  level: number,
) => number;

test('the verifier takes each program', async (t) => {
  raiseMemlock();
  for (const file of await findProbes()) {
    for (const hook of file.descriptor.hooks) {
      const { program, isRequired, group } = hook;
      const { processed, error } = load(file, hook);
      const result =
        processed === undefined ? `refused: ${error}` : `${processed} instructions processed`;
      t.diagnostic(`verifier: ${program.padEnd(15)} ${result}`);
      if (isRequired && group === undefined)
        assert.ok(processed !== undefined, `${program}: ${error}`);
    }
  }
});

function load(
  { descriptor, objectPath }: ProbeFile,
  hook: Hook,
): { processed?: number; error?: string } {
  const rodata = Object.fromEntries(descriptor.constants.map((name) => [name, constants[name]]));
  const object = openConfigured(
    { objectPath, rodata, maxEntries: {} },
    partsOf(descriptor, [hook]),
  );
  const log = Buffer.alloc(logBytes);
  try {
    const handle = object.programs.get(hook.program)!;
    setVerifierLog(handle, log);
    assert.equal(setLogLevel(handle, logStatistics), 0);
    loadObject(object.handle);
    const processed = /processed (\d+) insns/.exec(log.toString('latin1'))?.[1];
    return processed === undefined ? {} : { processed: Number(processed) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  } finally {
    closeObject(object.handle);
  }
}
