// Makes one Profile of the rows of several segments, each with ids of its own: only nodes
// that rows need, with their ancestors, renumbered. Equal functions and series of
// different segments become one.

import type { FunctionInfo } from './model/frame.js';
import { functionKey } from './model/frame.js';
import { internInto } from './model/intern.js';
import type { Profile } from './model/profile.js';
import type { SeriesInfo } from './model/series.js';
import { seriesKey } from './model/series.js';
import type { StreamInfo } from './model/stream.js';
import { valueTypesOf } from './model/stream.js';
import { RowTable } from './row-table.js';
import { lostFunction } from './segment/codecs.js';
import type { Dictionary } from './segment/dictionary.js';
import { lostFrame, Trie } from './segment/trie.js';

export class ProfileMerger {
  readonly #trie = new Trie();
  readonly #rows = new RowTable();
  readonly #functions: FunctionInfo[] = [];
  /** Made when a second dictionary comes: the functions of one are distinct
   *  already, and their keys cost most. */
  #functionIds: Map<string, number> | undefined;
  #dictionary: Dictionary | undefined;
  /** Frame of that dictionary -> our function + 1; 0 for none yet. */
  #frames = new Uint32Array(0);
  readonly #series: SeriesInfo[] = [];
  readonly #seriesIds = new Map<string, number>();
  readonly #periods = new Set<number>();

  /** Adds the rows of one stream of one segment. */
  add(stream: StreamInfo, rows: RowTable, dictionary: Dictionary): void {
    const period = stream.period?.value ?? 0;
    this.#periods.add(period);
    this.#use(dictionary);
    const nodes = this.#mapNodes(rows, dictionary);
    const series = new Map<number, number>();
    for (let row = 0; row < rows.size; row++) {
      const from = rows.series[row]!;
      let id = series.get(from);
      if (id === undefined) {
        const info = dictionary.seriesAt(from);
        id = internInto(this.#seriesIds, this.#series, seriesKey(info), info);
        series.set(from, id);
      }
      const count = rows.counts[row]!;
      this.#rows.add(
        id,
        nodes[Math.min(rows.nodes[row]!, dictionary.trie.size)]!,
        count,
        count * period,
      );
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

  #use(dictionary: Dictionary): void {
    if (dictionary === this.#dictionary) return;
    if (this.#dictionary !== undefined) {
      this.#functionIds ??= new Map(this.#functions.map((fn, id) => [functionKey(fn), id]));
    }
    this.#dictionary = dictionary;
    this.#frames = new Uint32Array(dictionary.frameCount + 1);
  }

  #functionId(frame: number, dictionary: Dictionary): number {
    const fn = dictionary.functionAt(frame);
    // All that is lost shares the last entry.
    const entry = fn === lostFunction ? dictionary.frameCount : frame;
    let id = this.#frames[entry]! - 1;
    if (id < 0) {
      if (this.#functionIds === undefined) id = this.#functions.push(fn) - 1;
      else id = internInto(this.#functionIds, this.#functions, functionKey(fn), fn);
      this.#frames[entry] = id + 1;
    }
    return id;
  }

  /** Segment node -> our node, for the nodes that rows need. The entry past the last
   *  is for ids that do not exist. */
  #mapNodes(rows: RowTable, dictionary: Dictionary): Uint32Array {
    const { parents, frames, size } = dictionary.trie;
    const isUsed = new Uint8Array(size + 1);
    for (let row = 0; row < rows.size; row++) isUsed[Math.min(rows.nodes[row]!, size)] = 1;
    for (let id = size - 1; id > 0; id--) {
      if (isUsed[id] === 1) isUsed[parents[id]!] = 1;
    }
    const nodes = new Uint32Array(size + 1);
    for (let id = 1; id < size; id++) {
      if (isUsed[id] === 0) continue;
      const fn = this.#functionId(frames[id]!, dictionary);
      const isCut = this.#functions[fn]!.frameType === 'cut';
      nodes[id] = this.#trie.child(isCut ? 0 : nodes[parents[id]!]!, fn);
    }
    if (isUsed[size] === 1) {
      nodes[size] = this.#trie.child(0, this.#functionId(lostFrame, dictionary));
    }
    return nodes;
  }
}
