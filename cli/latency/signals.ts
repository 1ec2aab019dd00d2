// The two latencies that can be asked for: their streams, and what their parts are called.

import { OperatingError } from '../../storage/model/errors.js';
import { mergeHistograms } from '../../storage/model/histogram.js';
import type { Query, SeriesAnswer, SeriesRequest } from '../../storage/model/query.js';
import { unlessAbsent } from '../absent.js';

export interface Signal {
  readonly name: 'runq' | 'block';
  readonly stream: string;
  readonly title: string;
  /** Field whose values are never summed together, and what each is called. */
  readonly apart?: {
    readonly field: string;
    readonly titles: Readonly<Record<string, string>>;
    /** The one that `flame --around` looks at. */
    readonly around: string;
  };
  /** Field whose values are told beside, each with its share. */
  readonly causes?: string;
  /** What is counted: for the line of losses. */
  readonly counted: string;
}

export const signals: Readonly<Record<Signal['name'], Signal>> = {
  runq: {
    name: 'runq',
    stream: 'runq',
    title: 'waiting for a CPU',
    causes: 'cause',
    counted: 'waits',
  },
  block: {
    name: 'block',
    stream: 'block',
    title: 'block I/O',
    apart: {
      field: 'phase',
      titles: { queue: 'queue, insert to issue', device: 'device, issue to complete' },
      around: 'device',
    },
    counted: 'requests',
  },
};

/** **Errors**: `usage`. */
export function signalOf(name: string): Signal {
  if (name === 'runq' || name === 'block') return signals[name];
  throw new OperatingError('usage', `there is no latency ${name}`, 'Latencies are: runq, block.');
}

export type HistogramAnswer = Extract<SeriesAnswer, { kind: 'histogram' }>;

/** **Errors**: `empty-window` where nothing was measured at all; what the query rejects with. */
export async function askForSignal(
  query: Query,
  { name, stream }: Signal,
  request: Omit<SeriesRequest, 'stream'>,
): Promise<HistogramAnswer> {
  const answer = await unlessAbsent(query.series({ ...request, stream }));
  if (answer?.kind === 'histogram') return answer;
  throw new OperatingError(
    'empty-window',
    `the store holds no ${name} latencies of that time`,
    'Widen --from and --to; `flamekeeper status` prints what is stored, `doctor` what can be measured.',
  );
}

/** The same by its first `count` fields only. */
export function byFirstFields(answer: HistogramAnswer, count: number): HistogramAnswer {
  const groups = new Map<string, HistogramAnswer['keys'][number][]>();
  for (const row of answer.keys) {
    const group = JSON.stringify(row.key.slice(0, count));
    groups.set(group, [...(groups.get(group) ?? []), row]);
  }
  const keys = Array.from(groups.values(), (rows) => ({
    key: rows[0]!.key.slice(0, count),
    values: answer.steps.map((_, step) => {
      const known = rows.flatMap(({ values }) => values[step] ?? []);
      return known.length > 1 ? mergeHistograms(known) : known[0];
    }),
  }));
  return { ...answer, fields: answer.fields.slice(0, count), keys };
}
