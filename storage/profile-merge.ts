// Makes one Profile of the rows of several segments, each with ids of its own: only nodes that rows need,
// with their ancestors, renumbered. Equal functions and series of different segments become one.

import type { FunctionInfo } from './model/frame.js';
import { functionKey } from './model/frame.js';
import type { Profile } from './model/profile.js';
import type { SeriesInfo } from './model/series.js';
import { seriesKey } from './model/series.js';
import type { StreamInfo } from './model/stream.js';
import { valueTypesOf } from './model/stream.js';
import { RowTable } from './row-table.js';
import type { Dictionary } from './segment/dictionary.js';
import { lostFrame, Trie } from './segment/trie.js';

export class ProfileMerger {
  readonly #trie = new Trie();
  readonly #rows = new RowTable();
  readonly #functions: FunctionInfo[] = [];
  readonly #functionIds = new Map<string, number>();
  readonly #series: SeriesInfo[] = [];
  readonly #seriesIds = new Map<string, number>();
  readonly #periods = new Set<number>();

  /** Adds the rows of one stream of one segment. */
  add(stream: StreamInfo, rows: RowTable, dictionary: Dictionary): void {
    const period = stream.period?.value ?? 0;
    this.#periods.add(period);
    const nodes = this.#mapNodes(rows, dictionary);
    const series = new Map<number, number>();
    for (let row = 0; row < rows.size; row++) {
      const from = rows.series[row]!;
      let id = series.get(from);
      if (id === undefined) {
        const info = dictionary.seriesAt(from);
        id = idIn(this.#seriesIds, this.#series, seriesKey(info), info);
        series.set(from, id);
      }
      const count = rows.counts[row]!;
      this.#rows.add(id, nodes[Math.min(rows.nodes[row]!, dictionary.trie.size)]!, count, count * period);
    }
  }

  /** `stream` gives name and value types. */
  build(stream: StreamInfo): Profile {
    const { series, nodes, counts, scaled, size } = this.#rows;
    const valueTypes = valueTypesOf(stream);
    const columns = valueTypes.length === 1 ? [counts] : [counts, scaled];
    return {
      name: stream.name,
      valueTypes,
      period: this.#periods.size === 1 ? [...this.#periods][0]! : 0,
      functions: this.#functions,
      parents: this.#trie.parents.slice(0, this.#trie.size),
      nodeFunctions: this.#trie.frames.slice(0, this.#trie.size).fill(0, 0, 1),
      series: this.#series,
      rowSeries: series.slice(0, size),
      rowNodes: nodes.slice(0, size),
      values: columns.map((column) => column.slice(0, size)),
    };
  }

  /** Segment node -> our node, for the nodes that rows need. The entry past the last is for ids that do
   *  not exist. */
  #mapNodes(rows: RowTable, dictionary: Dictionary): Uint32Array {
    const { parents, frames, size } = dictionary.trie;
    const isUsed = new Uint8Array(size + 1);
    for (let row = 0; row < rows.size; row++) isUsed[Math.min(rows.nodes[row]!, size)] = 1;
    for (let id = size - 1; id > 0; id--) {
      if (isUsed[id] === 1) isUsed[parents[id]!] = 1;
    }
    const functions = new Map<number, number>();
    const functionId = (frame: number) => {
      let id = functions.get(frame);
      if (id === undefined) {
        const fn = dictionary.functionAt(frame);
        id = idIn(this.#functionIds, this.#functions, functionKey(fn), fn);
        functions.set(frame, id);
      }
      return id;
    };
    const nodes = new Uint32Array(size + 1);
    for (let id = 1; id < size; id++) {
      if (isUsed[id] === 0) continue;
      const fn = functionId(frames[id]!);
      const isCut = this.#functions[fn]!.frameType === 'cut';
      nodes[id] = this.#trie.child(isCut ? 0 : nodes[parents[id]!]!, fn);
    }
    if (isUsed[size] === 1) nodes[size] = this.#trie.child(0, functionId(lostFrame));
    return nodes;
  }
}

function idIn<T>(ids: Map<string, number>, list: T[], key: string, item: T): number {
  let id = ids.get(key);
  if (id === undefined) {
    id = list.length;
    list.push(item);
    ids.set(key, id);
  }
  return id;
}
