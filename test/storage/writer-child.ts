// A writer to be killed: flush after flush as fast as it can, each acknowledged on stdout by its
// number once commit() has returned. Flush i holds one event of pid i, one sample, one delay of i ns
// and 1 of a counter.
//
//   node writer-child.js DIR FIRST

import { writeSync } from 'node:fs';
import { exec, execEvents, faults, noon, openStore, runq, second, series } from './support.js';
import { writeFlush } from './support.js';

const [dir, first] = process.argv.slice(2) as [string, string];
const store = openStore(dir, { maxNodes: 60 });

for (let i = Number(first); ; i++) {
  const startUnixNs = noon + (BigInt(i) * second) / 5n;
  const rows = [{ series: series(`s${i % 40}`), stack: `main;f${i % 7};g${i % 1000}`, count: 1 }];
  const events = { stream: exec, columns: execEvents([0], i) };
  const metrics = [
    { stream: runq, rows: [{ key: [i % 50, 'a', '/'], values: [i] }] },
    { stream: faults, rows: [{ key: [i % 50, 'sda'], values: [1] }] },
  ];
  if (writeFlush(store, { startUnixNs, lengthNs: second / 5n, rows, events, metrics }).isDurable)
    writeSync(1, `${i}\n`);
}
