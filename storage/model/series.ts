// What samples are kept apart by.

export interface SeriesInfo {
  /** tgid as a user types it; 0 when short-lived processes of one
   *  executable were folded together. */
  readonly pid: number;
  /** Start of the program image, unix ms; 0 when folded. */
  readonly startUnixMs: number;
  /** Name of the process (its leader's comm), at most 15 bytes. */
  readonly comm: string;
  /** Name of the thread. */
  readonly thread: string;
  /** Path of the executable; '' for kernel threads and where it is not known. */
  readonly exe: string;
  readonly uid: number;
  /** Name of the user, or the uid in digits. */
  readonly user: string;
  /** Path below its hierarchy's root: `/system.slice/x.service`; '' when not known. */
  readonly cgroup: string;
}

/** One string per distinct series, for maps. */
export function seriesKey(s: SeriesInfo): string {
  return `${s.pid}\0${s.startUnixMs}\0${s.comm}\0${s.thread}\0${s.exe}\0${s.uid}\0${s.cgroup}`;
}
