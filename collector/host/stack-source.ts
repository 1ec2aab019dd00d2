// A probe whose output is weighted stacks, with the perf events that trigger it: started CPU by
// CPU, drained generation by generation, its clock's periods accounted for. (front)

import type { StackOutput } from '../../bpf/descriptor.js';
import { DoubleBuffer } from '../../bpf/double-buffer.js';
import type { Drained } from '../../bpf/double-buffer.js';
import * as wire from '../../bpf/generated/wire.js';
import type { Flip } from '../../bpf/generations.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { MapFill } from '../../bpf/map.js';
import type { Counters } from '../../storage/model/completeness.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import type { ClockReading, StatsSums } from '../pipeline/tick-accounts.js';
import { TickAccounts } from '../pipeline/tick-accounts.js';
import type { SampleTrigger } from './sampling-events.js';
import { SamplingEvents } from './sampling-events.js';

export interface DrainedSource {
  readonly drained: Drained;
  /** One a trigger, in their order: what it counted, and how completely. */
  readonly streams: readonly { readonly info: StreamInfo; readonly counters: Counters }[];
}

export class StackSource {
  readonly #buffer: DoubleBuffer;
  readonly #triggers: readonly SampleTrigger[];
  readonly #events: SamplingEvents;
  readonly #accounts: TickAccounts;

  /** `program` is put on the events of every trigger. */
  constructor(
    { probe, output, program }: { probe: LoadedProbe; output: StackOutput; program: string },
    triggers: readonly SampleTrigger[],
    options: { readonly periodNs: bigint; readonly note: (text: string) => void },
  ) {
    this.#buffer = new DoubleBuffer(probe, output);
    this.#triggers = triggers;
    this.#accounts = new TickAccounts(options.periodNs);
    this.#events = new SamplingEvents(triggers, {
      attach: (fd) => probe.attachPerfEvent(program, fd),
      beforeClock: (cpu) => this.#setAnchor(cpu, process.hrtime.bigint()),
      note: options.note,
    });
  }

  get cpus(): readonly number[] {
    return this.#events.cpus;
  }

  open(cpu: number): void {
    this.#events.open(cpu);
  }

  enable(cpu: number): void {
    this.#events.enable(cpu);
  }

  /** The CPU went offline: its periods end here. */
  remove(cpu: number): void {
    this.#events.close(cpu);
    const clock = clockReading(this.#buffer.clocks, cpu);
    this.#accounts.retire(clock, process.hrtime.bigint(), this.#buffer.generation);
    this.#setAnchor(cpu, 0n);
  }

  /** Stops the events, before the last flip. */
  disable(): void {
    this.#events.disable();
  }

  flip(): Flip {
    return this.#buffer.flip();
  }

  /** FLIP_PAUSE_MS after the flip. The content is valid until the next drain. */
  drain(flip: Flip): DrainedSource {
    const drained = this.#buffer.drain(flip.retired);
    const clocks = this.cpus.map((cpu) => clockReading(drained.clocks, cpu));
    const streams = this.#triggers.map(({ stream, sampleType }) => {
      const sums = statsSums(drained.stats, sampleType);
      const isClock = sampleType === 0;
      const counters = isClock
        ? this.#accounts.close(flip.flipKtimeNs, this.#buffer.generation - 1, clocks, sums)
        : plainCounters(sums);
      return { info: stream, counters };
    });
    return { drained, streams };
  }

  takeFills(): readonly MapFill[] {
    return this.#buffer.fills;
  }

  close(): void {
    this.#events.closeAll();
    this.#buffer.close();
  }

  /** The entry is ours: the CPU's clock event is disabled. */
  #setAnchor(cpu: number, anchorKtimeNs: bigint): void {
    const { generation } = this.#buffer;
    const clock = {
      anchor_ktime_ns: anchorKtimeNs,
      due: 0n,
      due_before_flip: 0n,
      generation,
      generation_before_flip: generation,
    };
    wire.encodeFkClock(this.#buffer.clocks, cpu * wire.FK_CLOCK_SIZE, clock);
  }
}

function clockReading(clocks: DataView, cpu: number): ClockReading {
  const clock = wire.decodeFkClock(clocks, cpu * wire.FK_CLOCK_SIZE);
  return {
    cpu,
    anchorKtimeNs: clock.anchor_ktime_ns,
    due: clock.due,
    dueBeforeFlip: clock.due_before_flip,
    generation: clock.generation,
    generationBeforeFlip: clock.generation_before_flip,
  };
}

function statsSums(stats: DataView, sampleType: number): StatsSums {
  const sums = wire.decodeFkSampleStats(stats, sampleType * wire.FK_SAMPLE_STATS_SIZE);
  const lost = Object.fromEntries(
    sums.lost.map((count, reason) => [wire.FK_LOST_NAMES[reason]!, Number(count)]),
  );
  return {
    captured: Number(sums.captured),
    capturedWeight: Number(sums.captured_weight),
    idle: Number(sums.idle),
    notFired: Number(sums.not_fired),
    lost,
  };
}

/** A trigger that is no clock is never due: what fired is what there is. */
function plainCounters(sums: StatsSums): Counters {
  const lost = Object.entries(sums.lost).filter(([, count]) => count > 0);
  return {
    captured: sums.captured,
    ...Object.fromEntries(lost.map(([reason, count]) => [`lost.${reason}`, count])),
  };
}
