// Numbers for people. Machines get them plain, with --json.

import { groupDigits } from '../exporters/formats/text.js';

/** `12.3 %`; `-` when there is no whole to be a part of. */
export function formatPercent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** `64.0 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(
    units.length - 1,
    Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)),
  );
  return step === 0 ? `${bytes} B` : `${(bytes / 2 ** (10 * step)).toFixed(1)} ${units[step]}`;
}

/** `3d 4h`, `12.5ms`, `850ns`: the two largest units from a minute up, else three digits. */
export function formatDurationNs(ns: number): string {
  const seconds = ns / 1e9;
  if (seconds >= 86400) {
    return `${Math.floor(seconds / 86400)}d ${Math.floor((seconds % 86400) / 3600)}h`;
  }
  if (seconds >= 3600) {
    return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  }
  if (seconds >= 60) return `${Math.floor(seconds / 60)}m ${Math.floor(seconds % 60)}s`;
  if (ns >= 1e9) return `${seconds.toPrecision(3)}s`;
  if (ns >= 1e6) return `${(ns / 1e6).toPrecision(3)}ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toPrecision(3)}us`;
  return `${ns}ns`;
}

/** `frame pointer 12, depth 3`: the largest first; reasons as words. */
export function formatReasons(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason.replaceAll(/[_-]/g, ' ')} ${groupDigits(count)}`)
    .join(', ');
}
