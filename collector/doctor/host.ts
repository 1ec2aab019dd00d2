// The host that the checks look at: this one, as this user.

import { accessSync, closeSync, constants, existsSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { runningKernel } from '../../bpf/kernel-gate.js';
import type { Config } from '../../config/load.js';
import { LibraryError } from '../../ffi/errno.js';
import { closeFd } from '../../ffi/libc.js';
import { libbpfVersion } from '../../ffi/libbpf.js';
import { openPerfEvent, perfType, softwareEvent } from '../../ffi/perf-event.js';
import { OperatingError } from '../../storage/model/errors.js';
import { findProbes, loadProbes } from '../agent/probes.js';
import { planSampling } from '../agent/sampling-plan.js';
import { onlineCpus } from '../host/cpus.js';
import { cgroupHierarchies } from '../process/cgroups.js';
import type { Gap, Host } from './checks.js';

/** Enough of /proc/self/mountinfo of hosts with thousands of mounts. */
const MAX_TEXT_BYTES = 1 << 20;
const events = {
  clock: { type: perfType.software, config: softwareEvent.cpuClock, period: 1_000_000_000 },
  cycles: { type: perfType.hardware, config: 0 },
} as const;

export function thisHost(config: Config): Host {
  return {
    architecture: process.arch,
    kernel: runningKernel(),
    risksFreeze: process.env['FLAMEKEEPER_RISK_FREEZE'] === '1',
    nodeVersion: process.version,
    dataDir: config.dataDir,
    text: startOf,
    libbpf,
    loadPrograms: () => loadPrograms(config),
    openEvent: (event) => {
      const opened = openPerfEvent(
        { ...events[event], flags: ['disabled'] },
        { cpu: onlineCpus()[0]! },
      );
      if ('errno' in opened) return opened.errno;
      closeFd(opened.fd);
      return undefined;
    },
    writeProblem,
  };
}

function startOf(path: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const bytes = Buffer.alloc(MAX_TEXT_BYTES);
    let length = 0;
    for (let count = -1; count !== 0 && length < MAX_TEXT_BYTES; length += count) {
      count = readSync(fd, bytes, length, MAX_TEXT_BYTES - length, null);
    }
    return bytes.toString('latin1', 0, length);
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function libbpf(): ReturnType<Host['libbpf']> {
  try {
    return { version: libbpfVersion() };
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return { problem: error.message };
  }
}

async function loadPrograms(
  config: Config,
): Promise<{ readonly notes: readonly string[] } | Gap> {
  try {
    const facts = {
      ...planSampling(config),
      cgroupHierarchies: cgroupHierarchies().ids,
      unwindFiles: config.unwind.maxFiles,
    };
    const refused: string[] = [];
    const note = (text: string) => void refused.push(text);
    const options = { verbosity: 0, log: () => undefined, note };
    const loaded = loadProbes(await findProbes(), config, facts, options);
    for (const { probe } of loaded) probe.close();
    const notes = new Set([...refused, ...loaded.flatMap(({ probe }) => probe.notes)]);
    // The limit of locked memory has a check of its own.
    return { notes: [...notes].filter((note) => !note.startsWith('RLIMIT_MEMLOCK')) };
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    return { problem: error.message.replace(/\.+$/, ''), remedy: error.hint };
  }
}

/** Of the directory, or of the first one above it that is there. */
function writeProblem(directory: string): string | undefined {
  let existing = directory;
  while (!existsSync(existing) && existing !== dirname(existing)) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `${existing} cannot be written to: ${(error as NodeJS.ErrnoException).code}`;
  }
}
