// A writer to be killed: flush after flush as fast as it can, each acknowledged on stdout by its
// number once commit() has returned. Flush i holds one event of pid i and one sample.
//
//   node writer-child.js DIR FIRST

import { writeSync } from 'node:fs';
import { exec, execEvents, noon, openStore, second, series, writeFlush } from './support.js';

const [dir, first] = process.argv.slice(2) as [string, string];
const store = openStore(dir, { maxNodes: 150 });

for (let i = Number(first); ; i++) {
  const startUnixNs = noon + (BigInt(i) * second) / 5n;
  const rows = [{ series: series(`s${i % 40}`), stack: `main;f${i % 7};g${i % 1000}`, count: 1 }];
  const events = { stream: exec, columns: execEvents([0], i) };
  if (writeFlush(store, { startUnixNs, lengthNs: second / 5n, rows, events }).isDurable)
    writeSync(1, `${i}\n`);
}
