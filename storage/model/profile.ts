// A profile: stacks as a trie with values per series. The one shape in which samples leave the
// store and enter the exporters.
//
//   node      0 (root)   1        2        3
//   parent    0          0        1        1        parent < child: totals are one pass backwards
//   function  -          main     work     idle     index into `functions`
//
// A row says: these values were seen with the stack that ends (leaf) at this node, in this series.
// Stacks that were cut short hang below a node of frame type `cut`, right under the root.

import { assert } from './errors.js';
import type { FunctionInfo } from './frame.js';
import { functionKey } from './frame.js';
import { internInto } from './intern.js';
import type { SeriesInfo } from './series.js';
import { seriesKey } from './series.js';
import type { StreamInfo, ValueType } from './stream.js';
import { valueTypesOf } from './stream.js';

/** **Shape**: parents and nodeFunctions have one entry a node; rowSeries,
 *  rowNodes and each of values one a row.
 *  **Units**: values[i] in valueTypes[i]. **Limits**: nodes < 2^24,
 *  rows < 2^31, each sum < 2^53. */
export interface Profile {
  readonly name: string;
  readonly valueTypes: readonly ValueType[];
  /** One stored count in the last value type's unit; 0 when streams of several
   *  periods were merged, or none. */
  readonly period: number;
  readonly functions: readonly FunctionInfo[];
  readonly parents: Uint32Array;
  readonly nodeFunctions: Uint32Array;
  readonly series: readonly SeriesInfo[];
  readonly rowSeries: Uint32Array;
  readonly rowNodes: Uint32Array;
  readonly values: readonly Float64Array[];
}

/** Throws (assertion) when one of the invariants above does not hold. */
export function checkValid(p: Profile): void {
  const nodes = p.parents.length;
  assert(
    nodes >= 1 && p.nodeFunctions.length === nodes,
    'a profile has a root, and one function a node',
  );
  assert(p.parents[0] === 0, 'the root is its own parent');
  for (let i = 1; i < nodes; i++) {
    assert(p.parents[i]! < i, 'a parent comes before its child');
    assert(p.nodeFunctions[i]! < p.functions.length, 'a node names a function that exists');
    const isCut = p.functions[p.nodeFunctions[i]!]!.frameType === 'cut';
    assert(!isCut || p.parents[i] === 0, 'a cut stands right below the root');
  }
  assert(p.values.length === p.valueTypes.length, 'one value column a value type');
  const rows = p.rowNodes.length;
  assert(
    p.rowSeries.length === rows && p.values.every((v) => v.length === rows),
    'columns of equal length',
  );
  for (let r = 0; r < rows; r++) {
    assert(
      p.rowNodes[r]! < nodes && p.rowSeries[r]! < p.series.length,
      'a row names a node and a series that exist',
    );
  }
}

/** Sum of values[valueIndex] over all rows. */
export function totalOf(p: Profile, valueIndex = 0): number {
  return p.values[valueIndex]!.reduce((sum, v) => sum + v, 0);
}

/** Value at each node (`self`) and at it and everything below (`total`), of
 *  values[valueIndex], summed over series. */
export function nodeSums(p: Profile, valueIndex = 0): { self: Float64Array; total: Float64Array } {
  const self = new Float64Array(p.parents.length);
  const values = p.values[valueIndex]!;
  for (let r = 0; r < values.length; r++) self[p.rowNodes[r]!]! += values[r]!;
  const total = self.slice();
  for (let i = total.length - 1; i > 0; i--) total[p.parents[i]!]! += total[i]!;
  return { self, total };
}

/** Collects rows into a Profile: interns functions, series and nodes, sums equal rows. The
 *  only way to build one by hand. */
export class ProfileBuilder {
  readonly #stream: StreamInfo;
  readonly #functions: FunctionInfo[] = [];
  readonly #functionIds = new Map<string, number>();
  readonly #series: SeriesInfo[] = [];
  readonly #seriesIds = new Map<string, number>();
  readonly #parents: number[] = [0];
  readonly #nodeFunctions: number[] = [0];
  readonly #children = new Map<number, number>();
  readonly #counts = new Map<number, number>();
  readonly #scaled = new Map<number, number>();
  #period: number | undefined;

  /** `stream` gives name and value types; its period is what `add` uses unless told otherwise. */
  constructor(stream: StreamInfo) {
    this.#stream = stream;
  }

  functionId(fn: FunctionInfo): number {
    return internInto(this.#functionIds, this.#functions, functionKey(fn), fn);
  }

  seriesId(s: SeriesInfo): number {
    return internInto(this.#seriesIds, this.#series, seriesKey(s), s);
  }

  /** The child of `parent` with this function; made when new. 0 is the root. */
  node(parent: number, functionId: number): number {
    const key = parent * 2 ** 26 + functionId;
    let id = this.#children.get(key);
    if (id === undefined) {
      id = this.#parents.length;
      assert(id < 2 ** 24 && functionId < 2 ** 26, 'a profile has fewer than 2^24 nodes');
      this.#parents.push(parent);
      this.#nodeFunctions.push(functionId);
      this.#children.set(key, id);
    }
    return id;
  }

  /** Adds `count` (an integer >= 1), each worth `period`, to the row of this series and node. */
  add(series: number, node: number, count: number, period = this.#stream.period?.value ?? 0): void {
    const key = series * 2 ** 24 + node;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
    this.#scaled.set(key, (this.#scaled.get(key) ?? 0) + count * period);
    this.#period = this.#period === undefined || this.#period === period ? period : 0;
  }

  build(): Profile {
    const rows = this.#counts.size;
    const rowSeries = new Uint32Array(rows);
    const rowNodes = new Uint32Array(rows);
    const counts = new Float64Array(rows);
    const scaled = new Float64Array(rows);
    let r = 0;
    for (const [key, count] of this.#counts) {
      rowSeries[r] = Math.floor(key / 2 ** 24);
      rowNodes[r] = key % 2 ** 24;
      counts[r] = count;
      scaled[r] = this.#scaled.get(key)!;
      r++;
    }
    const valueTypes = valueTypesOf(this.#stream);
    return {
      name: this.#stream.name,
      valueTypes,
      period: this.#period ?? this.#stream.period?.value ?? 0,
      functions: this.#functions,
      parents: Uint32Array.from(this.#parents),
      nodeFunctions: Uint32Array.from(this.#nodeFunctions),
      series: this.#series,
      rowSeries,
      rowNodes,
      values: valueTypes.length === 1 ? [counts] : [counts, scaled],
    };
  }
}
