// A profile as JSON: the arrays of storage/model/profile.ts under their own names, so that
// other tools need no decoder. Written in pieces, since a large profile makes a larger
// text than one string should hold.

import type { Profile } from '../storage/model/profile.js';

const itemsAtOnce = 1000;

/** Pieces of one JSON object: `head`'s members, then the profile's. **Shape**: `nodes.parent[i] <
 *  i`, node 0 is the root; `rows.values[v][r]` is in `valueTypes[v]`. */
export function* profileJson(
  head: Readonly<Record<string, unknown>>,
  profile: Profile,
): Generator<string> {
  const { name, valueTypes, period, functions, series } = profile;
  yield JSON.stringify({ ...head, stream: name, valueTypes, period }).slice(0, -1);
  yield ',\n"functions":';
  yield* jsonArray(functions);
  yield ',\n"series":';
  yield* jsonArray(series);
  yield ',\n"nodes":{"parent":';
  yield* jsonArray(profile.parents);
  yield ',"function":';
  yield* jsonArray(profile.nodeFunctions);
  yield '},\n"rows":{"series":';
  yield* jsonArray(profile.rowSeries);
  yield ',"node":';
  yield* jsonArray(profile.rowNodes);
  yield ',"values":[';
  for (const [i, values] of profile.values.entries()) {
    if (i > 0) yield ',';
    yield* jsonArray(values);
  }
  yield ']}}\n';
}

function* jsonArray(items: readonly unknown[] | Uint32Array | Float64Array): Generator<string> {
  yield '[';
  for (let i = 0; i < items.length; i += itemsAtOnce) {
    const part = JSON.stringify(Array.from(items.slice(i, i + itemsAtOnce))).slice(1, -1);
    yield i === 0 ? part : `,${part}`;
  }
  yield ']';
}
