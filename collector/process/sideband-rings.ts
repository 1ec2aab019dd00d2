// One dummy perf event and ring per CPU that tell of forks, execs, exits, names and executable
// mappings of the whole host. Source: perf_event_open(2), sample_id_all.
//
// Two more could be asked for, build ids of mappings and kernel symbols, and are not: the kernel writes
// a record for one listener after the other into the same header, and leaves in it the build id's flag
// (perf_event_mmap_output), or the longer size of a KSYMBOL record (perf_event_ksymbol_output). A
// `perf record` that listens beside us would get a file that `perf script` refuses.

import { closeFd } from '../../ffi/libc.js';
import { openPerfEvent, perfType, sampleBit, softwareEvent } from '../../ffi/perf-event.js';
import type { PerfEventAttr, PerfFlag } from '../../ffi/perf-event.js';
import { PerfRing } from '../../ffi/perf-ring.js';
import { EventMerger } from './event-merger.js';
import { SidebandParser } from './sideband-records.js';
import type { SidebandEvent } from './sideband-records.js';

const CLOCK_MONOTONIC = 1;
const SMALL_HOST_CPUS = 4;
const PAGES = 128;
const PAGES_SMALL_HOST = 64;
const PAGE_BYTES = 4096;
/** Rings are left alone while so many events wait for the horizon. */
const MAX_WAITING = 262_144;
/** Records of each ring that are merged at once: few enough that their events
 *  are gone before V8 moves them. */
const BATCH_RECORDS = 128;
/** A call's limit, above what the largest ring can hold. */
const MAX_BATCHES = 256;

const flags: readonly PerfFlag[] = ['mmap', 'mmap2', 'comm', 'commExec', 'task', 'sampleIdAll'];

interface CpuRing {
  readonly fd: number;
  readonly ring: PerfRing;
}

export class SidebandRings {
  readonly #pages: number;
  readonly #parser: SidebandParser;
  readonly #merger = new EventMerger();
  readonly #cpus = new Map<number, CpuRing>();

  constructor(options: { readonly baseKtimeNs: bigint; readonly cpuCount: number }) {
    this.#pages = options.cpuCount < SMALL_HOST_CPUS ? PAGES_SMALL_HOST : PAGES;
    this.#parser = new SidebandParser(options.baseKtimeNs);
  }

  /** Events that came after others of a later time had been given out. */
  get lateEvents(): number {
    return this.#merger.lateEvents;
  }

  get malformedRecords(): number {
    return this.#parser.malformed;
  }

  /** Begins to listen on a CPU; does nothing where it does so already.
   *  Returns the descriptor to wait for.
   *  **Errors**: as a value: openPerfEvent's; throws CallError when the ring may not be mapped. */
  addCpu(cpu: number): { readonly fd: number } | { readonly errno: string } {
    const known = this.#cpus.get(cpu);
    if (known !== undefined) return { fd: known.fd };
    const opened = openPerfEvent(this.#attr(), { cpu });
    if ('errno' in opened) return opened;
    try {
      this.#cpus.set(cpu, { fd: opened.fd, ring: new PerfRing(opened.fd, this.#pages) });
    } catch (error) {
      closeFd(opened.fd);
      throw error;
    }
    return opened;
  }

  /** What its ring still holds is kept for the next read. */
  removeCpu(cpu: number): void {
    const known = this.#cpus.get(cpu);
    if (known === undefined) return;
    this.#cpus.delete(cpu);
    this.#drain(known.ring, Infinity);
    known.ring.close();
    closeFd(known.fd);
  }

  /** Events of all CPUs up to the horizon, in the order of their times.
   *  **Units**: `horizonNs` relative to baseKtimeNs; it should lie some
   *  milliseconds before the call. */
  *read(horizonNs: number): Generator<SidebandEvent> {
    let hasMore = true;
    for (let batch = 0; hasMore && batch < MAX_BATCHES; batch++) {
      hasMore = false;
      let mergedNs = horizonNs;
      if (this.#merger.waitingEvents < MAX_WAITING) {
        for (const { ring } of this.#cpus.values()) {
          const { records, lastNs } = this.#drain(ring, BATCH_RECORDS);
          if (records < BATCH_RECORDS) continue;
          hasMore = true;
          mergedNs = Math.min(mergedNs, lastNs);
        }
      }
      yield* this.#merger.read(mergedNs);
    }
  }

  close(): void {
    for (const cpu of this.#cpus.keys()) this.removeCpu(cpu);
  }

  #attr(): PerfEventAttr {
    return {
      type: perfType.software,
      config: softwareEvent.dummy,
      sampleType: sampleBit.time,
      flags,
      clockId: CLOCK_MONOTONIC,
      wakeupBytes: (this.#pages * PAGE_BYTES) / 4,
    };
  }

  /** Adds a ring's oldest records to what waits; `lastNs`: none earlier is left in it. */
  #drain(
    ring: PerfRing,
    maxRecords: number,
  ): { readonly records: number; readonly lastNs: number } {
    let lastNs = -Infinity;
    const records = ring.read((view, offset, size, type, misc) => {
      const event = this.#parser.parse(view, { offset, size, type, misc });
      if (event === undefined) return;
      lastNs = event.ns;
      this.#merger.add(event);
    }, maxRecords);
    return { records, lastNs };
  }
}
