// The rings of the loaded probes: records are told apart by their tag and go where the descriptor
// says: into the columns of an event stream, or to the cgroup table. (front)

import type { EventRecordType, RingOutput } from '../../bpf/descriptor.js';
import * as wire from '../../bpf/generated/wire.js';
import type { LoadedProbe } from '../../bpf/loaded-probe.js';
import type { MapFill } from '../../bpf/map.js';
import { RingReader } from '../../bpf/ring.js';
import { assert } from '../../storage/model/errors.js';
import type { Counters } from '../../storage/model/completeness.js';
import type { StreamInfo } from '../../storage/model/stream.js';
import type { EventColumns } from '../../storage/model/writer.js';
import type { EventNaming, StartedImage } from '../pipeline/event-columns.js';
import { EventCollector } from '../pipeline/event-columns.js';
import { objectBtf } from './object-btf.js';
import type { ProbeFile } from './probes.js';

export interface TakenEvents {
  readonly info: StreamInfo;
  readonly counters: Counters;
  readonly columns: EventColumns;
}

export interface RingOptions {
  /** Events kept per stream and flush. */
  readonly maxEvents: number;
  readonly onCgroup: (id: bigint, path: string) => void;
  readonly onImage: (image: StartedImage) => void;
}

/** One ring of one probe. */
export class ProbeRing {
  readonly #reader: RingReader;
  readonly #probe: LoadedProbe;
  readonly #output: RingOutput;
  readonly #collectors = new Map<
    number,
    { readonly tag: string; readonly collector: EventCollector }
  >();
  readonly #streams: readonly EventCollector[];
  readonly #cgroupTags: ReadonlySet<number>;
  readonly #onCgroup: (id: bigint, path: string) => void;
  #malformed = 0;
  #drops = 0;

  constructor(
    { descriptor, objectPath }: ProbeFile,
    probe: LoadedProbe,
    output: RingOutput,
    options: RingOptions,
  ) {
    this.#probe = probe;
    this.#output = output;
    this.#onCgroup = options.onCgroup;
    this.#reader = new RingReader(probe.map(output.ring));
    const btf = objectBtf(objectPath);
    const tags = new Map(btf.enum('fk_record_tag')?.values.map(({ name, value }) => [name, value]));
    const tagValue = (tag: string): number => {
      const value = tags.get(tag);
      assert(
        value !== undefined,
        `the object of probe ${descriptor.name} knows the record tag ${tag}`,
      );
      return value;
    };
    const byStream = new Map<string, EventRecordType[]>();
    for (const record of output.records) {
      if (record.kind === 'event') {
        byStream.set(record.stream, [...(byStream.get(record.stream) ?? []), record]);
      }
    }
    this.#streams = [...byStream.values()].map((types) => {
      const collector = new EventCollector(types, (name) => btf.struct(name), options);
      for (const { tag } of types) this.#collectors.set(tagValue(tag), { tag, collector });
      return collector;
    });
    this.#cgroupTags = new Set(
      output.records.filter(({ kind }) => kind === 'cgroup').map(({ tag }) => tagValue(tag)),
    );
  }

  get fd(): number {
    return this.#reader.fd;
  }

  /** Takes all that waits in the ring. */
  read(): void {
    this.#reader.read((view, offset, sizeBytes) => this.#dispatch(view, offset, sizeBytes));
  }

  /** What happened until `untilKtimeNs` and was not taken yet, by stream. What was
   *  dropped is told with the first. */
  *take(
    naming: EventNaming,
    times: { readonly originKtimeNs: bigint; readonly untilKtimeNs: bigint },
  ): Generator<TakenEvents> {
    const drops = this.#newDrops();
    const malformed = this.#malformed;
    this.#malformed = 0;
    for (const [index, collector] of this.#streams.entries()) {
      const { columns, overLimit } = collector.take(naming, times);
      const counters: Record<string, number> = { captured: columns.timesNs.length };
      if (overLimit > 0) counters['lost.over_limit'] = overLimit;
      if (index === 0 && drops > 0) counters['lost.ring_full'] = drops;
      if (index === 0 && malformed > 0) counters['lost.malformed'] = malformed;
      yield { info: collector.stream, counters, columns };
    }
  }

  takeFills(): readonly MapFill[] {
    return [this.#reader.takeFill()];
  }

  close(): void {
    this.#reader.close();
  }

  #dispatch(view: DataView, offset: number, sizeBytes: number): void {
    const tag =
      sizeBytes < wire.FK_RECORD_SIZE
        ? -1
        : view.getUint32(offset + wire.FK_RECORD_TAG_OFFSET, true);
    const known = this.#collectors.get(tag);
    if (known !== undefined) {
      if (!known.collector.append(known.tag, view, offset, sizeBytes)) this.#malformed++;
    } else if (this.#cgroupTags.has(tag) && sizeBytes === wire.FK_CGROUP_SIZE) {
      const { id, path } = wire.decodeFkCgroup(view, offset);
      this.#onCgroup(id, path);
    } else {
      this.#malformed++;
    }
  }

  #newDrops(): number {
    const perCpu = this.#probe.map(this.#output.drops).lookup(new Uint8Array(4));
    if (perCpu === undefined) return 0;
    const total = new BigUint64Array(perCpu.slice().buffer).reduce((sum, drops) => sum + drops, 0n);
    const fresh = Number(total) - this.#drops;
    this.#drops = Number(total);
    return fresh;
  }
}
