// Which control group hierarchies are mounted, from /proc/self/mountinfo and /proc/self/cgroup.
// Pure and tolerant. Source: proc(5), cgroups(7).

/** Hierarchies a sample's group may be of, and their ranks in a ranked id. */
const rankOfOption = new Map([
  ['name=systemd', 1],
  ['memory', 2],
  ['cpu', 3],
  ['blkio', 4],
]);

export interface CgroupMount {
  /** 0 = version 2, then of version 1: 1 systemd, 2 memory, 3 cpu, 4 blkio. */
  readonly rank: number;
  readonly mountPoint: string;
  /** Path of the group that is mounted there; '' for the hierarchy's root. */
  readonly root: string;
}

/** **Shape**: systemd, memory, cpu, blkio; 0 = not mounted. */
export type HierarchyIds = readonly [number, number, number, number];

/** One mount for each hierarchy and controller; where there are several, the
 *  first of the hierarchy's root. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  const byRank = new Map<number, CgroupMount>();
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const fields = before?.split(' ') ?? [];
    const [fsType, , options] = after?.split(' ') ?? [];
    const [rootText, mountPoint] = [fields[3], fields[4]];
    if (rootText === undefined || mountPoint === undefined || !mountPoint.startsWith('/')) continue;
    const root = rootText === '/' || rootText.startsWith('/..') ? '' : unescapeOctal(rootText);
    for (const rank of ranksOf(fsType, options)) {
      const known = byRank.get(rank);
      if (known === undefined || (known.root !== '' && root === '')) {
        byRank.set(rank, { rank, mountPoint: unescapeOctal(mountPoint), root });
      }
    }
  }
  return [...byRank.values()].sort((a, b) => a.rank - b.rank);
}

/** Lines `ID:CONTROLLERS:PATH`. */
export function parseHierarchyIds(selfCgroup: string): HierarchyIds {
  const ids: [number, number, number, number] = [0, 0, 0, 0];
  for (const line of selfCgroup.split('\n')) {
    const match = /^(\d{1,9}):([^:]*):/.exec(line);
    if (match === null) continue;
    for (const name of match[2]!.split(',')) {
      const rank = rankOfOption.get(name);
      if (rank !== undefined) ids[rank - 1] = Number(match[1]);
    }
  }
  return ids;
}

function ranksOf(fsType: string | undefined, options: string | undefined): number[] {
  if (fsType === 'cgroup2') return [0];
  if (fsType !== 'cgroup') return [];
  return (options ?? '').split(',').flatMap((option) => rankOfOption.get(option) ?? []);
}

/** mountinfo writes space, tab, newline and backslash as \040 and so on. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}
