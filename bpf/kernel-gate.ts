// Kernels on which bpf_probe_read_user() from an interrupt can freeze the host: 5.19 up to 6.4,
// mended in 6.1.36 and 6.3.10. Source: kernel commit d319f344561d ("mm: Fix
// copy_from_user_nofault()") and its back-ports.

import { readFileSync } from 'node:fs';
import { release, version } from 'node:os';
import { OperatingError } from '../storage/model/errors.js';

type Version = readonly [major: number, minor: number, patch: number];

/** What a kernel tells about itself. A distribution's release hides the upstream
 *  version in one of the other two. */
export interface KernelIdentity {
  /** uname -r: `6.1.0-35-amd64`. */
  readonly release: string;
  /** uname -v: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.137-1 (2025-05-07)`. */
  readonly version: string;
  /** /proc/version_signature, Ubuntu's: `Ubuntu
   *  6.2.0-39.40~22.04.1-generic 6.2.16`; '' for none. */
  readonly versionSignature: string;
}

/** The upstream version this kernel is made from; undefined when nothing
 *  in it looks like a version. */
export function upstreamVersion(kernel: KernelIdentity): Version | undefined {
  return (
    parseVersion(/ (\d+\.\d+\.\d+)\s*$/.exec(kernel.versionSignature)?.[1]) ??
    parseVersion(/\bDebian (\d+\.\d+\.\d+)/.exec(kernel.version)?.[1]) ??
    parseVersion(/^\d+\.\d+(\.\d+)?/.exec(kernel.release)?.[0])
  );
}

/** True inside the range. A kernel that tells no version is not held back. */
export function canFreeze(kernel: KernelIdentity): boolean {
  const found = upstreamVersion(kernel);
  if (found === undefined) return false;
  const [major, minor, patch] = found;
  if (major === 5) return minor >= 19;
  if (major !== 6 || minor >= 4) return false;
  if (minor === 1) return patch < 36;
  if (minor === 3) return patch < 10;
  return true;
}

/** Call before the first load. **Errors**: `kernel-freezes`, unless FLAMEKEEPER_RISK_FREEZE=1. */
export function refuseFreezingKernel(kernel: KernelIdentity = runningKernel()): void {
  if (!canFreeze(kernel) || process.env['FLAMEKEEPER_RISK_FREEZE'] === '1') return;
  const name = upstreamVersion(kernel)?.join('.') ?? kernel.release;
  throw new OperatingError(
    'kernel-freezes',
    `kernel ${name} can freeze the host when a profiler reads user memory; ` +
      '6.1.36, 6.3.10 and 6.4 are mended',
  );
}

export function runningKernel(): KernelIdentity {
  return {
    release: release(),
    version: version(),
    versionSignature: readOrEmpty('/proc/version_signature'),
  };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function parseVersion(text: string | undefined): Version | undefined {
  if (text === undefined) return undefined;
  const [major = 0, minor = 0, patch = 0] = text.split('.').map(Number);
  return [major, minor, patch];
}
