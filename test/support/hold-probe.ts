// Holds the hooks fixture (argv[2]) attached until it is killed; prints the ids of what it has in the kernel.

import { idsOf, loadFixture, requiredHook } from './bpf-fixture.js';

const [, , objectPath = ''] = process.argv;
const probe = loadFixture(objectPath, [requiredHook('works')]);
probe.openGate();
process.stdout.write(`${JSON.stringify(idsOf(probe))}\n`);
setInterval(() => {}, 1000);
