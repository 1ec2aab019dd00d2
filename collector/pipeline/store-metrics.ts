// Histograms, counters and gauges of a flush on their way into the store. (back)

import type { FlushWriter } from '../../storage/model/writer.js';
import type { FlushMessage, HistogramColumns } from '../messages.js';

/** Adds the metrics of the message to the writer; their headers are written with all streams'. */
export function storeMetrics(message: FlushMessage, writer: FlushWriter): void {
  for (const { stream, columns } of message.metrics) {
    const id = writer.streamId(message.streams[stream]!.info);
    for (const [row, values] of columns.keys.entries()) {
      const key = writer.keyId(id, values);
      switch (columns.kind) {
        case 'histogram':
          writer.histogram(id, key, histogramAt(columns, row));
          break;
        case 'counter':
          writer.counter(id, key, columns.values[row]!);
          break;
        case 'gauge':
          writer.gauge(id, key, columns.values[row]!, columns.decimals);
          break;
      }
    }
  }
}

function histogramAt({ starts, slots, counts, totals, sumsNs }: HistogramColumns, row: number) {
  const [from, to] = [starts[row]!, starts[row + 1]!];
  return {
    slots: slots.subarray(from, to),
    counts: counts.subarray(from, to),
    count: totals[row]!,
    sumNs: sumsNs[row]!,
  };
}
