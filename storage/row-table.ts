// Sums counts by (series, node) in typed arrays: an hour of a busy host is some million additions.

import { hashPair } from './segment/hash.js';

const firstCapacity = 1024;

/** **Shape**: the columns are valid below `size`, one entry a distinct (series, node), in the order
 *  first seen. */
export class RowTable {
  size = 0;
  series = new Uint32Array(firstCapacity);
  nodes = new Uint32Array(firstCapacity);
  counts = new Float64Array(firstCapacity);
  scaled = new Float64Array(firstCapacity);
  /** Open addressing, row + 1 or 0 for free. */
  #slots = new Int32Array(firstCapacity * 2);

  /** `scaled` is what the count makes in the period's unit. */
  add(series: number, node: number, count: number, scaled: number): void {
    const { series: seriesColumn, nodes } = this;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashPair(series, node) & mask;
    for (let entry = slots[slot]!; entry !== 0; entry = slots[slot]!) {
      const row = entry - 1;
      if (nodes[row] === node && seriesColumn[row] === series) {
        this.counts[row]! += count;
        this.scaled[row]! += scaled;
        return;
      }
      slot = (slot + 1) & mask;
    }
    const row = this.size++;
    slots[slot] = row + 1;
    seriesColumn[row] = series;
    nodes[row] = node;
    this.counts[row] = count;
    this.scaled[row] = scaled;
    if (this.size === seriesColumn.length) this.#grow();
  }

  #grow(): void {
    const capacity = this.series.length * 2;
    this.series = grown(this.series, new Uint32Array(capacity));
    this.nodes = grown(this.nodes, new Uint32Array(capacity));
    this.counts = grown(this.counts, new Float64Array(capacity));
    this.scaled = grown(this.scaled, new Float64Array(capacity));
    const slots = new Int32Array(capacity * 2);
    const mask = slots.length - 1;
    for (let row = 0; row < this.size; row++) {
      let slot = hashPair(this.series[row]!, this.nodes[row]!) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = row + 1;
    }
    this.#slots = slots;
  }
}

function grown<T extends Uint32Array | Float64Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
