// How complete data is. Each flush keeps a header of named, signed, summable counters; this page
// gives them meaning. A new reason of loss is a new name, not a new format:
//   expected, captured, idle, not_fired, lost.REASON      samples, in ticks
//   stacks.complete, stacks.cut.REASON                    of those captured
//   recorded, lost.REASON                                 events
//   captured, folded, lost.REASON                         metrics: delays; values summed in (other)

/** Name -> sum. Values are integers, |v| < 2^53; `not_fired` may be negative (a late
 *  tick takes its period back). */
export type Counters = Readonly<Record<string, number>>;

export function addCounters(into: Record<string, number>, more: Counters): void {
  for (const [name, value] of Object.entries(more)) into[name] = (into[name] ?? 0) + value;
}

/** Samples or events of the host over a window, whatever the filter. */
export interface Completeness {
  /** Hz x CPUs x time, or the events the kernel counted. */
  readonly expected: number;
  readonly captured: number;
  readonly idle: number;
  readonly notFired: number;
  readonly lost: Readonly<Record<string, number>>;
  /** expected - captured - idle - notFired - lost: shown, never hidden. */
  readonly unexplained: number;
  /** Buckets inside the window that hold nothing (daemon not running) or could not be read. */
  readonly missingBuckets: number;
  readonly brokenBlobs: number;
  /** Where the captured samples' stacks end; absent for events, and for samples from before it was
   *  counted. */
  readonly stacks?: StackEnds;
}

export interface StackEnds {
  /** Stacks that reach their thread's first frame. */
  readonly complete: number;
  /** Stacks that end early, by reason. */
  readonly cut: Readonly<Record<string, number>>;
}

export function completenessOf(
  counters: Counters,
  gaps: { missingBuckets: number; brokenBlobs: number },
): Completeness {
  const lost = named(counters, 'lost.');
  const lostSum = Object.values(lost).reduce((sum, value) => sum + value, 0);
  const cut = named(counters, 'stacks.cut.');
  const complete = counters['stacks.complete'] ?? 0;
  const hasStacks = complete > 0 || Object.keys(cut).length > 0;
  const captured = counters['captured'] ?? 0;
  const idle = counters['idle'] ?? 0;
  const notFired = counters['not_fired'] ?? 0;
  const expected = counters['expected'] ?? captured + idle + notFired + lostSum;
  return {
    expected,
    captured,
    idle,
    notFired,
    lost,
    unexplained: expected - captured - idle - notFired - lostSum,
    ...gaps,
    ...(hasStacks && { stacks: { complete, cut } }),
  };
}

/** Those that are not 0, without the prefix. */
function named(counters: Counters, prefix: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counters)
      .filter(([name, value]) => name.startsWith(prefix) && value !== 0)
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
