// Operating errors: something outside the program is not as it must be (a full disk, a
// missing privilege, a file of another program). Each has one row in this table and one
// paragraph in docs/errors.md; the command line prints message and hint, never a stack trace.
// Programmers' errors are plain assertions.

/** Code -> what to do by default. The thrower may give a more exact hint. */
export const operatingErrors = {
  usage: 'See `flamekeeper help`.',
  'bad-config':
    'Correct the line named; `flamekeeper config show` prints every option with its default.',
  'no-data': 'Start the daemon with `flamekeeper run`, or name another directory with --data.',
  'empty-window': 'Widen --from and --to; `flamekeeper status` prints what the store holds.',
  'store-foreign': 'Name another directory with --data.',
  'store-newer': 'Install the flamekeeper that wrote it, or a later one.',
  'store-locked': 'Stop the other daemon first; one directory has one owner.',
  'store-failed': 'Check the disk and the permissions of the data directory.',
  'disk-full': 'Free some space, or set store.maxAge lower.',
  'no-privilege': 'Run as root, or give the process CAP_BPF and CAP_PERFMON.',
  'kernel-unsupported': 'See docs/requirements.md for the kernels and options needed.',
  'kernel-freezes':
    'Update the kernel; FLAMEKEEPER_RISK_FREEZE=1 overrides this at the risk of a frozen host.',
  'bpf-failed': 'Run again with -v for the whole log of libbpf and the verifier.',
  'library-missing': 'Install the library named; FLAMEKEEPER_LIBBPF names another libbpf.',
  'daemon-unreachable':
    'Is the daemon running, and may you read its socket? See `flamekeeper status`.',
  'no-sample': 'It sleeps: ask again while it works, or wait longer with --timeout.',
  'output-failed': 'Check the path and the free space of the place you write to.',
} as const;

export type OperatingErrorCode = keyof typeof operatingErrors;

/** An error of the world outside: `message` says what and which value, `hint` what to do. */
export class OperatingError extends Error {
  readonly code: OperatingErrorCode;
  readonly hint: string;

  constructor(code: OperatingErrorCode, message: string, hint: string = operatingErrors[code]) {
    super(message);
    this.name = 'OperatingError';
    this.code = code;
    this.hint = hint;
  }
}

/** A broken invariant of ours. Throws; never for anything a user or a foreign file can cause. */
export function assert(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${sentence}`);
}
