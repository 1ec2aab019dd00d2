// The front thread's work: talks to the kernel and never blocks. It starts the probes and the
// side-band rings, follows processes and CPUs, and at each flush takes what the kernel counted and
// makes it a message for the back.
//
//   flip ── 3 ms ── drain ── side-band up to the flip ── rings ── normalize ── open new files (async) ── message

import { setTimeout as sleep } from 'node:timers/promises';
import { FLIP_PAUSE_MS } from '../bpf/generations.js';
import type { MapFill } from '../bpf/map.js';
import type { Config } from '../config/load.js';
import { clockOffsets, closeFd, drainUevents, openUeventSocket } from '../ffi/libc.js';
import { Poller } from '../ffi/poller.js';
import type { Counters } from '../storage/model/completeness.js';
import type { FrontFigures } from './agent/figures.js';
import { HostNaming } from './agent/host-naming.js';
import { HostProcesses } from './agent/host-processes.js';
import type { Log } from './agent/log.js';
import { ProbeRing } from './agent/probe-rings.js';
import { findProbes, loadProbes } from './agent/probes.js';
import type { SelfMetrics } from './agent/self-metrics.js';
import type { SamplingPlan } from './agent/sampling-plan.js';
import { planSampling } from './agent/sampling-plan.js';
import { onlineCpus } from './host/cpus.js';
import { HostReaders } from './host/host-readers.js';
import { MetricSources } from './host/metric-sources.js';
import { ModuleOpener } from './host/module-opener.js';
import type { SeenModule } from './host/module-opener.js';
import { openProbeMetrics } from './host/probe-metrics.js';
import { StackSource } from './host/stack-source.js';
import type {
  DrainedFlush,
  FileIdentified,
  FileQuestion,
  FlushMessage,
  SampleRows,
  TableBuilt,
} from './messages.js';
import { UnwindFiles } from './host/unwind-files.js';
import { Pace } from './pace.js';
import { normalizeSamples } from './pipeline/samples.js';
import type { LoadedProbe } from '../bpf/loaded-probe.js';

/** Series of one flush and sample source; more are folded by executable. */
const MAX_SERIES = 4096;
/** What a flush takes happened before its flip, so what had ended by then is not asked for again;
 *  but for snapshots of /proc under way. */
const KEEP_ENDED_NS = 2_000_000_000n;

export interface FrontOptions {
  /** What the daemon tells of itself. */
  readonly self: SelfMetrics;
  readonly log: Log;
  readonly verbosity: number;
  /** For readings of each second. */
  readonly seconds: SharedArrayBuffer | undefined;
  /** Something after the start went wrong for good. */
  readonly fail: (error: Error) => void;
  /** Asks the back; it answers by Front.answered. */
  readonly ask: (question: FileQuestion) => void;
  /** The back has better to do than to build tables. */
  readonly isBackBusy: () => boolean;
}

export class Front {
  readonly intervalMs: number;
  readonly #plan: SamplingPlan;
  readonly #log: Log;
  readonly #processes: HostProcesses;
  readonly #naming: HostNaming;
  readonly #opener = new ModuleOpener();
  readonly #metrics = new MetricSources();
  readonly #poller: Poller;
  readonly #uevents: number | undefined;
  readonly #notes: string[] = [];
  #probes: readonly LoadedProbe[] = [];
  #sources: readonly StackSource[] = [];
  #rings: readonly ProbeRing[] = [];
  #unwind: readonly UnwindFiles[] = [];
  /** Probe -> what it has that tells how full its maps are. */
  readonly #filled: [probe: string, part: { takeFills(): readonly MapFill[] }][] = [];
  #kernelMemoryBytes = 0;
  #sequence = 0;
  #lastFlipKtimeNs = process.hrtime.bigint();
  /** Samples of messages that could not be handed over; told with the next flush. */
  #givenUp = 0;

