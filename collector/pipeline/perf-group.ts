// What read(2) gives of a group of perf events -> what was counted since the last read. Pure.
//
//   nr | time enabled | time running | value 0 | value 1 ...      u64 each, all since the start
//
// A group that must share the hardware runs for a part of the time that it is enabled; what it
// counted is scaled up to the whole.
// Source: perf_event_open(2), PERF_FORMAT_GROUP.

export interface GroupCounts {
  readonly enabledNs: bigint;
  readonly runningNs: bigint;
  readonly values: readonly bigint[];
}

/** One event's count since the last read. **Units**: `count` scaled and whole. */
export interface GroupDelta {
  readonly enabledNs: number;
  readonly runningNs: number;
  readonly counts: readonly number[];
  /** Counts that went backwards: 0 among `counts`. */
  readonly backwards: number;
}

const HEAD_BYTES = 24;

/** undefined: not what a group of so many events gives (an event in error gives nothing). */
export function parseGroupRead(bytes: Buffer, events: number): GroupCounts | undefined {
  if (bytes.length !== HEAD_BYTES + 8 * events) return undefined;
  if (bytes.readBigUInt64LE(0) !== BigInt(events)) return undefined;
  const values = Array.from({ length: events }, (_, i) =>
    bytes.readBigUInt64LE(HEAD_BYTES + 8 * i),
  );
  return { enabledNs: bytes.readBigUInt64LE(8), runningNs: bytes.readBigUInt64LE(16), values };
}

/** undefined: the group did not run at all though it was enabled, so nothing is known of what
 *  happened; it is carried over to the next read. */
export function groupDelta(before: GroupCounts, now: GroupCounts): GroupDelta | undefined {
  const enabledNs = Number(now.enabledNs - before.enabledNs);
  const runningNs = Number(now.runningNs - before.runningNs);
  if (enabledNs < 0 || runningNs < 0 || (runningNs === 0 && enabledNs > 0)) return undefined;
  const scale = runningNs > 0 && runningNs < enabledNs ? enabledNs / runningNs : 1;
  const counted = now.values.map((value, i) => Number(value - (before.values[i] ?? 0n)) * scale);
  const counts = counted.map((count) =>
    Math.min(Math.max(0, Math.round(count)), Number.MAX_SAFE_INTEGER),
  );
  return { enabledNs, runningNs, counts, backwards: counted.filter((count) => count < 0).length };
}
