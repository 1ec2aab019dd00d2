// Boots a kernel of Debian in qemu without KVM, two CPUs, and gives what the guest's tests said.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildKnownProgram, buildProgram } from '../support/programs.js';
import { parseReports, type Report } from './guest/report.js';
import { writeImage } from './image.js';

const bootMs = 12 * 60_000;
const withoutFramePointers = ['-O1', '-fomit-frame-pointer', '-fno-optimize-sibling-calls'];
const memory = '2560M';
const diskBytes = 64 << 20;
/** A pattern of the guest's test files to run alone. */
const wanted = process.env['GUEST_TESTS'];
/** As scripts/kernels.mjs has it. */
const cache = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'flamekeeper/kernels',
);

/** A test for the kernel of a Debian release, with one subtest for each test of the guest. */
export function testKernel(suite: string): void {
  test(`the kernel of Debian ${suite}`, async (t) => {
    const kernelFolder = join(cache, suite);
    assert.ok(
      existsSync(join(kernelFolder, 'release')),
      '`npm run test:kernels` fetches the kernel first',
    );
    const { reports, console } = await boot(kernelFolder);
    for (const report of reports) {
      if (report.kind === 'figure') t.diagnostic(report.text);
      else if (report.kind === 'skip')
        await t.test(report.name, { skip: report.reason }, () => undefined);
      else if (report.kind === 'fail') await t.test(report.name, () => failAs(report.error));
      else if (report.kind === 'pass')
        await t.test(`${report.name} (${report.seconds.toFixed(1)} s)`, () => undefined);
    }
    assert.equal(reports.at(-1)?.kind, 'end', `the guest came to its end; its console: ${console}`);
    assert.ok(
      reports.some(({ kind }) => kind === 'pass'),
      'tests ran',
    );
  });
}

/** With the guest's stack instead of ours. */
function failAs(text: string): never {
  const error = new Error(text);
  error.stack = text;
  throw error;
}

interface Outcome {
  readonly reports: readonly Report[];
  readonly console: string;
}

async function boot(kernelFolder: string): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'fk-kernels-'));
  try {
    const image = join(folder, 'image');
    const [consoleFile, reportFile] = [join(folder, 'console'), join(folder, 'report')];
    const disk = join(folder, 'disk');
    writeImage({ path: image, kernelFolder, programs: buildPrograms() });
    writeFileSync(disk, '');
    truncateSync(disk, diskBytes);
    await runQemu(join(kernelFolder, 'vmlinuz'), { image, disk, serialFiles: [consoleFile, reportFile] });
    const console = readFileSync(consoleFile, 'utf8');
    return { reports: parseReports(readFileSync(reportFile, 'utf8')), console };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function buildPrograms(): Record<string, string> {
  return {
    'known-fp': buildKnownProgram('known-fp'),
    'known-nofp': buildProgram('known-program.c', 'known-nofp', withoutFramePointers),
    storm: buildProgram('storm.c', 'storm-guest', ['-O1']),
    pinned: buildProgram('pinned.c', 'pinned-guest', ['-O1']),
    'block-io': buildProgram('block-io.c', 'block-io-guest', ['-O1']),
  };
}

interface Files {
  readonly image: string;
  readonly disk: string;
  readonly serialFiles: readonly string[];
}

async function runQemu(kernel: string, { image, disk, serialFiles }: Files): Promise<void> {
  const machine = [
    '-machine',
    'q35',
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    'max',
    '-smp',
    '2',
    '-m',
    memory,
  ];
  const devices = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'];
  const drive = [
    '-drive',
    `if=none,id=disk,format=raw,file=${disk},cache=writeback,discard=unmap`,
    '-device',
    // No tables of descriptors, and few of them: large requests come back for want of room.
    'virtio-blk-pci,drive=disk,indirect_desc=off,queue-size=32,num-queues=1',
  ];
  const lines = serialFiles.flatMap((path) => ['-serial', `file:${path}`]);
  const boot = [
    '-kernel',
    kernel,
    '-initrd',
    image,
    '-append',
    `console=ttyS0 loglevel=4 panic=-1 clocksource=tsc tsc=reliable${wanted === undefined ? '' : ` GUEST_TESTS=${wanted}`}`,
  ];
  const args = [...machine, ...devices, ...drive, ...lines, ...boot];
  const qemu = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const timer = setTimeout(() => qemu.kill('SIGKILL'), bootMs);
  const [code, signal] = (await once(qemu, 'exit')) as [number | null, string | null];
  clearTimeout(timer);
  assert.equal(signal, null, `qemu ends within ${bootMs / 60_000} minutes`);
  assert.equal(code, 0, 'qemu ends well');
}
