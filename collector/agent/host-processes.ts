// The processes of the host as the front follows them: side-band rings into the table, /proc for
// what was there before and after losses, cgroup paths and user names beside. (front)

import type { FkFileRequest, FkIncarnation } from '../../bpf/generated/wire.js';
import { OperatingError } from '../../storage/model/errors.js';
import type { Mapping } from '../process/address-space.js';
import { contentStamp } from '../process/file-contents.js';
import { CgroupPaths, cgroupHierarchies } from '../process/cgroups.js';
import { readProcesses } from '../process/proc-files.js';
import { SidebandRings } from '../process/sideband-rings.js';
import { LATE_EVENT_NS, ProcessTable } from '../process/table.js';
import { UserNames } from '../process/users.js';
import { clockOffsets } from '../../ffi/libc.js';

/** More than the ring of requests holds. */
const MAX_MET = 4096;

export class HostProcesses {
  readonly table: ProcessTable;
  readonly cgroups: CgroupPaths;
  readonly users = new UserNames();
  readonly cgroupHierarchyIds: readonly number[];
  readonly #rings: SidebandRings;
  readonly #fds = new Map<number, number>();
  readonly #note: (text: string) => void;
  readonly #stop = new AbortController();
  #met: FkFileRequest[] = [];
  #isReading = false;

  private constructor(rings: SidebandRings, table: ProcessTable, note: (text: string) => void) {
    const { ids, mounts } = cgroupHierarchies();
    this.#rings = rings;
    this.table = table;
    this.cgroups = new CgroupPaths(mounts);
    this.cgroupHierarchyIds = ids;
    this.#note = note;
  }

  /** Opens the side-band rings of these CPUs. **Errors**: `no-privilege`, `kernel-unsupported`. */
  static open(cpus: readonly number[], note: (text: string) => void): HostProcesses {
    const baseKtimeNs = process.hrtime.bigint();
    const { bootMinusMonotonicNs } = clockOffsets();
    const rings = new SidebandRings({ baseKtimeNs, cpuCount: cpus.length });
    const processes = new HostProcesses(
      rings,
      new ProcessTable({ baseKtimeNs, bootMinusMonotonicNs }),
      note,
    );
    for (const cpu of cpus) {
      const opened = processes.#addCpu(cpu);
      if ('fd' in opened) continue;
      processes.close();
      const isRefused = opened.errno === 'EACCES' || opened.errno === 'EPERM';
      const message = `cannot follow the processes of CPU ${cpu}: perf_event_open: ${opened.errno}`;
      throw new OperatingError(isRefused ? 'no-privilege' : 'kernel-unsupported', message);
    }
    return processes;
  }

  /** Readable when a ring is a quarter full. */
  get fds(): readonly number[] {
    return [...this.#fds.values()];
  }

  setBootOffset(bootMinusMonotonicNs: bigint): void {
    this.table.setBootOffset(bootMinusMonotonicNs);
  }

  /** Reads all there is in /proc and in the cgroup hierarchies, a few milliseconds at a time. */
  async readExisting(): Promise<void> {
    await readProcesses(this.table, 'all', { signal: this.#stop.signal });
    await this.cgroups.scanIfWanted(process.hrtime.bigint());
    this.read(process.hrtime.bigint() - 1_000_000n);
  }

  /** Takes in events up to `horizonKtimeNs`, which must lie a little in the
   *  past: rings are merged by time. */
  read(horizonKtimeNs: bigint): void {
    const horizonNs = this.table.tableNs(horizonKtimeNs);
    for (const event of this.#rings.read(horizonNs)) this.table.apply(event);
    this.table.advance(horizonNs);
    this.#placeMet(horizonKtimeNs);
    void this.#resync();
  }

  /** A stack met a file's content. Taken in by the next read(): what maps it may not have been told of
   *  yet. */
  fileMet(request: FkFileRequest): void {
    if (this.#met.length < MAX_MET && request.mtime_ns > 0n) this.#met.push(request);
  }

  /** What maps a file is known once its event has come, a while after its time at worst. */
  #placeMet(horizonKtimeNs: bigint): void {
    if (this.#met.length === 0) return;
    const { unixMinusMonotonicNs } = clockOffsets();
    const waiting: FkFileRequest[] = [];
    for (const request of this.#met) {
      const { record, incarnation, file, address, mtime_ns, size_bytes } = request;
      const { tgid, start_boot_ns, exec_id } = incarnation;
      const image = this.table.peek(tgid, Number(start_boot_ns), exec_id);
      const module = image?.findMapping(Number(address))?.module;
      const waitNs = module === undefined ? BigInt(LATE_EVENT_NS) : 0n;
      if (record.ktime_ns + waitNs > horizonKtimeNs) {
        waiting.push(request);
        continue;
      }
      const device = `${file.device >>> 20}:${file.device & 0xfffff}`;
      this.table.met(module ?? { device, inode: file.inode }, {
        stamp: contentStamp(mtime_ns, size_bytes),
        file: `${device} ${file.inode}`,
        mtimeNs: this.table.tableNs(mtime_ns - unixMinusMonotonicNs),
        metNs: this.table.tableNs(record.ktime_ns),
      });
    }
    this.#met = waiting;
  }

  /** Where an address of a process lies. What is not known may have been told of a moment ago. */
  findMapping(image: FkIncarnation, address: number): Mapping | undefined {
    const { tgid, start_boot_ns, exec_id } = image;
    const find = () => this.table.peek(tgid, Number(start_boot_ns), exec_id)?.findMapping(address);
    const known = find();
    if (known !== undefined) return known;
    this.read(process.hrtime.bigint() - 1_000_000n);
    return find();
  }

  /** Forgets what ended before, and looks for cgroups and users that turned up unknown. */
  expire(beforeKtimeNs: bigint): void {
    this.table.expire(this.table.tableNs(beforeKtimeNs));
    this.users.refresh();
    void this.cgroups.scanIfWanted(process.hrtime.bigint());
  }

  followCpus(
    online: readonly number[],
    on: { readonly added: (fd: number) => void; readonly removed: (fd: number) => void },
  ): void {
    for (const [cpu, fd] of this.#fds) {
      if (online.includes(cpu)) continue;
      on.removed(fd);
      this.#rings.removeCpu(cpu);
      this.#fds.delete(cpu);
    }
    for (const cpu of online) {
      if (this.#fds.has(cpu)) continue;
      const opened = this.#addCpu(cpu);
      if ('fd' in opened) on.added(opened.fd);
      else this.#note(`cannot follow the processes of CPU ${cpu}: ${opened.errno}`);
    }
  }

  close(): void {
    this.#stop.abort();
    this.#rings.close();
    this.#fds.clear();
  }

  #addCpu(cpu: number): { readonly fd: number } | { readonly errno: string } {
    const opened = this.#rings.addCpu(cpu);
    if ('fd' in opened) this.#fds.set(cpu, opened.fd);
    return opened;
  }

  /** After lost events: reads the processes concerned from /proc again. */
  async #resync(): Promise<void> {
    if (this.#isReading) return;
    const which = this.table.takeResync();
    if (which === undefined) return;
    this.#isReading = true;
    try {
      if (which === 'all') {
        this.#note('side-band events were lost: processes are read from /proc again');
      }
      await readProcesses(this.table, which, { signal: this.#stop.signal });
    } finally {
      this.#isReading = false;
    }
  }
}
