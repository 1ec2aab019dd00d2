// What sysfs says of a performance monitoring unit -> numbers for perf_event_open. Pure; a text that
// makes no sense is a reason, never a throw.
// Source: Documentation/ABI/testing/sysfs-bus-event_source-devices-{format,events}.

/** Where the bits of a format's value go: `config1:0-7,32` from the lowest on. */
export interface PmuFormat {
  readonly field: PmuField;
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
}

export type PmuField = 'config' | 'config1' | 'config2';
export type PmuConfig = Readonly<Record<PmuField, bigint>>;

/** `umask=0x1`, `inv`: what an event or a user sets. */
export interface PmuTerm {
  readonly name: string;
  readonly value: bigint;
}

const MAX_TERMS = 32;

export function parsePmuFormat(text: string): PmuFormat | undefined {
  const match = /^(config[12]?):(\d{1,2}(?:-\d{1,2})?(?:,\d{1,2}(?:-\d{1,2})?)*)\s*$/.exec(text);
  if (match === null) return undefined;
  const ranges = match[2]!.split(',').map((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return { first, last };
  });
  if (ranges.some(({ first, last }) => last < first || last > 63)) return undefined;
  return { field: match[1] as PmuField, ranges };
}

/** `event=0x3c,umask=0,inv`; a term without a value is 1. */
export function parsePmuTerms(text: string): readonly PmuTerm[] | undefined {
  const words = text.trim().split(',', MAX_TERMS + 1);
  if (words.length > MAX_TERMS) return undefined;
  const terms = words.map((word) => {
    const match = /^(\w[\w.-]{0,63})(?:=(0x[\da-fA-F]{1,16}|\d{1,19}))?$/.exec(word.trim());
    return match === null ? undefined : { name: match[1]!, value: BigInt(match[2] ?? 1) };
  });
  return terms.every((term) => term !== undefined) ? terms : undefined;
}

/** Terms in their places; or the sentence that says what is wrong. `config`, `config1` and
 *  `config2` are terms of every unit. */
export function encodePmuTerms(
  terms: readonly PmuTerm[],
  formatOf: (term: string) => PmuFormat | undefined,
): PmuConfig | string {
  const config = { config: 0n, config1: 0n, config2: 0n };
  for (const { name, value } of terms) {
    if (name === 'config' || name === 'config1' || name === 'config2') {
      config[name] |= BigInt.asUintN(64, value);
      continue;
    }
    const format = formatOf(name);
    if (format === undefined) return 'the unit has no such event or term';
    let rest = value;
    for (const { first, last } of format.ranges) {
      const bits = BigInt(last - first + 1);
      config[format.field] |= BigInt.asUintN(Number(bits), rest) << BigInt(first);
      rest >>= bits;
    }
    if (rest !== 0n) return `${name}=${value} is too large`;
  }
  return config;
}
