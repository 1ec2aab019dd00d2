// The samples of one stream in one bucket, and their blob. Hot: one number key
// a row, typed arrays when read.
//
//   header | a series: series - previous, rows | a row: node - previous | a row: count - 1
//
// Rows are sorted by series, then node; the series before the first is -1, the
// node before a series' first is 0.

import type { BucketHeader } from './bucket.js';
import { decodeHeader, encodeHeader, mergeHeaders } from './bucket.js';
import { BrokenBlob, ByteReader, ByteWriter, decoding } from './bytes.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';

const nodeRange = 2 ** 24;

export class LiveSamples {
  readonly kind = 'samples';
  header: BucketHeader;
  /** series * 2^24 + node -> count. */
  readonly #counts = new Map<number, number>();

  constructor(header: BucketHeader) {
    this.header = header;
  }

  /** What a blob holds, to go on with; undefined when it is broken. */
  static decode(blob: Uint8Array): LiveSamples | undefined {
    const rows = decodeSamples(blob);
    if (rows === undefined) return undefined;
    const live = new LiveSamples(rows.header);
    forEachRow(rows, (series, node, count) => live.add(series, node, count));
    return live;
  }

  get sizeBytes(): number {
    return this.#counts.size * 32;
  }

  add(series: number, node: number, count: number): void {
    const key = series * nodeRange + node;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  merge(more: LiveSamples): void {
    this.header = mergeHeaders(this.header, more.header);
    for (const [key, count] of more.#counts) {
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
    }
  }

  encode(): Buffer {
    const keys = Float64Array.from(this.#counts.keys()).sort();
    const directory = new ByteWriter();
    const nodes = new ByteWriter(2 * keys.length + 16);
    const counts = new ByteWriter(keys.length + 16);
    let series = -1;
    for (let i = 0; i < keys.length;) {
      const next = Math.floor(keys[i]! / nodeRange);
      const base = next * nodeRange;
      const begin = i;
      for (let node = 0; i < keys.length && keys[i]! < base + nodeRange; i++) {
        nodes.unsigned(keys[i]! - base - node);
        counts.unsigned(this.#counts.get(keys[i]!)! - 1);
        node = keys[i]! - base;
      }
      directory.unsigned(next - series);
      directory.unsigned(i - begin);
      series = next;
    }
    return encodeEnvelope([
      encodeHeader(this.header),
      directory.finish(),
      nodes.finish(),
      counts.finish(),
    ]);
  }
}

/** **Shape**: series and seriesRows have one entry a series; nodes and counts one a row, grouped by
 *  series. */
export interface SampleRows {
  readonly header: BucketHeader;
  readonly series: readonly number[];
  readonly seriesRows: readonly number[];
  readonly nodes: Uint32Array;
  readonly counts: Float64Array;
}

/** Rows of a blob; undefined when it is broken. **Limits**: node < 2^24, series < 2^24; a
 *  row takes two bytes or more. */
export function decodeSamples(blob: Uint8Array): SampleRows | undefined {
  const streams = decodeEnvelope(blob);
  return streams && decoding(() => decodeSampleStreams(streams));
}

function decodeSampleStreams(streams: readonly Uint8Array[]): SampleRows {
  const [headerBytes, directoryBytes, nodeBytes, countBytes] = streams;
  if (directoryBytes === undefined || nodeBytes === undefined || countBytes === undefined) {
    throw new BrokenBlob('a bucket of samples has four streams');
  }
  const header = decodeHeader(headerBytes);
  const directory = new ByteReader(directoryBytes);
  const series: number[] = [];
  const seriesRows: number[] = [];
  let rows = 0;
  for (let previous = -1; !directory.isAtEnd;) {
    const delta = directory.unsigned();
    previous += delta;
    const count = directory.unsigned();
    rows += count;
    if (delta < 1 || previous >= nodeRange) {
      throw new BrokenBlob('series ascend and are below 2^24');
    }
    if (count < 1 || rows > nodeBytes.length || rows > countBytes.length) {
      throw new BrokenBlob('a directory counts the rows that are there');
    }
    series.push(previous);
    seriesRows.push(count);
  }
  const nodes = new Uint32Array(rows);
  const counts = new Float64Array(rows);
  const nodeReader = new ByteReader(nodeBytes);
  const countReader = new ByteReader(countBytes);
  for (let s = 0, row = 0; s < seriesRows.length; s++) {
    let node = 0;
    for (const end = row + seriesRows[s]!; row < end; row++) {
      node += nodeReader.unsigned();
      if (node >= nodeRange) throw new BrokenBlob('a node is below 2^24');
      nodes[row] = node;
      counts[row] = countReader.unsigned() + 1;
    }
  }
  if (!nodeReader.isAtEnd || !countReader.isAtEnd) {
    throw new BrokenBlob('a column ends with its rows');
  }
  return { header, series, seriesRows, nodes, counts };
}

/** Visits the rows of the series that `keep` accepts. */
export function forEachRow(
  rows: SampleRows,
  visit: (series: number, node: number, count: number) => void,
  keep?: (series: number) => boolean,
): void {
  const { series, seriesRows, nodes, counts } = rows;
  for (let s = 0, row = 0; s < series.length; s++) {
    const end = row + seriesRows[s]!;
    if (keep === undefined || keep(series[s]!)) {
      for (; row < end; row++) visit(series[s]!, nodes[row]!, counts[row]!);
    }
    row = end;
  }
}
