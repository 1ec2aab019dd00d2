// kill -9 again and again at 200 ms flushes under load, two of three times inside a commit. How that is
// known: a preloaded library stands in SQLite's write or sync of the segment's log when the kill comes
// (test/fixtures/stall-commit.c).
//
//   node dist/bench/kill.js [--kills 60] [--quick]

import { KilledDaemon } from '../test/support/kills.js';
import type { Death } from '../test/support/kills.js';
import { buildKnownProgram, buildProgram } from '../test/support/programs.js';
import { startProgram } from './observe.js';
import { atEnd, printFigure, printNote, printTitle, readOptions } from './support.js';

const { kills } = readOptions({ kills: 60 }, { kills: 12 });
const forever = '1000000';

printTitle('kill', { kills });
const stallLibrary = buildProgram('stall-commit.c', 'stall-commit.so', ['-shared', '-fPIC']);
const storm = buildProgram('storm.c', 'storm', ['-O1']);
startProgram(buildKnownProgram('spinner'), [forever]);
startProgram(storm, [forever, '100', '1000', storm]);

const daemon = new KilledDaemon(['--frequency', '199', '--interval', '200ms'], stallLibrary);
atEnd(() => daemon.remove());
const ways = { anywhere: [] as Death[], write: [] as Death[], sync: [] as Death[] };
for (let n = 0; n < kills; n++) {
  if (n % 3 === 0) ways.anywhere.push(await daemon.killAfter(400 + ((n * 373) % 1500)));
  else if (n % 3 === 1) ways.write.push(await daemon.killInside('write', 30 + ((n * 37) % 101)));
  else ways.sync.push(await daemon.killInside('sync', 4 + (n % 6)));
}
const atTheEnd = await daemon.finish();

const deaths = Object.values(ways).flat();
const all = (what: 'lostOrDoubled' | 'damaged' | 'leftBehind') => deaths.flatMap((death) => death[what]);
const sum = (what: 'acknowledged' | 'storedUntold' | 'kernelObjects' | 'perfEvents', of = deaths) =>
  of.reduce((total, death) => total + death[what], 0);
printFigure('kills', deaths.length, '');
printFigure('  of them inside a commit', ways.write.length + ways.sync.length, '', {
  atLeast: Math.min(10, kills / 6),
});
printFigure('flushes acknowledged', sum('acknowledged'), '');
printFigure('sums that are not what was acknowledged', all('lostOrDoubled').length, '', {
  atMost: 0,
});
printFigure('segments or blobs damaged', all('damaged').length, '', { atMost: 0 });
printFigure('programs, maps, links and pins left behind', all('leftBehind').length, '', { atMost: 0 });
printFigure('wrong after the last restart and a good end', atTheEnd.length, '', { atMost: 0 });
printNote(
  `${daemon.samples} samples kept; before the deaths ${sum('kernelObjects')} kernel objects and ` +
    `${sum('perfEvents')} perf events were held`,
);
const untold = Object.entries(ways).map(([way, of]) => `${way} ${sum('storedUntold', of)} of ${of.length}`);
printNote(`flushes found stored that were not yet acknowledged: ${untold.join(', ')}`);
for (const sentence of [...all('lostOrDoubled'), ...all('damaged'), ...all('leftBehind'), ...atTheEnd])
  printNote(sentence);
process.exit();
