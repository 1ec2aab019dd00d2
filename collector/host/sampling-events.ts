// The perf events that trigger samples: one a CPU and sample type, opened disabled, attached, then
// enabled. CPUs that go offline lose theirs and get new ones when they come back.

import type { PerfEventName } from './perf-events.js';
import { closeFd } from '../../ffi/libc.js';
import { disablePerfEvent, enablePerfEvent, openPerfEvent } from '../../ffi/perf-event.js';
import type { PerfEventAttr } from '../../ffi/perf-event.js';
import { OperatingError } from '../../storage/model/errors.js';
import type { StreamInfo } from '../../storage/model/stream.js';

/** What triggers a sample, and how often: each `period` of the event's unit, or
 *  `frequencyHz` times a second. */
export interface SampleTrigger {
  readonly stream: StreamInfo;
  readonly event: PerfEventName;
  /** Index in the BPF program's terms; 0 is the clock. */
  readonly sampleType: number;
  readonly period?: number;
  readonly frequencyHz?: number;
}

export interface SamplingHooks {
  /** Puts the BPF program on an open, disabled event. */
  readonly attach: (fd: number) => void;
  /** Called right before the clock of this CPU starts. */
  readonly beforeClock: (cpu: number) => void;
  readonly note: (text: string) => void;
}

export class SamplingEvents {
  readonly #triggers: readonly SampleTrigger[];
  readonly #hooks: SamplingHooks;
  readonly #fds = new Map<number, { readonly fd: number; readonly trigger: SampleTrigger }[]>();

  constructor(triggers: readonly SampleTrigger[], hooks: SamplingHooks) {
    this.#triggers = triggers;
    this.#hooks = hooks;
  }

  get cpus(): readonly number[] {
    return [...this.#fds.keys()];
  }

  /** Opens and attaches this CPU's events; they start with `enable`. **Errors**:
   *  `no-privilege`, `kernel-unsupported` when not even the clock can be had; another trigger
   *  that cannot is noted and left out. */
  open(cpu: number): void {
    const opened = [];
    for (const trigger of this.#triggers) {
      const result = openPerfEvent(attributes(trigger), { cpu });
      if ('fd' in result) {
        this.#hooks.attach(result.fd);
        opened.push({ fd: result.fd, trigger });
      } else if (trigger.sampleType === 0) {
        throw openError(trigger, cpu, result.errno);
      } else {
        this.#hooks.note(
          `event ${trigger.stream.name} on CPU ${cpu}: ${result.errno}; its samples are not taken`,
        );
      }
    }
    this.#fds.set(cpu, opened);
  }

  enable(cpu: number): void {
    for (const { fd, trigger } of this.#fds.get(cpu) ?? []) {
      if (trigger.sampleType === 0) this.#hooks.beforeClock(cpu);
      enablePerfEvent(fd);
    }
  }

  /** Stops sampling on every CPU; the events stay open. */
  disable(): void {
    for (const events of this.#fds.values()) for (const { fd } of events) disablePerfEvent(fd);
  }

  close(cpu: number): void {
    for (const { fd } of this.#fds.get(cpu) ?? []) closeFd(fd);
    this.#fds.delete(cpu);
  }

  closeAll(): void {
    for (const cpu of this.cpus) this.close(cpu);
  }
}

/** wakeup_events is free in an event without a ring: it tells the
 *  program which sample type this is. */
function attributes({ event, sampleType, period, frequencyHz }: SampleTrigger): PerfEventAttr {
  const rate = frequencyHz === undefined ? { period: period ?? 1 } : { frequencyHz };
  return {
    type: event.type,
    config: event.config,
    ...rate,
    wakeupEvents: sampleType,
    flags: ['disabled'],
  };
}

function openError(trigger: SampleTrigger, cpu: number, errno: string): OperatingError {
  const what = `cannot open the sampling event ${trigger.stream.name} on CPU ${cpu}: ${errno}`;
  if (errno === 'EACCES' || errno === 'EPERM') return new OperatingError('no-privilege', what);
  return new OperatingError('kernel-unsupported', what);
}
