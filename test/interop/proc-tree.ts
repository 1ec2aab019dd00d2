// A tree of /proc and /sys texts, recorded from the running kernel and then moved on: every counter that a
// tool shows grows by another amount, in a process and on devices too. Tools read it where it is mounted
// over /proc, /sys/block and /sys/class/net; we read it where it lies.

import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The one process of the tree. */
export const treePid = 4242;
/** Between the two recordings, by /proc/uptime; no round number on purpose. */
export const treeSeconds = 10.11;

const files = (
  'stat loadavg meminfo diskstats vmstat uptime cpuinfo version filesystems ' +
  'net/dev net/snmp net/netstat sys/kernel/pid_max sys/kernel/osrelease tty/drivers'
).split(' ');
const processFiles = ['stat', 'status', 'io', 'schedstat', 'statm', 'cmdline', 'comm'];

export class ProcTree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    for (const file of files) this.write(`proc/${file}`, readFileSync(`/proc/${file}`, 'utf8'));
    for (const file of processFiles) {
      const text = readFileSync(`/proc/self/${file}`, 'utf8');
      const own = text
        .replace(new RegExp(`^${process.pid} `), `${treePid} `)
        .replace(/^((?:Tg|NSp|P)id:\s+)\d+/gm, `$1${treePid}`);
      this.write(`proc/${treePid}/${file}`, own);
    }
    this.#change('proc/stat', sumCpus);
    this.#change(`proc/${treePid}/statm`, (text) => {
      // Read a moment later than stat, which has the same number.
      const resident = this.text(`proc/${treePid}/stat`).split(') ')[1]!.split(' ')[21]!;
      return text.replace(/^(\d+) \d+/, `$1 ${resident}`);
    });
    symlinkSync(String(treePid), join(root, 'proc/self'));
    for (const name of readdirSync('/sys/class/net')) {
      this.write(`sys/class/net/${name}/speed`, name === 'lo' ? '-1\n' : '100\n');
      this.write(`sys/class/net/${name}/duplex`, 'full\n');
    }
    this.#change('proc/uptime', () => '90000.00 100000.00\n');
    this.#writeDiskFiles();
  }

  text(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    // In place: tools keep files open.
    writeFileSync(join(this.root, path), text);
  }

  /** The second recording. */
  moveOn(): void {
    this.#change('proc/uptime', () => `${(90_000 + treeSeconds).toFixed(2)} 100005.00\n`);
    this.#change('proc/loadavg', () => `7.25 3.50 1.75 9/321 ${treePid}\n`);
    this.#change('proc/stat', moveStat);
    this.#change('proc/meminfo', moveMeminfo);
    this.#change('proc/vmstat', (text) => moveNamed(text, vmDeltas));
    this.#change('proc/diskstats', moveDisks);
    this.#change('proc/net/dev', moveNet);
    this.#change('proc/net/snmp', moveTcp);
    this.#change(`proc/${treePid}/stat`, moveProcess);
    this.#change(`proc/${treePid}/io`, (text) => moveNamed(text, ioDeltas));
    this.#change(`proc/${treePid}/schedstat`, (text) => {
      const [run, wait, slices] = text.trim().split(' ').map(BigInt) as [bigint, bigint, bigint];
      return `${run + 5_000_000_000n} ${wait + 2_345_000_000n} ${slices + 100n}\n`;
    });
    this.#writeDiskFiles();
  }

  #change(path: string, change: (text: string) => string): void {
    this.write(path, change(this.text(path)));
  }

  /** iostat reads /sys/block/NAME/stat: the numbers of diskstats. */
  #writeDiskFiles(): void {
    const whole = new Set(readdirSync('/sys/block'));
    for (const line of this.text('proc/diskstats').trimEnd().split('\n')) {
      const [, , name = '', ...numbers] = line.trim().split(/\s+/);
      if (whole.has(name)) this.write(`sys/block/${name}/stat`, `${numbers.join(' ')}\n`);
    }
  }
}

/** Ticks a mode: user holds guest, nice guest_nice; together about ten seconds of each CPU. */
const cpuDeltas = [411, 37, 123, 250, 61, 13, 29, 45, 101, 7];

function moveStat(text: string): string {
  const lines = text.split('\n').map((line) => {
    const [label = '', ...words] = line.split(' ');
    if (/^cpu\d+$/.test(label)) {
      const cpu = Number(label.slice(3));
      const moved = words.map((word, i) => Number(word) + cpuDeltas[i]! + (i === 3 ? 40 * cpu : 3 * cpu));
      return [label, ...moved].join(' ');
    }
    if (label === 'intr') return [label, Number(words[0]) + 12_345, ...words.slice(1)].join(' ');
    if (label === 'ctxt') return `ctxt ${Number(words[0]) + 67_890}`;
    if (label === 'procs_running') return 'procs_running 9';
    if (label === 'procs_blocked') return 'procs_blocked 2';
    return line;
  });
  return sumCpus(lines.join('\n'));
}

