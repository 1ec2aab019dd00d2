// A record of /dev/kmsg. Pure and tolerant.
//
//   priority,sequence,µs since boot,flags;message\n KEY=value\n ...
//
// Source: Documentation/ABI/testing/dev-kmsg. Bytes that cannot be printed come escaped as \xNN.

export interface KernelMessage {
  /** 0 emergency ... 7 debug. */
  readonly level: number;
  readonly facility: number;
  readonly sequence: number;
  /** On the kernel's own clock, near CLOCK_MONOTONIC. */
  readonly ktimeUs: number;
  readonly message: string;
}

/** As `dmesg --level` and syslog(3) name them. */
export const kernelLevels = [
  'emerg',
  'alert',
  'crit',
  'err',
  'warning',
  'notice',
  'info',
  'debug',
] as const;

const MAX_MESSAGE_UNITS = 1024;

export function parseKernelMessage(record: string): KernelMessage | undefined {
  const head = /^(\d{1,9}),(\d{1,15}),(\d{1,15}),[^;]{0,200};/.exec(record);
  if (head === null) return undefined;
  const [, priority, sequence, ktimeUs] = head.map(Number);
  const end = record.indexOf('\n', head[0].length);
  const message = record.slice(head[0].length, end < 0 ? undefined : end);
  return {
    level: priority! & 7,
    facility: priority! >>> 3,
    sequence: sequence!,
    ktimeUs: ktimeUs!,
    message: message.slice(0, MAX_MESSAGE_UNITS),
  };
}
