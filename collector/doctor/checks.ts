// What flamekeeper needs of kernel, libraries and rights, and what is missing without it: one entry a
// check, each pure on what the host says of itself.

import { canFreeze, upstreamVersion } from '../../bpf/kernel-gate.js';
import type { KernelIdentity } from '../../bpf/kernel-gate.js';
import { parseCgroupMounts } from '../process/cgroup-parse.js';

/** What the checks ask; `host.ts` has the real one. */
export interface Host {
  readonly architecture: string;
  readonly kernel: KernelIdentity;
  readonly risksFreeze: boolean;
  readonly nodeVersion: string;
  readonly dataDir: string;
  /** The beginning of a file; undefined where it cannot be read. */
  text(path: string): string | undefined;
  /** Its version, or why it cannot be used. */
  libbpf(): { readonly version: string } | { readonly problem: string };
  /** Loads each program of ours and unloads it again: what was left out, or why none works. */
  loadPrograms(): Promise<{ readonly notes: readonly string[] } | Gap>;
  /** Opens a perf event on a CPU and closes it again: undefined, or the errno. */
  openEvent(event: 'clock' | 'cycles'): string | undefined;
  /** Why nothing can be written there; undefined when it can. */
  writeProblem(directory: string): string | undefined;
}

export interface Gap {
  readonly problem: string;
  readonly remedy: string;
}

/** `gap`: something works less well. `fatal`: the daemon cannot work. */
export type Finding =
  | { readonly status: 'ok'; readonly text: string }
  | ({ readonly status: 'gap' | 'fatal' } & Gap);

export interface Check {
  readonly name: string;
  readonly run: (host: Host) => Finding | Promise<Finding>;
}

const ok = (text: string): Finding => ({ status: 'ok', text });
const gap = (problem: string, remedy: string): Finding => ({ status: 'gap', problem, remedy });
const fatal = (problem: string, remedy: string): Finding => ({ status: 'fatal', problem, remedy });

const CAP_SYS_ADMIN = 21;
const CAP_SYS_RESOURCE = 24;
const CAP_SYSLOG = 34;
const MIN_NODE = 20;
const asRoot = 'Run as root, or use config/flamekeeper.service, which gives exactly the rights needed.';

