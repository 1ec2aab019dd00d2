// The two latencies that can be asked for: their streams, and what their parts are called.

import { OperatingError } from '../../storage/model/errors.js';

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
  /** What is counted: for the line of losses. */
  readonly counted: string;
}

export const signals: Readonly<Record<Signal['name'], Signal>> = {
  runq: {
    name: 'runq',
    stream: 'runq',
    title: 'waiting for a CPU',
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
