// Text to numbers, the way people write them in options and configuration files: 10s, 30d,
// 64MiB, 0-3,8. Every parser gives undefined for what it does not understand.

const durationUnitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 86400e3,
};
const sizeUnitsBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
};

/** Highest CPU number an option may name; Linux is built for at most 8192. */
const maxCpu = 8191;

/** `10s`, `1h30m`, `1.5s`, `250us` -> ms. A unit is required. **Limits**: below 100 years. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(?:\d{1,9}(?:\.\d{1,3})?(?:[mun]?s|m|h|d)){1,5}$/.test(text)) return undefined;
  let sumMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)([mun]s|[smhd])/g)) {
    sumMs += Number(amount) * durationUnitsMs[unit!]!;
  }
  return sumMs < 100 * 365 * durationUnitsMs['d']! ? sumMs : undefined;
}

/** `64MiB`, `1.5GiB`, `500 MB`, `4096` -> bytes. **Limits**: an integer below 2^53. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?([KMG]i?B|B|)$/.exec(text);
  if (match === null) return undefined;
  const sizeBytes = Math.round(Number(match[1]) * sizeUnitsBytes[match[2]!]!);
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

/** `all`, or a list of CPU numbers and ranges as the kernel writes them:
 *  `0-3,8`. Sorted, without doubles. */
export function parseCpuList(text: string): 'all' | readonly number[] | undefined {
  if (text === 'all') return 'all';
  if (text.length > 4096 || !/^\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*$/.test(text)) {
    return undefined;
  }
  const cpus = new Set<number>();
  for (const part of text.split(',')) {
    const [first, last = first] = part.split('-').map(Number) as [number, number?];
    if (last < first || last > maxCpu) return undefined;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

/** `0660` -> 0o660. Three or four octal digits. */
export function parseFileMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? parseInt(text, 8) : undefined;
}