export const checks: readonly Check[] = [
  {
    name: 'architecture',
    run: ({ architecture }) =>
      architecture === 'x64'
        ? ok('x86-64')
        : fatal(`${architecture} is not supported`, 'Only x86-64 is, for now.'),
  },
  {
    name: 'kernel',
    run: ({ kernel, risksFreeze }) => {
      const version = upstreamVersion(kernel)?.join('.') ?? kernel.release;
      if (!canFreeze(kernel)) return ok(version);
      const problem = `${version} can freeze the host when a profiler reads user memory`;
      const remedy = 'Update the kernel: 6.1.36, 6.3.10 and 6.4 are mended.';
      return risksFreeze ? gap(`${problem}; FLAMEKEEPER_RISK_FREEZE overrides it`, remedy)
        : fatal(problem, remedy);
    },
  },
  {
    name: 'node',
    run: ({ nodeVersion }) =>
      Number(nodeVersion.replace(/^v(\d+).*/, '$1')) >= MIN_NODE
        ? ok(nodeVersion)
        : fatal(`${nodeVersion} is too old`, `Install Node.js ${MIN_NODE} or later.`),
  },
  {
    name: 'libbpf',
    run: (host) => {
      const found = host.libbpf();
      if ('version' in found) return ok(found.version);
      return fatal(found.problem, 'Install libbpf 1.0 or later (Debian: libbpf1).');
    },
  },
  {
    name: 'BTF',
    run: (host) =>
      host.text('/sys/kernel/btf/vmlinux') === undefined
        ? fatal('there is no /sys/kernel/btf/vmlinux', 'Use a kernel with CONFIG_DEBUG_INFO_BTF.')
        : ok('the kernel describes its types'),
  },
  capability('CAP_BPF', 39, { without: 'no program can be loaded', isNeeded: true }),
  capability('CAP_PERFMON', 38, { without: 'nothing can be sampled', isNeeded: true }),
  capability('CAP_SYS_PTRACE', 19, {
    without: "other users' programs stay without names and unwind tables",
  }),
  capability('CAP_DAC_READ_SEARCH', 2, {
    without: "other users' programs stay without names and unwind tables",
  }),
  capability('CAP_SYSLOG', CAP_SYSLOG, { without: 'kernel functions stay without names' }),
  capability('CAP_CHECKPOINT_RESTORE', 40, {
    without: 'programs deleted while they run stay without names and unwind tables',
  }),
  {
    name: 'BPF programs',
    run: async (host) => {
      const loaded = await host.loadPrograms();
      if ('problem' in loaded) return { status: 'fatal', ...loaded };
      if (loaded.notes.length === 0) return ok('all of ours load');
      return gap(loaded.notes.join('; '), 'A newer kernel has what is missing.');
    },
  },
  {
    name: 'perf events',
    run: (host) => {
      const errno = host.openEvent('clock');
      const paranoid = host.text('/proc/sys/kernel/perf_event_paranoid')?.trim() ?? 'unknown';
      if (errno === undefined) return ok(`the clock samples (perf_event_paranoid ${paranoid})`);
      const remedy = isRefused(errno) ? asRoot
        : 'Use a kernel with CONFIG_PERF_EVENTS.';
      return fatal(`perf_event_open: ${errno} (perf_event_paranoid ${paranoid})`, remedy);
    },
  },
  {
    name: 'hardware counters',
    run: (host) => {
      const errno = host.openEvent('cycles');
      if (errno === undefined) return ok('cycles can be counted');
      const what = `cycles cannot be counted: ${errno}; no instructions per cycle, no cache misses`;
      const remedy = isRefused(errno) ? asRoot
        : 'A virtual machine has them when its host passes the PMU on.';
      return gap(what, remedy);
    },
  },
  {
    name: 'kernel symbols',
    run: (host) => {
      const address = host.text('/proc/kallsyms')?.split(' ', 1)[0] ?? '';
      if (/[1-9a-f]/.test(address)) return ok('/proc/kallsyms shows addresses');
      const restrict = host.text('/proc/sys/kernel/kptr_restrict')?.trim() ?? 'unknown';
      const what = `/proc/kallsyms hides addresses (kptr_restrict ${restrict}): no kernel names`;
      return gap(what, 'Give CAP_SYSLOG, and set kernel.kptr_restrict to 0 or 1.');
    },
  },
  {
    name: 'cgroups',
    run: (host) => {
      const mounts = parseCgroupMounts(host.text('/proc/self/mountinfo') ?? '');
      const versions = new Set(mounts.map(({ rank }) => (rank === 0 ? 'version 2' : 'version 1')));
      if (versions.size > 0) return ok([...versions].join(' and '));
      return gap('none is mounted: samples are not kept apart by container', 'Mount cgroup2.');
    },
  },
  {
    name: 'locked memory',
    run: (host) => {
      const limits = host.text('/proc/self/limits') ?? '';
      const limit = /^Max locked memory +(\S+)/m.exec(limits)?.[1] ?? 'unknown';
      const [major = 0, minor = 0] = upstreamVersion(host.kernel) ?? [];
      const isCounted = major < 5 || (major === 5 && minor < 11);
      if (!isCounted || limit === 'unlimited' || hasCapability(host, CAP_SYS_RESOURCE)) {
        return ok(isCounted ? limit : 'BPF maps are not counted against the limit');
      }
      return gap(`the limit is ${limit} bytes`, 'Raise it: ulimit -l unlimited, LimitMEMLOCK=.');
    },
  },
  {
    name: 'data directory',
    run: (host) => {
      const problem = host.writeProblem(host.dataDir);
      if (problem === undefined) return ok(host.dataDir);
      return fatal(problem, 'Name another with --data, or correct its permissions.');
    },
  },
];

function isRefused(errno: string): boolean {
  return errno === 'EACCES' || errno === 'EPERM';
}

/** CAP_SYS_ADMIN holds what was split from it: CAP_SYSLOG and all that came later. */
function capability(
  name: string,
  bit: number,
  { without, isNeeded = false }: { readonly without: string; readonly isNeeded?: boolean },
): Check {
  const run = (host: Host) => {
    if (hasCapability(host, bit)) return ok('there');
    if (bit >= CAP_SYSLOG && hasCapability(host, CAP_SYS_ADMIN)) return ok('there by CAP_SYS_ADMIN');
    return (isNeeded ? fatal : gap)(`missing: ${without}`, asRoot);
  };
  return { name, run };
}

function hasCapability(host: Host, bit: number): boolean {
  const effective = /^CapEff:\s*([\da-f]{16})$/m.exec(host.text('/proc/self/status') ?? '')?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> BigInt(bit)) & 1n) === 1n;
}
