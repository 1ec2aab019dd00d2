// The kernel's own tracer as an observer of the tracepoints that our programs look at: an instance
// of its own, so that nobody else's tracing is changed.
// Source: Documentation/trace/ftrace.rst.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = '/sys/kernel/tracing/instances';
const bufferKb = 16_384;

/** `skip` of tests that need it. */
export const skipWithoutFtrace: string | false = existsSync(root) ? false : 'needs tracefs at /sys/kernel/tracing';

export interface TraceEvent {
  /** By CLOCK_MONOTONIC, to the microsecond. */
  readonly us: number;
  readonly name: string;
  /** As the event's format prints it. */
  readonly text: string;
}

/** Of a name like `block/block_rq_merge`, which older kernels lack. */
export function hasTracepoint(name: string): boolean {
  return existsSync(join(root, '../events', name));
}

/** The events of these names, like `sched/sched_switch`, while something works; in order of time.
 *  **Errors**: throws where the tracer has lost some. */
export async function traceEvents(names: readonly string[], work: () => Promise<unknown>): Promise<TraceEvent[]> {
  const instance = join(root, `fk-${process.pid}`);
  const put = (file: string, text: string) => writeFileSync(join(instance, file), text);
  mkdirSync(instance);
  try {
    put('buffer_size_kb', String(bufferKb));
    put('trace_clock', 'mono');
    for (const name of names) put(`events/${name}/enable`, '1');
    await work();
    put('tracing_on', '0');
    return parseTrace(readFileSync(join(instance, 'trace'), 'utf8'));
  } finally {
    rmdirSync(instance);
  }
}

/** `TASK-TID [CPU] FLAGS SECONDS.MICROSECONDS: NAME: TEXT`. */
function parseTrace(trace: string): TraceEvent[] {
  const [, kept, written] = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/.exec(trace) ?? [];
  assert.ok(kept !== undefined && kept === written, `the tracer kept ${kept} events of ${written}`);
  return [...trace.matchAll(/^[^#\n].*? (\d+)\.(\d{6}): (\w+): (.*)$/gm)].map(
    ([, seconds, fraction, name, text]) => {
      return { us: Number(seconds) * 1e6 + Number(fraction), name: name!, text: text! };
    },
  );
}
