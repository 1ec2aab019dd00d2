// Constants of a BPF object, set between open and load: `const volatile`
// variables that the verifier then knows.

import { assert } from '../storage/model/errors.js';
import { findMap, initialValue, sectionVariables, type ObjectHandle } from '../ffi/libbpf.js';

export type RodataValue = number | bigint | readonly (number | bigint)[];

/** Writes each value to its variable; an array fills the array from its start, and all of it.
 *  **Errors**: an unknown name, another length or a value that does not fit is an assertion. */
export function writeRodata(
  object: ObjectHandle,
  values: Readonly<Record<string, RodataValue>>,
): void {
  if (Object.keys(values).length === 0) return;
  const map = findMap(object, '.rodata');
  const memory = map === undefined ? undefined : initialValue(map);
  assert(memory !== undefined, 'the BPF object has a .rodata section');
  const variables = new Map(
    sectionVariables(object, '.rodata').map((variable) => [variable.name, variable]),
  );
  for (const [name, value] of Object.entries(values)) {
    const variable = variables.get(name);
    assert(variable !== undefined, `the BPF object has a constant ${name}`);
    const view = new DataView(memory, variable.offsetBytes, variable.sizeBytes);
    writeIntegers(view, typeof value === 'object' ? value : [value], name);
  }
}

/** Little-endian integers that share the view equally, signed or unsigned. */
export function writeIntegers(
  view: DataView,
  values: readonly (number | bigint)[],
  name: string,
): void {
  const sizeBytes = view.byteLength / values.length;
  const isWhole = [1, 2, 4, 8].includes(sizeBytes);
  assert(isWhole, `${values.length} integers make up ${name} (${view.byteLength} bytes)`);
  const bits = 8 * sizeBytes;
  values.forEach((value, index) => {
    const integer = BigInt(value);
    const fits =
      integer === BigInt.asUintN(bits, integer) || integer === BigInt.asIntN(bits, integer);
    assert(fits, `${value} fits into ${bits} bits of ${name}`);
    for (let byte = 0; byte < sizeBytes; byte++) {
      view.setUint8(
        index * sizeBytes + byte,
        Number(BigInt.asUintN(8, integer >> BigInt(8 * byte))),
      );
    }
  });
}