/** The line of all CPUs is the sum of theirs. The kernel's own is that of nanoseconds, and may differ
 *  from it by a tick a CPU: iostat and top read it, mpstat and we sum. */
function sumCpus(text: string): string {
  const sums = new Array<number>(cpuDeltas.length).fill(0);
  for (const [, numbers = ''] of text.matchAll(/^cpu\d+ (.*)$/gm)) {
    numbers.split(' ').forEach((word, i) => (sums[i]! += Number(word)));
  }
  return text.replace(/^cpu .*$/m, `cpu  ${sums.join(' ')}`);
}

const memoryKib: Readonly<Record<string, number>> = {
  MemFree: 1_234_567,
  MemAvailable: 2_345_678,
  Buffers: 54_321,
  Cached: 3_456_789,
  SReclaimable: 98_765,
  Shmem: 4_444,
  SwapTotal: 2_000_000,
  SwapFree: 1_600_001,
};

function moveMeminfo(text: string): string {
  return text.replace(/^(\w+):(\s+)\d+ kB$/gm, (line, name: string, blank: string) =>
    memoryKib[name] === undefined ? line : `${name}:${blank}${memoryKib[name]} kB`,
  );
}

const vmDeltas = { pgpgin: 40_960, pgpgout: 123_456, pswpin: 250, pswpout: 1250 };
const ioDeltas = { read_bytes: 5_242_880, write_bytes: 7_340_032, cancelled_write_bytes: 102_400 };

/** `name 123` or `name: 123` lines. */
function moveNamed(text: string, deltas: Readonly<Record<string, number>>): string {
  return text.replace(/^(\w+)(:? )(\d+)$/gm, (line, name: string, blank: string, value: string) =>
    deltas[name] === undefined ? line : `${name}${blank}${Number(value) + deltas[name]}`,
  );
}

/** Behind the name: reads, merged, sectors, ms; the same of writes; in flight, busy, queue; discards; flushes. */
const diskDeltas = (
  '1234 56 98765 4321 ' + //
  '2345 678 187654 54321 ' +
  '0 7654 58642 ' +
  '12 3 40960 77 ' +
  '35 140'
)
  .split(' ')
  .map(Number);

function moveDisks(text: string): string {
  return text.replace(/^( *\d+ +\d+ )(\S+) (.*)$/gm, (_, head: string, name: string, rest: string) => {
    const numbers = rest.split(' ').map(Number);
    // Never used: tools and we pass it over alike, with what was added a little more each.
    const more = name.length;
    const moved = numbers.map((value, i) => (i === 8 ? 3 : value + (diskDeltas[i] ?? 0) + more));
    return `${head}${name} ${moved.join(' ')}`;
  });
}

function moveNet(text: string): string {
  return text.replace(/^( *)(\S+):(.*)$/gm, (_, blank: string, name: string, rest: string) => {
    const moved = rest
      .trim()
      .split(/ +/)
      .map((word, i) => Number(word) + 1000 * (17 - i) * (i + name.length));
    return `${blank}${name}: ${moved.join(' ')}`;
  });
}

function moveTcp(text: string): string {
  const lines = text.split('\n');
  const names = lines.findIndex((line) => line.startsWith('Tcp: '));
  const values = lines[names + 1]!.split(' ').slice(1);
  // RtoAlgorithm, RtoMin, RtoMax, MaxConn are settings.
  const moved = values.map((value, i) => (i < 4 ? value : Number(value) + 100 * i + 7));
  lines[names + 1] = `Tcp: ${moved.join(' ')}`;
  return lines.join('\n');
}

/** By the number of the field in proc(5): faults, times in ticks. */
const processDeltas: Readonly<Record<number, number>> = {
  10: 5432,
  12: 21,
  14: 321,
  15: 123,
  42: 17,
  43: 45,
};

function moveProcess(text: string): string {
  const end = text.lastIndexOf(')') + 2;
  const fields = text.slice(end).trimEnd().split(' ');
  const moved = fields.map((word, i) => {
    const delta = processDeltas[i + 3];
    return delta === undefined ? word : String(Number(word) + delta);
  });
  return `${text.slice(0, end)}${moved.join(' ')}\n`;
}