  private constructor(plan: SamplingPlan, processes: HostProcesses, options: FrontOptions) {
    this.#plan = plan;
    this.intervalMs = plan.intervalMs;
    this.#log = options.log;
    this.#processes = processes;
    this.#naming = new HostNaming(processes.table, processes.cgroups, processes.users);
    this.#poller = new Poller({
      onReadable: () => this.#onReadable(),
      onError: (error) => options.fail(error as Error),
    });
    const uevents = openUeventSocket();
    this.#uevents = 'fd' in uevents ? uevents.fd : undefined;
    if (this.#uevents === undefined) {
      this.#note('no uevent socket: CPUs that come and go are noticed at the next flush');
    }
    else this.#poller.add(this.#uevents);
  }

  /** Side-band rings first, then probes, then what was there before, then the gate.
   *  **Errors**: what the parts throw. */
  static async start(config: Config, options: FrontOptions): Promise<Front> {
    const plan = planSampling(config);
    const processes = HostProcesses.open(onlineCpus(), (text) => options.log('warn', text));
    const front = new Front(plan, processes, options);
    try {
      for (const fd of processes.fds) front.#poller.add(fd);
      await front.#startProbes(config, options);
      await processes.readExisting();
      const note = (text: string) => front.#note(text);
      const readers = new HostReaders({ config, seconds: options.seconds, note });
      front.#metrics.add(readers);
      options.self.begin({
        probes: () => front.#probes,
        kernelMemoryBytes: () => front.figures().kernelMemoryBytes,
        mapFills: () =>
          front.#filled.flatMap(([probe, part]) => part.takeFills().map((fill) => [probe, fill])),
      });
      front.#metrics.add(options.self);
      front.#openGate();
      readers.begin();
      return front;
    } catch (error) {
      front.close();
      throw error;
    }
  }

  get cpuCount(): number {
    return new Set(this.#sources.flatMap(({ cpus }) => [...cpus])).size;
  }

  async #startProbes(config: Config, { log, verbosity, ask, isBackBusy }: FrontOptions): Promise<void> {
    const files = await findProbes();
    const facts = {
      ...this.#plan,
      cgroupHierarchies: this.#processes.cgroupHierarchyIds,
      unwindFiles: config.unwind.maxFiles,
    };
    const note = (text: string) => this.#note(text);
    const running = loadProbes(files, config, facts, { verbosity, log, note });
    this.#probes = running.map(({ probe }) => probe);
    for (const { probe } of running) probe.notes.forEach(note);
    for (const each of running) {
      const { file, probe } = each;
      const metrics = openProbeMetrics(each);
      if (metrics !== undefined) {
        this.#metrics.add(metrics);
        this.#filled.push([probe.name, metrics]);
      }
      for (const output of file.descriptor.outputs) {
        if (output.kind === 'ring') {
          const ring = new ProbeRing(file, probe, output, {
            maxEvents: config.limits.eventsPerFlush,
            onCgroup: (id, path) => this.#processes.cgroups.apply({ id, path }),
            onImage: (image) =>
              this.#processes.table.learnExecId(
                image,
                this.#processes.table.tableNs(image.ktimeNs),
              ),
          });
          this.#rings = [...this.#rings, ring];
          this.#filled.push([probe.name, ring]);
          this.#poller.add(ring.fd);
        } else if (output.kind === 'unwind') {
          const files = new UnwindFiles(probe, output, {
            limits: config.unwind,
            findMapping: (image, address) => this.#processes.findMapping(image, address),
            onMet: (request) => this.#processes.fileMet(request),
            ask,
            isBusy: isBackBusy,
          });
          this.#unwind = [...this.#unwind, files];
          this.#filled.push([probe.name, files]);
          this.#poller.add(files.fd);
        } else if (output.kind === 'stack') {
          const program = file.descriptor.hooks.find(
            ({ attach }) => attach === 'perf_event',
          )!.program;
          const options = { periodNs: this.#plan.periodNs, note };
          const source = new StackSource({ probe, output, program }, this.#plan.triggers, options);
          this.#sources = [...this.#sources, source];
          this.#filled.push([probe.name, source]);
        }
      }
    }
    for (const source of this.#sources) {
      for (const cpu of this.#wanted(onlineCpus())) source.open(cpu);
    }
  }

  /** After the last attach: what is counted from here on is complete. */
  #openGate(): void {
    for (const probe of this.#probes) probe.openGate();
    this.#lastFlipKtimeNs = process.hrtime.bigint();
    for (const source of this.#sources) for (const cpu of source.cpus) source.enable(cpu);
    // All maps are allocated as they are made: what they take does not change.
    this.#kernelMemoryBytes = this.#probes.reduce(
      (sum, probe) => sum + probe.kernelMemoryBytes(),
      0,
    );
  }

  /** What the kernel counted since the last flush. Must not be called again before it resolved. */
  async flush(isLast: boolean): Promise<DrainedFlush> {
    this.#followCpus();
    if (isLast) for (const source of this.#sources) source.disable();
    const flips = this.#sources.map((source) => source.flip());
    this.#metrics.flip();
    const flipKtimeNs = flips[0]?.flipKtimeNs ?? process.hrtime.bigint();
    await sleep(FLIP_PAUSE_MS + 1);
    const offsets = clockOffsets();
    const span = {
      startUnixNs: this.#lastFlipKtimeNs + offsets.unixMinusMonotonicNs,
      endUnixNs: flipKtimeNs + offsets.unixMinusMonotonicNs,
    };
    this.#naming.setBootTime(
      Number(offsets.unixMinusMonotonicNs - offsets.bootMinusMonotonicNs) / 1e6,
    );
    this.#processes.setBootOffset(offsets.bootMinusMonotonicNs);
    this.#naming.setSpan(this.#lastFlipKtimeNs, flipKtimeNs);

    const pace = new Pace();
    const drained = this.#sources.map((source, index) => source.drain(flips[index]!));
    await pace.rest();
    this.#readRings();
    for (const files of this.#unwind) files.read();
    this.#processes.read(process.hrtime.bigint() - 1_000_000n);

    const streams: FlushMessage['streams'][number][] = [];
    const samples: SampleRows[] = [];
    const seen = new Map<number, SeenModule>();
    for (const source of drained) {
      const streamOfType = Uint8Array.from(
        this.#plan.triggers.keys(),
        (index) => streams.length + index,
      );
      const options = { streamOfType, maxSeries: MAX_SERIES };
      const normalized = await pace.through(
        normalizeSamples(source.drained, this.#naming, options),
      );
      source.streams.forEach((stream, type) => {
        streams.push({
          info: stream.info,
          counters: this.#withCorrections(stream.counters, normalized.weightByType[type]!, type),
        });
      });
      for (const [id, module] of normalized.modules) seen.set(id, module);
      samples.push(normalized.rows);
    }
    const events = await this.#takeEvents(streams, flipKtimeNs, pace);
    const context = { naming: this.#naming, samples, span, isLast };
    const metrics = await this.#metrics.take(streams, context, pace);
    for (const files of this.#unwind) files.sweep();
    const { opened, forgotten } = await this.#opener.open([...seen.values()]);

    this.#processes.expire(flipKtimeNs - KEEP_ENDED_NS);
    this.#lastFlipKtimeNs = flipKtimeNs;
    const files = { modules: opened, forgottenModules: forgotten };
    return {
      kind: 'flush',
      sequence: this.#sequence++,
      span,
      streams,
      samples,
      events: [...events, ...metrics.events],
      metrics: metrics.rows,
      ...files,
    };
  }

  /** The back has fallen behind: the message is dropped, and its samples are
   *  told as lost with the next one. */
  giveUp(message: DrainedFlush): void {
    this.#givenUp += message.streams[0]?.counters['captured'] ?? 0;
    this.#opener.takeBack(message.modules);
    this.#metrics.giveUp(message);
    this.#log('warn', 'the store is too slow: a flush was given up');
  }

  figures(): FrontFigures {
    const unwind = this.#unwind.map((files) => files.figures);
    return {
      table: this.#processes.table.counts,
      unwind: unwind[0],
      kernelMemoryBytes: unwind.reduce((sum, u) => sum + u.kernelBytes, this.#kernelMemoryBytes),
      notes: this.#notes,
    };
  }

  answered(answer: FileIdentified | TableBuilt): void {
    for (const files of this.#unwind) files.answered(answer);
  }

  close(): void {
    this.#poller.close();
    for (const files of this.#unwind) files.close();
    for (const source of this.#sources) source.close();
    for (const ring of this.#rings) ring.close();
    this.#metrics.close();
    for (const probe of this.#probes) probe.close();
    this.#processes.close();
    if (this.#uevents !== undefined) closeFd(this.#uevents);
  }

  /** Rings that have filled up to their watermark, or a CPU that came or went. */
  #onReadable(): void {
    this.#readRings();
    this.#processes.read(process.hrtime.bigint() - 1_000_000n);
    for (const files of this.#unwind) files.read();
    if (this.#uevents !== undefined && drainUevents(this.#uevents)) this.#followCpus();
  }

  #readRings(): void {
    for (const ring of this.#rings) ring.read();
  }

  async #takeEvents(
    streams: FlushMessage['streams'][number][],
    untilKtimeNs: bigint,
    pace: Pace,
  ): Promise<FlushMessage['events']> {
    const times = { originKtimeNs: this.#lastFlipKtimeNs, untilKtimeNs };
    const events: FlushMessage['events'][number][] = [];
    for (const ring of this.#rings) {
      for (const { info, counters, columns } of ring.take(this.#naming, times)) {
        streams.push({ info, counters });
        events.push({ stream: streams.length - 1, columns });
        await pace.rest();
      }
    }
    return events;
  }

  /** What was counted as captured but did not arrive, or was given up, is lost and says so. */
  #withCorrections(counters: Counters, drainedWeight: number, sampleType: number): Counters {
    if (sampleType !== 0) return counters;
    const undrained = (counters['captured'] ?? 0) - drainedWeight;
    const corrected: Record<string, number> = { ...counters };
    if (undrained !== 0) {
      corrected['captured'] = drainedWeight;
      corrected['lost.not_drained'] = undrained;
    }
    if (this.#givenUp > 0) {
      corrected['expected'] = (corrected['expected'] ?? 0) + this.#givenUp;
      corrected['lost.store_too_slow'] = this.#givenUp;
      this.#givenUp = 0;
    }
    return corrected;
  }

  #wanted(online: readonly number[]): readonly number[] {
    const { cpus } = this.#plan;
    return cpus === 'all' ? online : online.filter((cpu) => cpus.includes(cpu));
  }

  /** CPUs that came online are sampled, those that went are let go. */
  #followCpus(): void {
    const online = onlineCpus();
    this.#processes.followCpus(online, {
      added: (fd) => this.#poller.add(fd),
      removed: (fd) => this.#poller.remove(fd),
    });
    const wanted = this.#wanted(online);
    for (const source of this.#sources) {
      for (const cpu of source.cpus) {
        if (wanted.includes(cpu)) continue;
        source.remove(cpu);
        this.#log('info', `CPU ${cpu} went offline`);
      }
      for (const cpu of wanted) {
        if (source.cpus.includes(cpu)) continue;
        source.open(cpu);
        source.enable(cpu);
        this.#log('info', `CPU ${cpu} came online and is sampled`);
      }
    }
  }

  #note(text: string): void {
    if (this.#notes.includes(text)) return;
    this.#notes.push(text);
    this.#log('info', text);
  }
}
